"""Two classifiers, A and B, on the same examples, by who tells which rightly: closed forms.

Examples that both tell rightly, or both wrongly, say nothing about which is better; what counts
are those that only one of the two tells rightly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tl_app.evaluation.intervals import Z
from tl_app.records import Interval

SIGNIFICANCE = 0.05
"""A class has changed where its p-value, corrected for all classes, is below."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Who tells which examples rightly, and McNemar's exact test that neither is better.

    Attributes:
        n_both, n_only_a, n_only_b, n_neither: examples that are told rightly.
        n_groups_a, n_groups_b: groups of which A, or B, tells more rightly. Each counts once,
            since copies are no new evidence; without copies they are `n_only_a`, `n_only_b`.
        p_value: from these two, two-sided.
    """

    n_both: int
    n_only_a: int
    n_only_b: int
    n_neither: int
    n_groups_a: int
    n_groups_b: int
    p_value: float


@dataclass(frozen=True, slots=True)
class ClassChange:
    """How the recall of one class changed.

    Attributes:
        name: of the class.
        support: its examples.
        recall_a, recall_b: fractions; 0 where it has no example.
        difference: B less A with its 95 % interval (Tango's, with the counts scaled down to as
            many independent examples as its groups are worth); no limits without an example.
        p_value: McNemar's, corrected for looking at all classes (Holm).
        differs: whether that is below 0.05.
    """

    name: str
    support: int
    recall_a: float
    recall_b: float
    difference: Interval
    p_value: float
    differs: bool


def disagreement(right_a: np.ndarray, right_b: np.ndarray, groups: np.ndarray) -> Disagreement:
    """Count who tells which examples rightly.

    Args:
        right_a, right_b: bool, shape (n_examples,).
        groups: int64, shape (n_examples,), from 0; examples with one number belong together.
    """
    balance = np.bincount(groups, weights=right_b.astype(np.float64) - right_a)
    n_groups_a, n_groups_b = int((balance < 0).sum()), int((balance > 0).sum())
    return Disagreement(
        n_both=int((right_a & right_b).sum()),
        n_only_a=int((right_a & ~right_b).sum()),
        n_only_b=int((right_b & ~right_a).sum()),
        n_neither=int((~right_a & ~right_b).sum()),
        n_groups_a=n_groups_a,
        n_groups_b=n_groups_b,
        p_value=mcnemar_p_value(n_groups_a, n_groups_b),
    )


def class_changes(
    right_a: np.ndarray,
    right_b: np.ndarray,
    y_true: np.ndarray,
    groups: np.ndarray,
    class_names: Sequence[str],
) -> tuple[ClassChange, ...]:
    """How the recall of each class changed.

    Args:
        right_a, right_b: bool, shape (n_examples,).
        y_true, groups: int64, shape (n_examples,), from 0.
        class_names: one a class.
    """
    members = [np.flatnonzero(y_true == label) for label in range(len(class_names))]
    found = [disagreement(right_a[rows], right_b[rows], groups[rows]) for rows in members]
    seen = np.array([len(rows) > 0 for rows in members])
    p_values = np.array([one.p_value for one in found])
    p_values[seen] = holm(p_values[seen])
    return tuple(
        _class_change(name, one, groups[rows], float(p_value))
        for name, one, rows, p_value in zip(class_names, found, members, p_values, strict=True)
    )


def _class_change(
    name: str, found: Disagreement, groups: np.ndarray, p_value: float
) -> ClassChange:
    support = len(groups)
    if not support:
        return ClassChange(name, 0, 0.0, 0.0, Interval(0.0, None, None), p_value, False)
    scale = effective_number(groups) / support
    low, high = tango_limits(scale * found.n_only_b, scale * found.n_only_a, scale * support)
    return ClassChange(
        name=name,
        support=support,
        recall_a=(found.n_both + found.n_only_a) / support,
        recall_b=(found.n_both + found.n_only_b) / support,
        difference=Interval((found.n_only_b - found.n_only_a) / support, low, high),
        p_value=p_value,
        differs=p_value < SIGNIFICANCE,
    )


def mcnemar_p_value(n_first: int, n_second: int) -> float:
    """Two-sided exact p-value that neither of two classifiers is better.

    Args:
        n_first, n_second: examples that only the first, only the second tells rightly.

    Source: McNemar, 1947, with the binomial distribution.
    """
    n_apart = n_first + n_second
    return float(stats.binomtest(n_first, n_apart).pvalue) if n_apart else 1.0


def holm(p_values: np.ndarray) -> np.ndarray:
    """p-values corrected for looking at all of them, float64, in their order.

    Where nothing differs at all, one or more is then below 0.05 in at most 5 % of cases.

    Source: Holm, 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    scaled = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return corrected


def effective_number(groups: np.ndarray) -> float:
    """How many independent examples tell as much as these, where those of a group are alike.

    Args:
        groups: int64, shape (n_examples,), from 1 example; any numbers.

    Source: Kish, 1965, "Survey Sampling", for clusters of unequal size.
    """
    _, sizes = np.unique(groups, return_counts=True)
    return float(len(groups) ** 2 / (sizes.astype(np.float64) ** 2).sum())


def tango_limits(n_first: float, n_second: float, n_examples: float) -> tuple[float, float]:
    """95 % score interval of the difference of two shares told rightly, first less second.

    Args:
        n_first, n_second: examples that only the first, only the second tells rightly; may be
            fractions (effective counts).
        n_examples: all, above 0.

    Returns:
        (low, high) in [-1, 1]; of no zero width where the two agree everywhere.

    Source: Tango, 1998, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design".
    """
    difference = (n_first - n_second) / n_examples

    def edge(inside: float, outside: float) -> float:
        # The statistic passes Z once between the estimate and the end of the range.
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(tango_statistic(middle, n_first, n_second, n_examples)) <= Z:
                inside = middle
            else:
                outside = middle
        return inside

    return edge(difference, -1.0), edge(difference, 1.0)


def tango_statistic(delta: float, n_first: float, n_second: float, n_examples: float) -> float:
    """How many standard errors the observed difference is from `delta`.

    The error is that under `delta`, with the share of examples that only the second tells
    rightly at its maximum likelihood.
    """
    surplus = n_first - n_second - n_examples * delta
    share = constrained_share(delta, n_first, n_second, n_examples)
    variance = n_examples * (2 * share + delta * (1 - delta))
    if variance <= 0:
        return 0.0 if surplus == 0 else math.copysign(math.inf, surplus)
    return surplus / math.sqrt(variance)


def constrained_share(delta: float, n_first: float, n_second: float, n_examples: float) -> float:
    """Likeliest share of the examples that only the second tells rightly, given `delta`."""
    b = (2 * n_examples - n_first + n_second) * delta - n_first - n_second
    c = -n_second * delta * (1 - delta)
    root = math.sqrt(max(b * b - 8 * n_examples * c, 0.0))
    return max((root - b) / (4 * n_examples), 0.0, -delta)
