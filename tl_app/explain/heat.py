"""Heat maps: which parts of a picture spoke for the answer.

A map says where a network looked, and no more than that; one that a head of random weights would
have given as well says nothing of what was learned (Adebayo et al., 2018, "Sanity checks for
saliency maps"), so each set of maps carries how much it agrees with such heads' maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Method = Literal["grad_cam", "occlusion"]

DECIMALS = 3
OCCLUSION_CELLS = 7
"""Patches a side; each covers its cell and half a cell around it."""


@dataclass(frozen=True, slots=True)
class HeatMaps:
    """Maps of some pictures, each for the class that the model gave as its answer.

    Attributes:
        method: how they were made.
        maps: path -> float32, shape (h, w), rows from the top, 0 where nothing spoke for the answer
            to 1 where the most did; all 0 where nothing did.
        alike: mean size of the rank correlation (Spearman) with the maps of heads with the same
            weights in a random order, 0..1, signs left out: a map turned about shows the same
            places. None where no map varies.
    """

    method: Method
    maps: Mapping[str, np.ndarray]
    alike: float | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "alike": self.alike,
            "maps": {
                path: np.round(heat.astype(np.float64), DECIMALS).tolist()
                for path, heat in self.maps.items()
            },
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HeatMaps:
        maps = {path: np.array(heat, np.float32) for path, heat in values["maps"].items()}
        return cls(values["method"], maps, values["alike"])


def to_unit(heat: np.ndarray) -> np.ndarray:
    """What speaks for the answer, by the largest of each map.

    Args:
        heat: float32, shape (n, h, w), any range.

    Returns:
        float32, same shape, 0..1.
    """
    positive = np.maximum(heat, 0)
    largest = positive.max(axis=(1, 2), keepdims=True)
    return np.divide(positive, largest, out=np.zeros_like(positive), where=largest > 0)


def mean_alike(maps: np.ndarray, others: np.ndarray) -> float | None:
    """Mean size of Spearman's correlation with other maps of the same pictures.

    Some have one sign and some the other; a mean of both would hide that all are alike.

    Args:
        maps: float32, shape (n, h, w).
        others: float32, shape (n_others, n, h, w).

    Returns:
        0..1; None where no map varies.
    """
    from scipy.stats import rankdata

    def ranks(values: np.ndarray) -> np.ndarray:
        flat = rankdata(values.reshape(*values.shape[:-2], -1), axis=-1)
        centred = flat - flat.mean(axis=-1, keepdims=True)
        length = np.linalg.norm(centred, axis=-1, keepdims=True)
        return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)

    mine, theirs = ranks(maps), ranks(others)
    varies = mine.any(axis=-1) & theirs.any(axis=-1)
    if not varies.any():
        return None
    return float(np.abs((mine * theirs).sum(axis=-1))[varies].mean())


def occlude(picture: np.ndarray) -> np.ndarray:
    """A picture without each of its parts, covered by its mean colour.

    Args:
        picture: float32, shape (S, S, 3).

    Returns:
        float32, shape (OCCLUSION_CELLS ** 2, S, S, 3), cells row by row.

    Source: Zeiler and Fergus, 2014.
    """
    side, n = picture.shape[0], OCCLUSION_CELLS
    bounds = np.linspace(0, side, n + 1)
    margin = side / n / 2
    starts = np.maximum(bounds[:-1] - margin, 0).astype(int)
    stops = np.minimum(bounds[1:] + margin, side).astype(int)
    covered = np.repeat(picture[np.newaxis], n * n, axis=0)
    mean = picture.mean(axis=(0, 1))
    for row in range(n):
        for column in range(n):
            patch = (slice(starts[row], stops[row]), slice(starts[column], stops[column]))
            covered[row * n + column][patch] = mean
    return covered


def occlusion_map(whole: float, covered: np.ndarray) -> np.ndarray:
    """How much less sure the model is of its answer without each part.

    Args:
        whole: probability of the answer.
        covered: float32, shape (OCCLUSION_CELLS ** 2,), the same without each part.

    Returns:
        float32, shape (OCCLUSION_CELLS, OCCLUSION_CELLS).
    """
    return (whole - covered).reshape(OCCLUSION_CELLS, OCCLUSION_CELLS).astype(np.float32)
