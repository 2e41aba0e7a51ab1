"""Two classifiers matched by the names of pictures; figures are those of `evaluation.paired`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paired import compare, compare_rounds


def test_pictures_are_matched_by_name() -> None:
    first = {"a": True, "b": True, "c": False, "d": True}
    second = {"d": False, "c": True, "b": True, "a": False}
    found = compare(first, second)
    assert (found.n_first_only, found.n_second_only, found.n_pictures) == (2, 1, 4)
    assert found.difference == 0.25
    assert found.low < 0.25 < found.high
    assert found.p_value == 1.0


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
