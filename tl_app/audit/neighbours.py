"""Pairs of rows that are close, found exactly, in blocks that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tl_app.environment import usable_cores

BLOCK_ROWS = 256
"""Rows that are compared with all others at once: 100 MB of similarities for 100,000 rows."""


def unit_rows(features: np.ndarray) -> np.ndarray:
    """float32, same shape: centred features of length 1, so that a product is a cosine.

    Without centring all pictures look alike: activations are never negative, and share a large
    mean.
    """
    centred = features.astype(np.float32) - features.mean(axis=0, dtype=np.float64).astype(
        np.float32
    )
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    centred /= np.maximum(lengths, 1e-12)
    return centred


def close_by_cosine(units: np.ndarray, *, at_least: float, n_nearest: int) -> np.ndarray:
    """Pairs of which some turn of the one is like the other.

    Args:
        units: float32, shape (n_turns, n, d), rows of length 1; the first turn is of the rows as
            they are.
        at_least: the lowest cosine of a pair.
        n_nearest: of one row with later ones, at most so many pairs, the closest.

    Returns:
        int64, shape (n_pairs, 2), each pair once with the smaller position first.
    """

    def near(start: int) -> np.ndarray:
        plain = units[0, start:].T
        first, *others = units[:, start : start + BLOCK_ROWS]
        likeness = first @ plain
        for turned in others:
            np.maximum(likeness, turned @ plain, out=likeness)
        return _best(likeness, start, at_least, n_nearest)

    return _joined(near(start) for start in range(0, units.shape[1], BLOCK_ROWS))


def close_by_bits(hashes: np.ndarray, *, at_most: int, n_nearest: int) -> np.ndarray:
    """Pairs of which some turn of the one differs from the other in few bits.

    Args:
        hashes: uint64, shape (n_turns, n); the first row is of the pictures as they are.
        at_most: different bits.
        n_nearest: as for `close_by_cosine`.

    Returns:
        int64, shape (n_pairs, 2), each pair once with the smaller position first.
    """

    def near(start: int) -> np.ndarray:
        plain = hashes[0, start:]
        least = np.full((min(BLOCK_ROWS, len(plain)), len(plain)), 64, np.uint8)
        for turned in hashes[:, start : start + BLOCK_ROWS]:
            np.minimum(least, np.bitwise_count(turned[:, None] ^ plain), out=least)
        return _best(-least.astype(np.float32), start, -float(at_most), n_nearest)

    starts = range(0, hashes.shape[1], BLOCK_ROWS)
    with ThreadPoolExecutor(usable_cores()) as pool:
        return _joined(pool.map(near, starts))


def _best(likeness: np.ndarray, start: int, at_least: float, n_nearest: int) -> np.ndarray:
    """Pairs of a block: `likeness` is of its rows with all from `start` on."""
    n_rows, n_columns = likeness.shape
    likeness[np.arange(n_columns) <= np.arange(n_rows)[:, None]] = -np.inf
    if n_columns > n_nearest:
        # Where many are close enough, the closest of them.
        crowded = np.flatnonzero((likeness >= at_least).sum(axis=1) > n_nearest)
        for row in crowded:
            others = np.argpartition(-likeness[row], n_nearest)[n_nearest:]
            likeness[row, others] = -np.inf
    pairs = np.argwhere(likeness >= at_least)
    return pairs + start


def _joined(parts: Iterator[np.ndarray]) -> np.ndarray:
    found = list(parts)
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)
