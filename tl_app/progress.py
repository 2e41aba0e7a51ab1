"""What a long step says while it works.

Stages take a `Reporter` and know nothing of terminals. The command line hands in one
that draws bars (`tl_app.console`); the Python API is silent unless told otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Bar(Protocol):
    """One running progress bar."""

    def advance(self, n: int = 1, *, note: str = "") -> None:
        """Count `n` more units; `note` is a short text beside the bar (a loss, say)."""


class Reporter(Protocol):
    """Where messages and progress go."""

    def message(self, text: str) -> None:
        """A line that tells what is done and with what."""

    def warn(self, text: str) -> None:
        """A line that the user should act on or know of."""

    def bar(self, title: str, total: int, unit: str):
        """A context manager that yields a `Bar` of `total` units ("images", "steps")."""


class SilentBar:
    def advance(self, n: int = 1, *, note: str = "") -> None:
        pass


class LogReporter:
    """Messages and warnings to a log; no progress."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def message(self, text: str) -> None:
        self._log.info("%s", text)

    def warn(self, text: str) -> None:
        self._log.warning("%s", text)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        yield SilentBar()


class SilentReporter:
    """Says nothing. Warnings are kept, so that a caller can still look at them."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def message(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Bar]:
        yield SilentBar()
