"""Threads that answer, no more at a time than there are cores, and no more waiting than allowed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from tl_app.serving.rest import RequestError
from tl_app.serving.signatures import Servable, Tensors, joined, n_rows


class Workers:
    """Runs requests on threads.

    A request with many rows is shared out over all threads where the engine takes single rows;
    what several requests hold of a batch is left to engines that gain from it.

    Args:
        n_threads: one for each core.
        queue_rows: most rows that wait or run; what comes beyond is told to come again.
        timeout_seconds: for a request, from when it was read.
    """

    def __init__(self, n_threads: int, queue_rows: int, timeout_seconds: float) -> None:
        self.n_threads = n_threads
        self._queue_rows = queue_rows
        self._timeout_seconds = timeout_seconds
        self.n_rows = 0
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="tl_app-serving")

    async def run(self, servable: Servable, signature: str, inputs: Tensors) -> Tensors:
        """
        Raises:
            RequestError: 429 where too many wait already, 504 where it takes too long.
        """
        n = n_rows(inputs)
        # One that is larger than the whole queue gets in alone: bodies are bounded.
        if self.n_rows and self.n_rows + n > self._queue_rows:
            raise RequestError(429, "Too many requests wait already; ask again in a moment")
        self.n_rows += n
        loop = asyncio.get_running_loop()
        jobs = [
            loop.run_in_executor(self._threads, servable.run, signature, part)
            for part in self._parts(servable, inputs, n)
        ]
        together = asyncio.gather(*jobs)
        # Counted until the threads are done with it, whoever went away meanwhile.
        together.add_done_callback(lambda _: self._leave(n))
        try:
            return joined(await asyncio.wait_for(asyncio.shield(together), self._timeout_seconds))
        except TimeoutError:
            for job in jobs:
                job.cancel()
            raise RequestError(504, "The answer took too long") from None

    def _parts(self, servable: Servable, inputs: Tensors, n: int) -> list[Tensors]:
        n_parts = min(n, self.n_threads) if servable.rows_apart and inputs else 1
        if n_parts <= 1:
            return [inputs]
        ends = [n * part // n_parts for part in range(n_parts + 1)]
        return [
            {name: values[start:end] for name, values in inputs.items()}
            for start, end in pairwise(ends)
        ]

    def _leave(self, n: int) -> None:
        self.n_rows -= n

    def close(self) -> None:
        """Wait for what runs."""
        self._threads.shutdown(wait=True, cancel_futures=True)
