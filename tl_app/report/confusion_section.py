"""Which classes are taken for which, and the examples behind every number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tl_app.report.confusion_figure import overview_svg, row_shares
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.gallery import Gallery, Item
from tl_app.report.page import render

MOST_CLASSES = 30
"""Up to so many classes the whole matrix is shown; above, its worst pairs are listed."""

BOTH_NUMBERS = 12
"""Up to so many classes a cell has room for its count and its share."""

N_WORST_PAIRS = 20
N_PAIRS_BESIDE = 5
"""Worst pairs that are listed: instead of the matrix, and beside it."""

MOST_IN_CELL = 8
MOST_ITEMS = 240
"""Examples that are shown behind cells: of one cell, and of all of them; every cell has one."""

MOST_CELL_BYTES = 2_000_000
MOST_CELL_TEXT = 300

STRONG_RIGHT, STRONG_WRONG = 0.78, 0.9
"""From which strength on white is easier to read on the fill than ink, of the light page's colours;
on the dark page both are light."""


@dataclass(slots=True)
class Cell:
    """One pair of classes.

    Attributes:
        row, column: numbers of the true and of the predicted class.
        true, predicted: their names.
        count: how many examples.
        share: of the row.
        items: some of its examples: the surest mistakes, the least sure right answers.
    """

    row: int
    column: int
    true: str
    predicted: str
    count: int
    share: float
    items: list[Item]

    @property
    def is_right(self) -> bool:
        return self.row == self.column

    @property
    def anchor(self) -> str:
        return f"cell-{self.row}-{self.column}"

    @property
    def strength(self) -> float:
        """How dark its fill is, 0..1: few mistakes should still be seen."""
        return self.share if self.is_right else 0.18 + 0.82 * self.share

    @property
    def is_strong(self) -> bool:
        return self.strength > (STRONG_RIGHT if self.is_right else STRONG_WRONG)


def confusion(contents: ReportContents) -> Fragment:
    """The matrix, or its worst pairs, and what is behind each cell."""
    evaluation = contents.evaluation
    counts = np.array(evaluation.confusion_counts, dtype=np.int64)
    names = evaluation.class_names
    is_whole = len(names) <= MOST_CLASSES
    pairs = worst_pairs(counts)
    shares = row_shares(counts)
    shown = np.argwhere(counts > 0).tolist() if is_whole else pairs
    cells = {
        (row, column): Cell(
            row,
            column,
            names[row],
            names[column],
            int(counts[row, column]),
            float(shares[row, column]),
            [],
        )
        for row, column in shown
    }
    fill(cells, contents)
    body = render(
        "confusion.html",
        names=names,
        cells=cells,
        pairs=[cells[row, column] for row, column in pairs[: N_PAIRS_BESIDE if is_whole else None]],
        overview=None
        if is_whole
        else overview_svg(counts, name="confusion", title="All confusions at a glance"),
        shows_both=len(names) <= BOTH_NUMBERS,
        n_mistakes=int(counts.sum() - np.trace(counts)),
        n_examples=int(counts.sum()),
        wording=contents.wording,
        has_pictures=contents.has_pictures,
    )
    return Fragment("confusions", "Confusions", body)


def worst_pairs(counts: np.ndarray) -> list[tuple[int, int]]:
    """The most frequent confusions: number first, then share of the true class.

    Args:
        counts: int64, shape (n_classes, n_classes), rows true classes.
    """
    shares = row_shares(counts)
    rows, columns = np.nonzero(counts * ~np.eye(len(counts), dtype=bool))
    order = np.lexsort((-shares[rows, columns], -counts[rows, columns]))[:N_WORST_PAIRS]
    return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))


def fill(cells: dict[tuple[int, int], Cell], contents: ReportContents) -> None:
    """Give each cell an example, then more in turns, mistakes first."""
    predictions = contents.predictions
    y_true, y_pred = predictions.y_true, predictions.y_pred
    confidence = predictions.probabilities[np.arange(len(y_pred)), y_pred]
    behind: dict[tuple[int, int], list[int]] = {place: [] for place in cells}
    for row in np.argsort(-confidence, kind="stable").tolist():
        rows = behind.get((int(y_true[row]), int(y_pred[row])))
        if rows is not None:
            rows.append(row)
    for place, rows in behind.items():
        if cells[place].is_right:
            rows.reverse()
    gallery = Gallery(contents, room_bytes=MOST_CELL_BYTES, most_text=MOST_CELL_TEXT, why=False)
    order = sorted(cells.values(), key=lambda cell: (cell.is_right, -cell.count))
    further = [
        (turn, cell)
        for are_right in (False, True)
        for turn in range(1, MOST_IN_CELL)
        for cell in order
        if cell.is_right == are_right and turn < cell.count
    ]
    firsts = [(0, cell) for cell in order]
    for turn, cell in [*firsts, *further[: max(MOST_ITEMS - len(firsts), 0)]]:
        cell.items.append(gallery.item(behind[cell.row, cell.column][turn]))
