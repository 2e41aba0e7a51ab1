"""The confusions of many classes as one compact picture."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tl_app.report import svg

OVERVIEW_CELLS = 250
"""The overview draws at most so many rows; more classes share a row."""


def row_shares(counts: np.ndarray) -> np.ndarray:
    """float64, shape (n_classes, n_classes): each row over its sum; 0 for an empty row."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def overview_svg(counts: np.ndarray, *, name: str, title: str) -> Markup:
    """All classes at a glance, without names: the diagonal, and where mistakes gather.

    Each dot is the largest row share of the classes that it stands for.
    """
    n_classes = len(counts)
    shares = row_shares(counts)
    block = -(-n_classes // OVERVIEW_CELLS)
    n_blocks = -(-n_classes // block)
    padded = np.zeros((n_blocks * block, n_blocks * block))
    padded[:n_classes, :n_classes] = shares
    right = np.zeros_like(padded)
    np.fill_diagonal(right, np.diagonal(padded))
    wrong = padded - right
    right, wrong = (
        part.reshape(n_blocks, block, n_blocks, block).max(axis=(1, 3)) for part in (right, wrong)
    )
    # An image carries its own colours, so these two are chosen to be seen on white and on black.
    image = np.zeros((n_blocks, n_blocks, 4))
    mistakes = wrong > right
    image[..., :3] = np.where(mistakes[..., np.newaxis], to_rgb("#d9603b"), to_rgb("#3f7fd0"))
    strongest = np.maximum(right, wrong)
    image[..., 3] = np.where(strongest > 0, 0.15 + 0.85 * np.sqrt(strongest), 0.0)
    with svg.style():
        figure = Figure(figsize=(5.2, 5.2))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.imshow(
            image,
            interpolation="nearest",
            extent=(0.5, n_blocks * block + 0.5, n_blocks * block + 0.5, 0.5),
        )
        axes.set_xlabel("predicted class, by its number in the table of classes")
        axes.set_ylabel("true class")
        for spine in axes.spines.values():
            spine.set_visible(True)
        return svg.inline_svg(
            figure,
            name=name,
            title=title,
            description="Blue dots on the diagonal are classes told rightly, orange dots elsewhere "
            "are confusions; the stronger, the larger their share of the true class.",
        )
