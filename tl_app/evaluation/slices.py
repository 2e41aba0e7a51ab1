"""How right the model is on parts of the evaluated side, such as short and long texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tl_app.evaluation.intervals import wilson_limits
from tl_app.records import Interval

MOST_SLICES = 4
LEAST_EXAMPLES = 8
"""A slice of fewer says nothing."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One part.

    Attributes:
        name: for people.
        n_examples: how many it has.
        accuracy: with its interval.
        differs: whether it is worse or better than the rest beyond chance, all slices of the
            table looked at together (Fisher's exact test, Bonferroni, 5 %).
    """

    name: str
    n_examples: int
    accuracy: Interval
    differs: bool


def slices_by_name(names: Sequence[str], is_right: np.ndarray) -> list[Slice]:
    """One slice a name, the most frequent first; rare ones are left out.

    Args:
        names: of each example's slice.
        is_right: bool, shape (n_examples,).
    """
    labels = np.array(names, dtype=object)
    found = sorted(set(names), key=lambda name: (-int((labels == name).sum()), name))
    members = [(name, labels == name) for name in found]
    return _measured([(n, m) for n, m in members if m.sum() >= LEAST_EXAMPLES], is_right)


def slices_by_size(sizes: np.ndarray, is_right: np.ndarray, unit: str) -> list[Slice]:
    """Parts of about equal numbers of examples, from the smallest to the largest.

    Examples of one size stay together, and no part has fewer than `LEAST_EXAMPLES`: where many are
    of one size there are fewer parts.

    Args:
        sizes: int64, shape (n_examples,).
        is_right: bool, shape (n_examples,).
        unit: plural, for the names: "characters".
    """
    n_slices = min(MOST_SLICES, len(sizes) // LEAST_EXAMPLES)
    if n_slices < 2:
        return []
    ordered = np.sort(sizes)
    members = []
    for start, stop in pairwise(_bounds(ordered, n_slices)):
        low, high = int(ordered[start]), int(ordered[stop - 1])
        span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        members.append((f"{span} {unit}", (sizes >= low) & (sizes <= high)))
    return _measured(members, is_right)


def _bounds(ordered: np.ndarray, n_slices: int) -> list[int]:
    """Where the parts of sorted sizes begin, and the end of the last.

    Bounds are the changes of size nearest to where equal parts would meet, those left out that
    would leave too few examples before or behind them.
    """
    n_examples, bounds = len(ordered), [0]
    changes = np.flatnonzero(np.diff(ordered)) + 1
    changes = changes[(changes >= LEAST_EXAMPLES) & (changes <= n_examples - LEAST_EXAMPLES)]
    if len(changes):
        for wanted in np.linspace(0, n_examples, n_slices + 1)[1:-1]:
            nearest = int(changes[np.abs(changes - wanted).argmin()])
            if nearest - bounds[-1] >= LEAST_EXAMPLES:
                bounds.append(nearest)
    return [*bounds, n_examples]


def _measured(members: Sequence[tuple[str, np.ndarray]], is_right: np.ndarray) -> list[Slice]:
    from scipy.stats import fisher_exact

    found = []
    for name, mine in members:
        n, right = int(mine.sum()), int(is_right[mine].sum())
        others, others_right = len(is_right) - n, int(is_right.sum()) - right
        table = [[right, n - right], [others_right, others - others_right]]
        p_value = float(fisher_exact(table).pvalue) if others else 1.0
        low, high = wilson_limits(right, n)
        found.append(
            Slice(
                name,
                n,
                Interval(right / n, float(low), float(high)),
                p_value * len(members) < 0.05,
            )
        )
    return found
