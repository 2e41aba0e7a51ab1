"""Threads that answer, as many at a time as an engine takes, and no more waiting than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from tl_app.serving.rest import RequestError
from tl_app.serving.signatures import Servable, Tensors, joined, n_rows

Gone = Callable[[], Coroutine[Any, Any, None]]
"""Ends when nobody waits for an answer any more."""


class NobodyWaits(Exception):
    """An answer that nobody would receive was given up."""


class Workers:
    """Runs requests on threads.

    The rows of a large request are shared out over all threads, as many to a job as the engine
    takes at a time, and what has not begun can be left when nobody waits for it.

    Args:
        n_threads: one for each core; an engine that puts the rows of requests together has as
            many callers as it takes.
        queue_rows: most rows that wait or run; what comes beyond is told to come again.
        timeout_seconds: for a request, from when it was read.
    """

    def __init__(self, n_threads: int, queue_rows: int, timeout_seconds: float) -> None:
        self._queue_rows = queue_rows
        self._timeout_seconds = timeout_seconds
        self.n_rows = 0
        self._n_threads = n_threads
        self._threads: dict[int, ThreadPoolExecutor] = {}

    async def run(self, servable: Servable, signature: str, inputs: Tensors, gone: Gone) -> Tensors:
        """
        Args:
            servable, signature, inputs: what is asked of whom.
            gone: ends when nobody waits any more.

        Raises:
            RequestError: 400 for more rows than the queue holds, 429 where too many wait already,
                504 where it takes too long.
            NobodyWaits: nobody waits.
        """
        n = n_rows(inputs)
        if n > self._queue_rows:
            raise RequestError(400, f"A request has at most {self._queue_rows:,} rows, not {n:,}")
        if self.n_rows + n > self._queue_rows:
            raise RequestError(429, "Too many requests wait already; ask again in a moment")
        loop = asyncio.get_running_loop()
        parts = _parts(servable, inputs, n)

        threads = self._threads_for(servable)
        jobs = []
        for part in parts:
            job = threads.submit(servable.run, signature, part)
            # Counted until a thread is done with it, whoever went away meanwhile.
            n_here = n_rows(part)
            self.n_rows += n_here
            job.add_done_callback(partial(self._leave_soon, loop, n_here))
            jobs.append(job)
        together = asyncio.gather(*map(asyncio.wrap_future, jobs))
        leaving = asyncio.create_task(gone())
        try:
            await asyncio.wait(
                (together, leaving),
                timeout=self._timeout_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if together.done():
                return joined(together.result())
            if leaving.done():
                raise NobodyWaits
            raise RequestError(504, "The answer took too long")
        finally:
            leaving.cancel()
            together.cancel()
            for job in jobs:  # those that have not begun, for whatever reason nobody wants them
                job.cancel()

    def close(self) -> None:
        """Begin nothing more."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    def _leave_soon(self, loop: asyncio.AbstractEventLoop, n: int, _: Future[Tensors]) -> None:
        """Called by a thread; counted by the loop alone."""
        loop.call_soon_threadsafe(self._leave, n)

    def _leave(self, n: int) -> None:
        self.n_rows -= n

    def _threads_for(self, servable: Servable) -> ThreadPoolExecutor:
        n = servable.n_callers or self._n_threads
        if n not in self._threads:
            self._threads[n] = ThreadPoolExecutor(n, thread_name_prefix="tl_app-serving")
        return self._threads[n]


def _parts(servable: Servable, inputs: Tensors, n: int) -> list[Tensors]:
    each = servable.rows_each
    if n <= each or not inputs:
        return [inputs]
    return [
        {name: values[row : row + each] for name, values in inputs.items()}
        for row in range(0, n, each)
    ]
