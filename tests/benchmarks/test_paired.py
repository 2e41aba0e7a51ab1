"""The paired difference, against exact computation."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from benchmarks.paired import (
    Z,
    compare,
    constrained_share,
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


def test_pictures_are_matched_by_name() -> None:
    first = {"a": True, "b": True, "c": False, "d": True}
    second = {"d": False, "c": True, "b": True, "a": False}
    found = compare(first, second)
    assert (found.n_first_only, found.n_second_only, found.n_pictures) == (2, 1, 4)
    assert found.difference == 0.25
    assert found.low < 0.25 < found.high


def test_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="such as b"):
        compare({"a": True}, {"a": True, "b": True})
