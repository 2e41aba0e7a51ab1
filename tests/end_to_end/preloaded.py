"""What the server process of `command_line` imports before it forks; nothing is run but a small
backbone made known."""

from __future__ import annotations

from tl_app.libraries import loading

with loading():
    from tests.end_to_end.small_backbone import register

register()
