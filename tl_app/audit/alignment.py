"""How alike two thumbnails are once one is laid over the other, stretched and moved a little.

A cropped copy shows the same scene a little larger; on thumbnails of 32 px a crop of some per cent
moves details by a pixel or two, which is enough to hide that it is one picture.
"""

from __future__ import annotations

import numpy as np

from tl_app.audit.turns import N_TURNS, turned

N_STEPS = 10
MAX_STRETCH, MAX_SHIFT = 0.25, 0.25
"""Of the side: copies that were cropped by more than that are looked for in vain."""

LEAST_OVERLAP = 0.6
"""Share of the first thumbnail that the other has to cover."""

DAMPING = 1e-3
"""Keeps a step small along directions in which a flat picture says nothing."""

AT_ONCE = 1024
"""Pairs that are aligned together; some 100 MB."""


def aligned_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The highest correlation of the levels, over eight turns and small crops.

    Args:
        first, second: float32, shape (n_pairs, side, side), grey.

    Returns:
        float32, shape (n_pairs,), at most 1; 0 for pictures without any contrast.
    """
    found = [
        _correlation(first[i : i + AT_ONCE], second[i : i + AT_ONCE])
        for i in range(0, len(first), AT_ONCE)
    ]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    turns = np.stack([turned(second, turn) for turn in range(N_TURNS)])
    plain = np.stack([_inner(first, other, None) for other in turns])
    best = plain.argmax(axis=0)
    second = turns[best, np.arange(len(first))]
    return np.maximum(plain.max(axis=0), _align(first, second))


def _align(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Stretch and move `second` by Gauss-Newton steps that make it most like `first`.

    Source: Lucas and Kanade, 1981; here with two stretches, two shifts, a gain and an offset.
    """
    n, side = len(first), first.shape[1]
    axis = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    stretch = np.zeros((n, 2), np.float32)  # along y and x, as a share
    shift = np.zeros((n, 2), np.float32)  # in half sides
    best = np.full(n, -1.0, np.float32)
    for _ in range(N_STEPS):
        places = [axis * (1 + stretch[:, k, None]) + shift[:, k, None] for k in (0, 1)]
        weights = [_interpolation(place, side) for place in places]
        moved = weights[0] @ second @ weights[1].transpose(0, 2, 1)
        inside = (
            (np.abs(places[0]) <= 1)[:, :, None] & (np.abs(places[1]) <= 1)[:, None, :]
        ).astype(np.float32)
        correlation = _inner(first, moved, inside)
        correlation[inside.mean(axis=(1, 2)) < LEAST_OVERLAP] = -1.0
        best = np.maximum(best, correlation)
        rows, columns = np.gradient(moved, axis=(1, 2))
        rows *= (side - 1) / 2 / (1 + stretch[:, 0, None, None])
        columns *= (side - 1) / 2 / (1 + stretch[:, 1, None, None])
        design = np.stack(
            [
                rows * axis[:, None],
                columns * axis,
                rows,
                columns,
                moved,
                np.ones_like(moved),
            ],
            axis=-1,
        ).reshape(n, side * side, 6)
        flat = inside.reshape(n, -1, 1)
        residual = (first - moved).reshape(n, -1, 1) * flat
        normal = design.transpose(0, 2, 1) @ (design * flat)
        scale = np.trace(normal[:, :4, :4], axis1=1, axis2=2)[:, None] * DAMPING + 1e-6
        normal[:, range(6), range(6)] += scale
        step = np.linalg.solve(normal, design.transpose(0, 2, 1) @ residual)[:, :4, 0]
        stretch = np.clip(stretch + step[:, :2], -MAX_STRETCH, MAX_STRETCH)
        shift = np.clip(shift + step[:, 2:], -2 * MAX_SHIFT, 2 * MAX_SHIFT)
    return best


def _interpolation(places: np.ndarray, side: int) -> np.ndarray:
    """Linear weights, shape (n, side, side): row i of each reads at `places[:, i]` in -1..1."""
    position = np.clip((places + 1) * (side - 1) / 2, 0, side - 1)
    distance = np.abs(position[:, :, None] - np.arange(side, dtype=np.float32))
    return np.maximum(1 - distance, 0).astype(np.float32)


def _inner(first: np.ndarray, second: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Correlation of the levels, shape (n,), where `weight` is 1."""
    mask = np.ones_like(first) if weight is None else weight
    total = np.maximum(mask.sum(axis=(1, 2), keepdims=True), 1)
    a = (first - (first * mask).sum(axis=(1, 2), keepdims=True) / total) * mask
    b = (second - (second * mask).sum(axis=(1, 2), keepdims=True) / total) * mask
    lengths = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    return ((a * b).sum(axis=(1, 2)) / np.maximum(lengths, 1e-3)).astype(np.float32)
