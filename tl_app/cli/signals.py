"""Signals for the length of one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tl_app import interrupt


@contextmanager
def handled() -> Iterator[None]:
    """SIGINT and SIGTERM as `tl_app.interrupt` has them; as before when the command is over."""
    restore = interrupt.install()
    try:
        yield
    finally:
        restore()
