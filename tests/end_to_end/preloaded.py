"""What the server process of `command_line` imports before it forks; nothing is run."""

from __future__ import annotations

from tl_app.libraries import loading

with loading():
    pass
