"""How alike two thumbnails are once one is laid over the other, stretched and moved a little.

A cropped copy shows the same scene a little larger; on thumbnails of 32 px a crop of some per cent
moves details by a pixel or two, which is enough to hide that it is one picture.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from tl_app.audit.turns import N_TURNS, turned
from tl_app.environment import usable_cores

N_STEPS = 10
CHECKED_AFTER = 5
"""Steps after which pairs below `HOPELESS` are given up. Of photographs and copies of them that
were cropped by up to 15 %, all that ended as alike as copies are were above by then, and of the
others a quarter."""

HOPELESS, SETTLED = 0.7, 0.99
"""Correlations: below the first a pair is given up, above the second there is nothing to gain."""

MAX_STRETCH, MAX_SHIFT = 0.25, 0.25
"""Of the side: copies that were cropped by more than that are looked for in vain."""

LEAST_OVERLAP = 0.6
"""Share of the first thumbnail that the other has to cover."""

DAMPING = 1e-3
"""Keeps a step small along directions in which a flat picture says nothing."""

SOFT_PX = 1.5
"""Standard deviation of the blur whose rest is detail."""

AT_ONCE = 512
"""Pairs that are aligned together, on each core; some 50 MB."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of pairs, once they are laid over each other.

    Attributes:
        correlation: of the levels, float32, shape (n_pairs,), at most 1; 0 for pictures without
            contrast.
        detail: of what is left of them without their soft shapes, likewise. Unlike pictures can
            have the same sky and ground; they do not have the same leaves.
    """

    correlation: np.ndarray
    detail: np.ndarray


def likeness(first: np.ndarray, second: np.ndarray) -> Likeness:
    """How alike pairs are at best, over eight turns and small crops.

    Args:
        first, second: float32, shape (n_pairs, side, side), grey.
    """

    def aligned(start: int) -> tuple[np.ndarray, np.ndarray]:
        some = slice(start, start + AT_ONCE)
        return _aligned(first[some], _turned_alike(first[some], second[some]))

    if not len(first):
        return Likeness(np.zeros(0, np.float32), np.zeros(0, np.float32))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(usable_cores()) as pool:
        parts = list(pool.map(aligned, range(0, len(first), AT_ONCE)))
    return Likeness(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _turned_alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Each of `second` in the turn that is most like its `first`."""
    turns = np.stack([turned(second, turn) for turn in range(N_TURNS)])
    whole = np.ones_like(first)
    best = np.stack([_correlation(first, other, whole) for other in turns]).argmax(axis=0)
    return turns[best, np.arange(len(first))]


def _aligned(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stretch and move `second` by Gauss-Newton steps that make it most like `first`.

    Returns:
        Correlations of levels and of detail at the best step, float32, shape (n,).

    Source: Lucas and Kanade, 1981; here with two stretches, two shifts, a gain and an offset.
    """
    n, side = len(first), first.shape[1]
    axis = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    stretch = np.zeros((n, 2), np.float32)  # along y and x, as a share
    shift = np.zeros((n, 2), np.float32)  # in half sides
    best = np.full(n, -1.0, np.float32)
    best_moved, best_inside = second.copy(), np.ones_like(second)
    left = np.arange(n)
    for number in range(N_STEPS):
        places = [axis * (1 + stretch[left, k, None]) + shift[left, k, None] for k in (0, 1)]
        rows, columns = (_interpolation(place, side) for place in places)
        moved = rows @ second[left] @ columns.transpose(0, 2, 1)
        held = [np.abs(place) <= 1 for place in places]
        inside = (held[0][:, :, None] & held[1][:, None, :]).astype(np.float32)
        correlation = _correlation(first[left], moved, inside)
        correlation[inside.mean(axis=(1, 2)) < LEAST_OVERLAP] = -1.0
        better = correlation > best[left]
        to = left[better]
        best[to] = correlation[better]
        best_moved[to], best_inside[to] = moved[better], inside[better]
        step = _step(first[left], moved, inside, axis, stretch[left])
        stretch[left] = np.clip(stretch[left] + step[:, :2], -MAX_STRETCH, MAX_STRETCH)
        shift[left] = np.clip(shift[left] + step[:, 2:], -2 * MAX_SHIFT, 2 * MAX_SHIFT)
        left = left[best[left] < SETTLED]
        if number + 1 == CHECKED_AFTER:
            left = left[best[left] >= HOPELESS]
        if not len(left):
            break
    return best, _correlation(_detail(first), _detail(best_moved), best_inside)


def _step(
    first: np.ndarray, moved: np.ndarray, inside: np.ndarray, axis: np.ndarray, stretch: np.ndarray
) -> np.ndarray:
    """float32, shape (n, 4): how much more to stretch and to move along y and x."""
    n, side = len(first), len(axis)
    along_y, along_x = np.gradient(moved, axis=(1, 2))
    along_y *= (side - 1) / 2 / (1 + stretch[:, 0, None, None])
    along_x *= (side - 1) / 2 / (1 + stretch[:, 1, None, None])
    changes = (along_y * axis[:, None], along_x * axis, along_y, along_x)
    design = np.stack([*changes, moved, np.ones_like(moved)], axis=-1).reshape(n, -1, 6)
    weight = inside.reshape(n, -1, 1)
    residual = (first - moved).reshape(n, -1, 1) * weight
    normal = design.transpose(0, 2, 1) @ (design * weight)
    damping = np.trace(normal[:, :4, :4], axis1=1, axis2=2)[:, None] * DAMPING + 1e-6
    normal[:, range(6), range(6)] += damping
    return np.linalg.solve(normal, design.transpose(0, 2, 1) @ residual)[:, :4, 0]


def _detail(pictures: np.ndarray) -> np.ndarray:
    return pictures - gaussian_filter(pictures, (0, SOFT_PX, SOFT_PX))


def _interpolation(places: np.ndarray, side: int) -> np.ndarray:
    """Linear weights, shape (n, side, side): row i of each reads at `places[:, i]` in -1..1."""
    position = np.clip((places + 1) * (side - 1) / 2, 0, side - 1)
    distance = np.abs(position[:, :, None] - np.arange(side, dtype=np.float32))
    return np.maximum(1 - distance, 0).astype(np.float32)


def _correlation(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Of the levels where `inside` is 1; float32, shape (n,)."""
    total = np.maximum(inside.sum(axis=(1, 2), keepdims=True), 1)
    a = (first - (first * inside).sum(axis=(1, 2), keepdims=True) / total) * inside
    b = (second - (second * inside).sum(axis=(1, 2), keepdims=True) / total) * inside
    lengths = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    return ((a * b).sum(axis=(1, 2)) / np.maximum(lengths, 1e-3)).astype(np.float32)
