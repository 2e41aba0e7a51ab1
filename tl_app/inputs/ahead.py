"""Work done in threads, a little ahead of whoever consumes it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = min(8, len(os.sched_getaffinity(0)))
"""Each may hold a picture of the largest size."""


def run_ahead(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    *,
    n_ahead: int,
) -> Iterator[Result]:
    """`work` of each item, in order, computed by threads.

    Args:
        items: what to work on.
        work: thread-safe; what it raises is raised here when its turn comes.
        n_ahead: most results that are held or under way; bounds the memory.
    """
    waiting: deque[Future[Result]] = deque()
    remaining = iter(items)
    with ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="ahead") as pool:
        try:
            while True:
                for item in islice(remaining, n_ahead - len(waiting)):
                    waiting.append(pool.submit(work, item))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            # After an error or a signal nobody waits for what is not wanted any more.
            pool.shutdown(wait=False, cancel_futures=True)
