"""The paired difference, against exact computation."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paired import (
    Z,
    compare,
    compare_rounds,
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


ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


def sides(answers: list[tuple[bool, bool]], prefix: str = "") -> list[dict[str, bool]]:
    """What each of the two told rightly, by example."""
    return [
        {f"{prefix}{number}": both[side] for number, both in enumerate(answers)} for side in (0, 1)
    ]


@given(st.lists(ANSWERS, min_size=1, max_size=3))
def test_rounds_that_share_no_example_are_one_comparison(
    rounds: list[list[tuple[bool, bool]]],
) -> None:
    apart = [sides(answers, f"{number} ") for number, answers in enumerate(rounds)]
    first, second = zip(*apart, strict=True)
    plain = compare(*sides([both for answers in rounds for both in answers]))
    found = compare_rounds(first, second)
    assert found == pytest.approx((plain.difference, plain.low, plain.high))


@given(ANSWERS)
def test_saying_the_same_again_tells_nothing_new(answers: list[tuple[bool, bool]]) -> None:
    first, second = sides(answers)
    once = compare_rounds([first], [second])
    again = compare_rounds([first] * 3, [second] * 3)
    assert again[0] == pytest.approx(once[0])
    # Not narrower, and wider by no more than the correction for few examples.
    assert width(again) >= width(once) - 1e-9
    assert width(again) <= 1.3 * width(once)


@given(st.lists(ANSWERS, min_size=2, max_size=3))
def test_repeated_examples_never_make_the_interval_narrower(
    rounds: list[list[tuple[bool, bool]]],
) -> None:
    shared = [sides(answers) for answers in rounds]
    apart = [sides(answers, f"{number} ") for number, answers in enumerate(rounds)]
    wide = compare_rounds(*zip(*shared, strict=True))
    narrow = compare_rounds(*zip(*apart, strict=True))
    assert wide[0] == pytest.approx(narrow[0])
    assert width(wide) >= width(narrow) - 1e-9


def width(found: tuple[float, float, float]) -> float:
    _, low, high = found
    return high - low


def test_repeated_answers_that_agree_widen_the_interval() -> None:
    answers = [(True, False)] * 9 + [(False, True)] * 3 + [(True, True)] * 28
    first, second = sides(answers)
    plain = compare(
        *({f"{n} {example}": side[example] for n in range(3) for example in side}
          for side in (first, second))
    )  # fmt: skip
    found = compare_rounds([first] * 3, [second] * 3)
    assert width(found) > 1.6 * (plain.high - plain.low)


def test_rounds_of_other_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="such as b"):
        compare_rounds([{"a": True}, {"a": True}], [{"a": True}, {"a": True, "b": True}])
