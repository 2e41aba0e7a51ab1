"""The eight ways to lay a square picture down, and a perceptual hash that knows them all."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

N_TURNS = 8
HASH_SIDE = 8
"""The hash has one bit for each of so many by so many low frequencies."""


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

    Mirroring a picture changes the sign of its odd frequencies and swapping the axes swaps them,
    so that all turns cost one transform.

    Args:
        grey: float32, shape (n, side, side).

    Source: Zauner, 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions"
        (the hash by discrete cosine transform).
    """
    low = dct(dct(grey, axis=1), axis=2)[:, :HASH_SIDE, :HASH_SIDE]
    odd = np.where(np.arange(HASH_SIDE) % 2, -1.0, 1.0).astype(np.float32)
    found = []
    for turn in range(N_TURNS):
        frequencies = low
        if turn & 1:
            frequencies = frequencies * odd
        if turn & 2:
            frequencies = frequencies * odd[:, None]
        if turn & 4:
            frequencies = frequencies.transpose(0, 2, 1)
        flat = frequencies.reshape(len(grey), HASH_SIDE**2)
        # The mean of the picture says nothing of what is on it.
        median = np.median(flat[:, 1:], axis=1, keepdims=True)
        bits = np.packbits(flat > median, axis=1)
        found.append(bits.view(np.uint64)[:, 0])
    return np.stack(found)
