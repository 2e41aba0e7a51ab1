"""How fast servables answer on this machine, asked as clients ask them."""

from __future__ import annotations

import io
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from tl_app.serving.signatures import DEFAULT, Servable

LOG = logging.getLogger("tl_app.serving")

N_ROWS = 16
"""Requests of a turn, all at once."""

N_TURNS = 5
"""That are counted at most, after one that is not."""

MAX_SECONDS = 1.0
"""After which no turn begins."""

_PICTURE_PX = (480, 360)


def rows_per_second(servables: Sequence[Servable], n_threads: int) -> np.ndarray:
    """Ask each for single rows, as many at a time as it takes.

    Asked in turns, so that a busy machine slows all of them.

    Args:
        servables: of one model.
        n_threads: of those that take one request a core.

    Returns:
        float64, shape (n_turns, n_servables); nan for what failed, which is logged.
    """
    rows = rows_for(servables[0])
    turns: list[list[float]] = []
    began = time.perf_counter()
    for turn in range(1 + N_TURNS):
        if turn > 1 and time.perf_counter() - began > MAX_SECONDS:
            break
        turns.append([len(rows) / _seconds(servable, rows, n_threads) for servable in servables])
    return np.array(turns[1:])


def rows_for(servable: Servable) -> list[bytes]:
    """What it may be asked; of nobody's."""
    return _texts() if servable.max_pixels is None else _pictures(servable.max_pixels)


def _seconds(servable: Servable, rows: Sequence[bytes], n_threads: int) -> float:
    requests = [{servable.input_name: [row]} for row in rows]
    with ThreadPoolExecutor(servable.n_callers or n_threads) as threads:
        started = time.perf_counter()
        try:
            for _ in threads.map(lambda request: servable.run(DEFAULT, request), requests):
                pass
        except Exception:  # whatever an engine fails with, another one may work
            LOG.warning("%s cannot answer", servable.engine, exc_info=True)
            return float("nan")
        return time.perf_counter() - started


def _pictures(max_pixels: int) -> list[bytes]:
    """JPEGs with about as many details as a photograph has, none larger than what is usable."""
    random = np.random.default_rng(0)
    scale = min(1.0, (max_pixels / math.prod(_PICTURE_PX)) ** 0.5)
    width, height = (max(1, int(scale * side)) for side in _PICTURE_PX)
    made = []
    for _ in range(N_ROWS):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
        buffer = io.BytesIO()
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def _texts() -> list[bytes]:
    """From a few words to some sentences: what is computed together is as long as the longest."""
    return [b"a sentence as people write it " * (1 + i % 8) for i in range(N_ROWS)]
