"""Files read in threads, a little ahead of the graph that consumes them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from tl_app.errors import UnusablePicture
from tl_app.inputs.files import read_encoded


def read_ahead(
    paths: Iterable[Path], *, max_pixels: int, n_ahead: int
) -> Iterator[tuple[Path, bytes | UnusablePicture]]:
    """Each path with its encoded bytes, or with why it has none; in order.

    Args:
        paths: files.
        max_pixels: pictures with more are refused.
        n_ahead: most files held in memory before they are asked for.
    """
    waiting: deque[tuple[Path, Future[bytes | UnusablePicture]]] = deque()
    remaining = iter(paths)
    with ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) + 2) as pool:
        try:
            while True:
                for path in islice(remaining, n_ahead - len(waiting)):
                    waiting.append((path, pool.submit(_read, path, max_pixels)))
                if not waiting:
                    return
                path, result = waiting.popleft()
                yield path, result.result()
        finally:
            for _, result in waiting:
                result.cancel()


def _read(path: Path, max_pixels: int) -> bytes | UnusablePicture:
    try:
        return read_encoded(path, max_pixels=max_pixels)
    except UnusablePicture as problem:
        return problem
