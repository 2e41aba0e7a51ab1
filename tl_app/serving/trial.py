"""How fast servables answer on this machine, asked as clients ask them."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
from PIL import Image

from tl_app.serving.signatures import DEFAULT, Servable

N_ROWS = 16
"""Requests of a turn, all at once."""

N_TURNS = 5
"""That are counted at most, after one that is not."""

MAX_SECONDS = 1.0
"""After which no turn begins."""

_PICTURE_PX = (480, 360)


def rows_per_second(servables: Sequence[Servable], n_threads: int) -> list[float]:
    """Ask each for single rows, as many at a time as it takes.

    Asked in turns, so that a busy machine slows all of them.

    Args:
        servables: of one modality.
        n_threads: of those that take one request a core.

    Returns:
        The median of the turns, in the order of `servables`.
    """
    rows = rows_for(servables[0])
    seconds: list[list[float]] = [[] for _ in servables]
    began = time.perf_counter()
    for turn in range(1 + N_TURNS):
        if turn > 1 and time.perf_counter() - began > MAX_SECONDS:
            break
        for servable, mine in zip(servables, seconds, strict=True):
            mine.append(_seconds(servable, rows, n_threads))
    return [len(rows) / median(mine[1:]) for mine in seconds]


def rows_for(servable: Servable) -> list[bytes]:
    """What it may be asked; of nobody's."""
    return _pictures() if servable.modality == "image" else _texts()


def _seconds(servable: Servable, rows: Sequence[bytes], n_threads: int) -> float:
    requests = [{servable.input_name: [row]} for row in rows]
    with ThreadPoolExecutor(servable.n_callers or n_threads) as threads:
        started = time.perf_counter()
        for _ in threads.map(lambda request: servable.run(DEFAULT, request), requests):
            pass
        return time.perf_counter() - started


def _pictures() -> list[bytes]:
    """JPEGs with about as many details as a photograph has."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(N_ROWS):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        buffer = io.BytesIO()
        coarse.resize(_PICTURE_PX, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def _texts() -> list[bytes]:
    """From a few words to some sentences: what is computed together is as long as the longest."""
    return [b"a sentence as people write it " * (1 + i % 8) for i in range(N_ROWS)]
