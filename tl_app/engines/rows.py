"""Pictures shared out over threads that live as long as their engine."""

from __future__ import annotations

import queue
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

Runner = Callable[[np.ndarray], Sequence[np.ndarray]]
"""float32, shape (1, S, S, 3), to one float32 array (1, ...) for each output."""


class RowPool:
    """Runs each picture by itself, on whichever thread is free.

    Two threads with one picture each beat one picture on two threads, above all while other
    threads decode: none waits for the others within a picture.

    Args:
        runners: one for each thread; none is used by two threads at a time.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._n_threads = len(runners)
        self._free: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        for runner in runners:
            self._free.put(runner)
        self._threads = ThreadPoolExecutor(self._n_threads, thread_name_prefix="tl_app-engine")
        # Not waited for: the last reference may be dropped by one of these threads.
        weakref.finalize(self, self._threads.shutdown, wait=False)

    def one(self, picture: np.ndarray) -> list[np.ndarray]:
        """What is said of one picture (S, S, 3), on the caller's thread: one array an output."""
        row = np.ascontiguousarray(picture, dtype=np.float32)[None]
        runner = self._free.get()
        try:
            return [output[0] for output in runner(row)]
        finally:
            self._free.put(runner)

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """One array (n, ...) for each output, of pixels (n, S, S, 3)."""
        pixels = np.ascontiguousarray(pixels, dtype=np.float32)
        answers: list[Sequence[np.ndarray]] = [()] * len(pixels)
        # An iterator of a range gives each row once, whichever thread asks.
        rows = iter(range(len(pixels)))

        def work() -> None:
            runner = self._free.get()
            try:
                for row in rows:
                    answers[row] = runner(pixels[row : row + 1])
            finally:
                self._free.put(runner)

        n_tasks = min(self._n_threads, len(pixels))
        for task in [self._threads.submit(work) for _ in range(n_tasks)]:
            task.result()
        return tuple(np.concatenate(arrays) for arrays in zip(*answers, strict=True))
