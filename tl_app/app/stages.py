"""Seconds by stage, kept with the run as they pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tl_app.run import RunFolder


class StageClock:
    """Adds up wall-clock seconds by stage; a resumed run goes on counting.

    A stage within another counts for itself alone.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._within = 0.0
        self._folder: RunFolder | None = None

    def attach(self, folder: RunFolder) -> None:
        """Keep the seconds in the run's folder from now on, added to what is there."""
        self._folder = folder
        for name, value in folder.read_info().get("seconds", {}).items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        before, self._within = self._within, 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            own = elapsed - self._within
            self.seconds[name] = round(self.seconds.get(name, 0.0) + own, 3)
            self._within = before + elapsed
        if self._folder is not None:
            self._folder.update_info(seconds=self.seconds)
