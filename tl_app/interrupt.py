"""Ctrl-C and SIGTERM without losing work.

A signal that arrives inside a `deferred()` section only leaves a note, which the training
loop reads with `requested()` after every step, saves and raises `errors.Interrupted` itself.
Outside of such a section the handler raises `errors.Interrupted` in the main thread at once.
A second signal always raises at once: somebody means it.

Nothing happens on import; the command line calls `install()`. A library that uses tl_app
keeps its own handlers, and `requested()` then stays None.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tl_app.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_requested: int | None = None
_depth = 0


def requested() -> int | None:
    """The number of the signal that asked to stop, or None."""
    return _requested


@contextmanager
def deferred() -> Iterator[None]:
    """Hold the first signal back while the section runs; the section polls `requested()`.

    Raises:
        Interrupted: a signal came before the section began and was swallowed on its way up,
            or came within it and the section ended without having looked.
    """
    global _depth
    _raise_if_requested()
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
    if _depth == 0:
        _raise_if_requested()


def install() -> Callable[[], None]:
    """Handle SIGINT and SIGTERM from now on; call the result to have it as it was before.

    Signals that the process was started to ignore (`nohup`, a shell's `&`) stay ignored.
    Outside of the main thread, where Python allows no handlers, this does nothing.
    """
    global _requested, _depth
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    _requested, _depth = None, 0
    before = {}
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _handle)

    def restore() -> None:
        global _requested
        for number, handler in before.items():
            signal.signal(number, handler)
        _requested = None

    return restore


def _handle(number: int, frame: FrameType | None) -> None:
    global _requested
    is_first = _requested is None
    _requested = number
    if _depth and is_first:
        return
    raise Interrupted(number)


def _raise_if_requested() -> None:
    if _requested is not None:
        raise Interrupted(_requested)
