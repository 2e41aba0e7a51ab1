"""Closed forms of a paired comparison, against exact computation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tl_app.evaluation.intervals import Z
from tl_app.evaluation.paired import (
    class_changes,
    constrained_share,
    disagreement,
    effective_number,
    holm,
    mcnemar_p_value,
    tango_limits,
    tango_statistic,
)


def exact_p_value(n_first: int, n_second: int) -> Fraction:
    """All outcomes of fair coins that are as unlikely as the observed one, or more so."""
    n_apart = n_first + n_second
    observed = math.comb(n_apart, n_first)
    found = sum(
        math.comb(n_apart, k) for k in range(n_apart + 1) if math.comb(n_apart, k) <= observed
    )
    return Fraction(found, 2**n_apart)


@pytest.mark.parametrize("n_first", range(8))
@pytest.mark.parametrize("n_second", range(8))
def test_mcnemar_is_the_exact_sum(n_first: int, n_second: int) -> None:
    assert mcnemar_p_value(n_first, n_second) == pytest.approx(
        float(exact_p_value(n_first, n_second)), rel=1e-12
    )


def test_a_published_interval() -> None:
    """Fagerland, Lydersen and Laake, 2014: 1 against 7 of 21 children, -0.286."""
    low, high = tango_limits(1, 7, 21)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(("n_first", "n_second"), [(3, 1), (0, 4), (6, 6), (0, 0)])
@pytest.mark.parametrize("delta", [-0.2, -0.05, 0.0, 0.1, 0.3])
def test_the_share_is_the_likeliest(n_first: int, n_second: int, delta: float) -> None:
    n_pictures = 20
    n_together = n_pictures - n_first - n_second

    def log_likelihood(share: float) -> float:
        cells = ((n_first, share + delta), (n_second, share), (n_together, 1 - 2 * share - delta))
        return sum(n * math.log(max(p, 1e-300)) for n, p in cells if n)

    low, high = max(0.0, -delta), (1 - delta) / 2
    grid = [low + (high - low) * i / 20_000 for i in range(20_001)]
    best = max(grid, key=log_likelihood)
    assert constrained_share(delta, n_first, n_second, n_pictures) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(("n_first", "n_second"), [(0, 0), (5, 0), (0, 9), (4, 3), (40, 0)])
def test_limits_hold_the_estimate_and_end_where_the_statistic_does(
    n_first: int, n_second: int
) -> None:
    low, high = tango_limits(n_first, n_second, 40)
    assert low <= (n_first - n_second) / 40 <= high
    assert high - low > 0.05
    for limit in (low, high):
        if abs(limit) < 1:
            statistic = tango_statistic(limit, n_first, n_second, 40)
            assert abs(statistic) == pytest.approx(Z, rel=1e-6)


def test_limits_turn_with_the_sides() -> None:
    low, high = tango_limits(7, 2, 50)
    assert tango_limits(2, 7, 50) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize(("p_first", "p_second"), [(0.3, 0.1), (0.1, 0.05), (0.2, 0.2)])
def test_the_interval_covers(p_first: float, p_second: float) -> None:
    """Probability of holding the true difference, summed over every outcome."""
    n_pictures, covered = 40, 0.0
    for n_first in range(n_pictures + 1):
        for n_second in range(n_pictures + 1 - n_first):
            n_together = n_pictures - n_first - n_second
            ways = math.comb(n_pictures, n_first) * math.comb(n_pictures - n_first, n_second)
            weight = (
                ways
                * p_first**n_first
                * p_second**n_second
                * (1 - p_first - p_second) ** n_together
            )
            if abs(tango_statistic(p_first - p_second, n_first, n_second, n_pictures)) <= Z:
                covered += weight
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("n_first", "n_second", "n_examples"), [(3, 9, 50), (0, 4, 30)])
def test_counts_scaled_down_give_a_wider_interval(
    n_first: int, n_second: int, n_examples: int
) -> None:
    """Every example twice is no new evidence: half of the counts gives what one of each gives."""
    once = tango_limits(n_first, n_second, n_examples)
    twice = tango_limits(2 * n_first * 0.5, 2 * n_second * 0.5, 2 * n_examples * 0.5)
    assert twice == pytest.approx(once)
    assert np.ptp(tango_limits(2 * n_first, 2 * n_second, 2 * n_examples)) < np.ptp(once)


def test_effective_number() -> None:
    assert effective_number(np.array([4, 2, 9])) == 3
    assert effective_number(np.array([5, 5, 5, 5])) == 1
    # A group of 3 and a single one: 16 / (9 + 1).
    assert effective_number(np.array([0, 0, 0, 1])) == pytest.approx(1.6)


p_value_lists = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(p_value_lists)
def test_holm_rejects_what_the_sequential_procedure_rejects(values: list[float]) -> None:
    """The procedure as published: step through the sorted p-values until one is too large."""
    p_values = np.array(values)
    rejected = set()
    for rank, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        if p_values[i] * (len(values) - rank) >= 0.05:
            break
        rejected.add(i)
    corrected = holm(p_values)
    assert set(np.flatnonzero(corrected < 0.05).tolist()) == rejected
    assert (corrected >= p_values).all()
    assert (corrected <= 1).all()


def test_counts_of_a_disagreement() -> None:
    right_a = np.array([1, 1, 1, 0, 0, 0, 1, 1], dtype=bool)
    right_b = np.array([1, 0, 0, 1, 0, 0, 0, 1], dtype=bool)
    alone = disagreement(right_a, right_b, np.arange(8))
    assert (alone.n_both, alone.n_only_a, alone.n_only_b, alone.n_neither) == (2, 3, 1, 2)
    assert (alone.n_groups_a, alone.n_groups_b) == (3, 1)
    assert alone.p_value == stats.binomtest(1, 4).pvalue


def test_copies_count_once() -> None:
    """Five copies of one example that only A tells rightly are one disagreement, not five."""
    right_a = np.array([True] * 5 + [True, False])
    right_b = np.array([False] * 5 + [True, True])
    found = disagreement(right_a, right_b, np.array([0, 0, 0, 0, 0, 1, 2]))
    assert (found.n_only_a, found.n_only_b) == (5, 1)
    assert (found.n_groups_a, found.n_groups_b, found.p_value) == (1, 1, 1.0)


def test_classes_that_changed() -> None:
    """60 examples of "worse" lose a third, "same" loses and gains one, of "gone" there is none."""
    y_true = np.repeat([0, 1], 60)
    right_a, right_b = np.ones(120, dtype=bool), np.ones(120, dtype=bool)
    right_b[:20] = False
    right_a[60], right_b[61] = False, False
    worse, same, gone = class_changes(
        right_a, right_b, y_true, np.arange(120), ("worse", "same", "gone")
    )
    assert (worse.support, worse.recall_a, worse.recall_b) == (60, 1.0, 40 / 60)
    assert worse.difference.value == pytest.approx(-1 / 3)
    assert (worse.difference.low, worse.difference.high) == tango_limits(0, 20, 60)
    # Two classes were looked at; one without examples is no look.
    assert worse.p_value == pytest.approx(2 * stats.binomtest(0, 20).pvalue)
    assert worse.differs
    assert (same.difference.value, same.p_value, same.differs) == (0.0, 1.0, False)
    assert (gone.support, gone.difference.low, gone.differs) == (0, None, False)


def test_copies_widen_the_interval_of_a_class() -> None:
    right_a, right_b = np.ones(40, dtype=bool), np.ones(40, dtype=bool)
    right_b[:8] = False
    y_true = np.zeros(40, dtype=np.int64)
    [alone] = class_changes(right_a, right_b, y_true, np.arange(40), ("a",))
    [copies] = class_changes(right_a, right_b, y_true, np.arange(40) // 4, ("a",))
    assert (copies.difference.low, copies.difference.high) == tango_limits(0, 2, 10)
    assert copies.difference.value == alone.difference.value
    assert alone.differs
    assert not copies.differs


def test_by_chance_alone_few_comparisons_find_a_changed_class() -> None:
    """Both classifiers err independently at the same rate; ten classes are looked at."""
    random = np.random.default_rng(0)
    y_true, groups = np.repeat(np.arange(10), 60), np.arange(600)
    names = [str(i) for i in range(10)]
    n_found = 0
    for _ in range(200):
        right_a, right_b = random.random((2, 600)) < 0.8
        changes = class_changes(right_a, right_b, y_true, groups, names)
        n_found += any(change.differs for change in changes)
    assert n_found / 200 <= 0.05
