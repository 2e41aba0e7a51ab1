"""The eight ways to lay a square picture down, and a perceptual hash that knows them all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.fft import dct

N_TURNS = 8
HASH_SIDE = 8
"""The hash has one bit for each of so many by so many low frequencies."""

SOFT_SIDE = 8
"""Low frequencies a side of a soft shape."""


def turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """Square pictures mirrored and rotated in one of eight ways; 0 leaves them as they are.

    Args:
        pictures: shape (n, side, side).
        turn: bit 0 mirrors left and right, bit 1 top and bottom, bit 2 swaps the axes, in this
            order.
    """
    if turn & 1:
        pictures = pictures[:, :, ::-1]
    if turn & 2:
        pictures = pictures[:, ::-1, :]
    if turn & 4:
        pictures = pictures.transpose(0, 2, 1)
    return pictures


def perceptual_hashes(grey: np.ndarray) -> np.ndarray:
    """uint64, shape (8, n): of each turn, the signs of the low frequencies above their median.

    Args:
        grey: float32, shape (n, side, side).

    Source: Zauner, 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"
        (the hash by discrete cosine transform).
    """
    found = []
    for frequencies in _turns_of(_low_frequencies(grey, HASH_SIDE)):
        flat = frequencies.reshape(len(grey), HASH_SIDE**2)
        # The mean of the picture says nothing of what is on it.
        median = np.median(flat[:, 1:], axis=1, keepdims=True)
        bits = np.packbits(flat > median, axis=1)
        found.append(bits.view(np.uint64)[:, 0])
    return np.stack(found)


def soft_shapes(grey: np.ndarray) -> np.ndarray:
    """float32, shape (8, n, SOFT_SIDE ** 2 - 1): of each turn, what is left of a picture when it
    is blurred, its mean taken away and its contrast made 1: a product of two is a correlation.

    Args:
        grey: float32, shape (n, side, side).
    """
    found = []
    for frequencies in _turns_of(_low_frequencies(grey, SOFT_SIDE)):
        flat = frequencies.reshape(len(grey), SOFT_SIDE**2)[:, 1:]
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        found.append(flat / np.maximum(lengths, 1e-6))
    return np.stack(found)


def _low_frequencies(grey: np.ndarray, side: int) -> np.ndarray:
    """In the scale in which a sum of squares is that of the levels."""
    return dct(dct(grey, axis=1, norm="ortho"), axis=2, norm="ortho")[:, :side, :side]


def _turns_of(low: np.ndarray) -> Iterator[np.ndarray]:
    """The low frequencies of each turn, shape (n, side, side).

    Mirroring a picture changes the sign of its odd frequencies and swapping the axes swaps them,
    so that all turns cost one transform.
    """
    odd = np.where(np.arange(low.shape[1]) % 2, -1.0, 1.0).astype(np.float32)
    for turn in range(N_TURNS):
        frequencies = low
        if turn & 1:
            frequencies = frequencies * odd
        if turn & 2:
            frequencies = frequencies * odd[:, None]
        if turn & 4:
            frequencies = frequencies.transpose(0, 2, 1)
        yield frequencies
