"""Confusion matrices as pictures: every cell with its number, or one compact overview."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from tl_app.report import svg
from tl_app.report.text import shorten

NAME_LIMIT = 24
SIDE = 0.94
"""Of a drawn cell, whose room is 1."""

OVERVIEW_CELLS = 250
"""The overview draws at most so many rows; more classes share a row."""


def row_shares(counts: np.ndarray) -> np.ndarray:
    """float64, shape (n_classes, n_classes): each row over its sum; 0 for an empty row."""
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)


def matrix_svg(
    counts: np.ndarray, class_names: Sequence[str], *, name: str, show: str, title: str
) -> Markup:
    """A cell a pair of classes, shaded by its share of the row.

    Args:
        counts: int64, shape (n_classes, n_classes), rows true classes.
        name: unique on the page.
        show: "both" (count above share), "counts" or "shares".
    """
    n_classes = len(counts)
    shares = row_shares(counts)
    cell_inches = float(np.interp(n_classes, [2, 6, 12, 30], [0.95, 0.72, 0.56, 0.36]))
    number_size = float(np.interp(n_classes, [2, 12, 30], [11, 9, 6.4]))
    name_size = float(np.interp(n_classes, [2, 12, 30], [10, 9, 7.5]))
    with svg.style():
        figure = Figure(figsize=(cell_inches * n_classes, cell_inches * n_classes))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_xlim(-0.5, n_classes - 0.5)
        axes.set_ylim(n_classes - 0.5, -0.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        _draw_frames(axes, n_classes)
        cells = np.argwhere((counts > 0) | np.eye(n_classes, dtype=bool))
        for row, column in cells.tolist():
            count, share = int(counts[row, column]), float(shares[row, column])
            _draw_cell(axes, row, column, count, share, show, number_size)
        labels = [shorten(class_name, NAME_LIMIT) for class_name in class_names]
        positions = np.arange(n_classes)
        axes.set_xticks(positions, labels)
        axes.set_yticks(positions, labels)
        axes.tick_params(
            length=0,
            pad=5,
            labeltop=True,
            labelbottom=False,
            labelsize=name_size,
            labelcolor=svg.INK,
        )
        # A character is about 0.0085 inches wide a point.
        if max(map(len, labels)) * name_size * 0.0085 > cell_inches:
            for label in axes.get_xticklabels():
                label.set(rotation=40, ha="left", va="bottom", rotation_mode="anchor")
        axes.set_ylabel("true class", fontsize=name_size, labelpad=8)
        axes.set_xlabel("predicted class", fontsize=name_size, labelpad=8)
        axes.xaxis.set_label_position("top")
        return svg.inline_svg(
            figure,
            name=name,
            title=title,
            description=f"{n_classes} rows of true classes, {n_classes} columns of predicted ones; "
            "the diagonal holds those that were told rightly.",
        )


def _draw_frames(axes, n_classes: int) -> None:
    """Faint squares for all cells, as one path."""
    square = Path.unit_rectangle()
    squares = [
        square.transformed(Affine2D().scale(SIDE).translate(column - SIDE / 2, row - SIDE / 2))
        for row in range(n_classes)
        for column in range(n_classes)
    ]
    axes.add_artist(PathPatch(Path.make_compound_path(*squares), facecolor=svg.BAND, linewidth=0))


def _draw_cell(axes, row, column, count, share, show, size) -> None:
    """One square: filled by its share, with its numbers."""
    right = row == column
    # Few mistakes should still be seen: mistakes start darker than their share.
    strength = share if right else 0.18 + 0.82 * share
    if count:
        square = Rectangle(
            (column - SIDE / 2, row - SIDE / 2),
            SIDE,
            SIDE,
            linewidth=0,
            facecolor=svg.CELL_GOOD if right else svg.CELL_BAD,
            alpha=round(strength, 3),
        )
        square.set_in_layout(False)
        axes.add_artist(square)
    # Where white on the fill is easier to read than ink (measured for the light colours; on
    # the dark page both are light).
    is_strong = strength > (0.76 if right else 0.9)
    colour = svg.ON_FILL if count and is_strong else svg.INK
    share_text = f"{100 * share:.0f}" if show == "shares" else f"{100 * share:.0f} %"
    style = {"ha": "center", "color": colour, "in_layout": False}
    if show == "both":
        axes.text(column, row - 0.04, f"{count:,}", va="bottom", fontsize=size + 1.5, **style)
        axes.text(column, row + 0.08, share_text, va="top", fontsize=size - 1.2, **style)
    else:
        label = f"{count}" if show == "counts" else share_text
        axes.text(column, row, label, va="center_baseline", fontsize=size, **style)


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
