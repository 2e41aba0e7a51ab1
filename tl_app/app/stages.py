"""Seconds by stage, kept with the run as they pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tl_app.run import RunFolder


class StageClock:
    """Adds up wall-clock seconds by stage; a resumed run goes on counting."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._folder: RunFolder | None = None

    def attach(self, folder: RunFolder) -> None:
        """Keep the seconds in the run's folder from now on, added to what is there."""
        self._folder = folder
        for name, value in folder.read_info().get("seconds", {}).items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self.seconds[name] = round(self.seconds.get(name, 0.0) + elapsed, 3)
        if self._folder is not None:
            self._folder.update_info(seconds=self.seconds)
