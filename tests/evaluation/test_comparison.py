"""The verdict on two classifiers, and what comes with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.evaluation.comparison import (
    Comparison,
    PairedPredictions,
    compare_predictions,
    examples_needed,
    joint_groups,
    judge,
)
from tl_app.evaluation.comparison_words import mcnemar_sentence, verdict_sentence
from tl_app.records import Interval

NAMES = ("cat", "dog", "owl")


def told(right: np.ndarray, y_true: np.ndarray, confidence: float = 0.8) -> np.ndarray:
    """Probabilities of three classes that are right where `right` says so."""
    said = np.where(right, y_true, (y_true + 1) % 3)
    probabilities = np.full((len(y_true), 3), (1 - confidence) / 2, dtype=np.float32)
    probabilities[np.arange(len(y_true)), said] = confidence
    return probabilities


def pairs(n: int, *, n_only_a: int = 0, n_only_b: int = 0, **changes) -> PairedPredictions:
    """`n` examples, of which A alone tells some rightly, B alone others, and both the rest."""
    y_true = np.arange(n) % 3
    right_a, right_b = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    right_b[:n_only_a] = False
    right_a[n_only_a : n_only_a + n_only_b] = False
    values = {
        "paths": tuple(f"{i}.jpg" for i in range(n)),
        "y_true": y_true,
        "probabilities_a": told(right_a, y_true),
        "probabilities_b": told(right_b, y_true),
        "groups": np.arange(n),
        "class_names": NAMES,
    }
    return PairedPredictions(**{**values, **changes})


def compared(n: int, margin: float = 0.01, **how) -> Comparison:
    return compare_predictions(pairs(n, **how), margin=margin, n_resamples=1000)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(0.02, 0.001, 0.04), "better"),
        (Interval(0.0, -0.009, 0.009), "not worse"),
        (Interval(-0.005, -0.009, -0.001), "not worse"),
        (Interval(-0.02, -0.04, -0.001), "worse"),
        (Interval(0.0, -0.01, 0.01), "cannot tell"),
        (Interval(-0.02, -0.04, 0.0), "cannot tell"),
        (Interval(0.0, None, None), "cannot tell"),
    ],
)
def test_the_verdict_follows_from_the_interval(interval: Interval, verdict: str) -> None:
    assert judge(interval, 0.01) == verdict


def test_without_a_margin_only_better_is_not_worse() -> None:
    assert judge(Interval(0.02, 0.0, 0.04), 0.0) == "cannot tell"
    assert judge(Interval(0.02, 0.001, 0.04), 0.0) == "better"


@pytest.mark.parametrize(
    ("verdict", "passes", "how"),
    [
        ("better", True, {"n_only_b": 40}),
        ("not worse", True, {"n_only_a": 3, "n_only_b": 3}),
        ("worse", False, {"n_only_a": 60, "n_only_b": 5}),
        ("cannot tell", False, {"n_only_a": 60, "n_only_b": 60}),
    ],
)
def test_the_four_verdicts(verdict: str, passes: bool, how: dict[str, int]) -> None:
    found = compared(1500, **how)
    assert (found.verdict, found.passes) == (verdict, passes)
    assert found.accuracy.difference.value == pytest.approx(
        (how.get("n_only_b", 0) - how.get("n_only_a", 0)) / 1500
    )
    assert (found.n_examples_needed is not None) == (verdict == "cannot tell")


def test_a_few_examples_cannot_show_two_equal_classifiers_to_be_equal() -> None:
    found = compared(40)
    assert found.verdict == "cannot tell"
    assert found.n_examples_needed is not None
    assert found.n_examples_needed > 300


def test_as_many_examples_as_are_said_to_be_needed_do_tell() -> None:
    """The same shares of disagreement, in a sample of that size and one half as large."""
    found = compared(1000, n_only_a=25, n_only_b=25)
    assert found.verdict == "cannot tell"
    needed = found.n_examples_needed
    assert needed is not None
    for factor, verdict in ((1.1, "not worse"), (0.5, "cannot tell")):
        n = int(factor * needed)
        again = compared(n, n_only_a=round(0.025 * n), n_only_b=round(0.025 * n))
        assert again.verdict == verdict


def test_needed_to_show_that_it_is_worse() -> None:
    """Two points lower, and the interval reaches one above 0: it must shrink by a third."""
    assert examples_needed(Interval(-0.02, -0.05, 0.01), 0.01, 400) == 900
    assert examples_needed(Interval(0.0, -0.03, 0.03), 0.01, 1000) == 9000
    assert examples_needed(Interval(0.0, -0.03, 0.03), 0.0, 1000) is None
    assert examples_needed(Interval(0.0, None, None), 0.01, 1) is None


@given(
    st.floats(-0.3, 0.3),
    st.floats(0.001, 0.3),
    st.floats(0, 0.1),
    st.integers(1, 100_000),
)
def test_needed_is_more_than_there_are_and_of_two_digits(value, half, margin, n) -> None:
    interval = Interval(value, value - half, value + half)
    needed = examples_needed(interval, margin, n)
    if judge(interval, margin) == "cannot tell" and needed is not None:
        assert needed > n
        assert len(str(needed).rstrip("0")) <= 2


def test_lost_examples_come_with_the_most_confident_first() -> None:
    y_true = np.array([0, 1, 2, 0, 1])
    right_b = np.array([False, True, False, False, True])
    said_b = told(right_b, y_true)
    said_b[0], said_b[2], said_b[3] = [0.3, 0.6, 0.1], [0.9, 0.05, 0.05], [0.2, 0.1, 0.7]
    given_a = told(np.array([True, True, True, True, False]), y_true)
    found = compare_predictions(
        pairs(5, y_true=y_true, probabilities_a=given_a, probabilities_b=said_b), n_resamples=10
    )
    assert [(e.path, e.label, e.said) for e in found.lost] == [
        ("2.jpg", "owl", "cat"),
        ("3.jpg", "cat", "owl"),
        ("0.jpg", "cat", "dog"),
    ]
    assert [e.probability_b for e in found.lost] == pytest.approx([0.9, 0.7, 0.6])
    assert [e.probability_a for e in found.lost] == pytest.approx([0.8, 0.8, 0.8])
    assert found.disagreement.n_only_b == 1


def test_notes_say_what_limits_the_figures() -> None:
    found = compare_predictions(
        pairs(12, y_true=np.arange(12) % 2, notes=("Where they are.",), groups=np.arange(12) // 2),
        n_resamples=10,
    )
    assert found.notes[0] == "Where they are."
    assert found.notes[1] == "Too few to rely on: 6 groups of pictures; take more."
    assert found.notes[2] == "No picture is of: owl; their recall is unknown."
    assert compared(12).notes == ("Too few to rely on: 12 pictures; take more.",)
    assert compared(300).notes == ()


def test_a_single_group_tells_nothing_of_others() -> None:
    found = compared(10, n_only_b=5, groups=np.zeros(10, dtype=np.int64))
    assert (found.verdict, found.n_examples_needed) == ("cannot tell", None)
    assert "single group" in verdict_sentence(found)


def test_the_document_is_plain_json() -> None:
    found = compared(60, n_only_a=4, n_only_b=2, left_out={"seen_by_a": 3})
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["verdict"] == found.verdict
    assert [metric["name"] for metric in document["metrics"]] == [
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "log_loss",
    ]
    assert document["disagreement"]["n_only_a"] == len(document["lost"]) == 4
    assert document["left_out"] == {"seen_by_a": 3}


groupings = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=15)


@given(groupings)
def test_joint_groups_are_the_closure_of_both(numbers: list[tuple[int, int]]) -> None:
    groups_a, groups_b = np.array(numbers).T
    # Merge by repeated passes, until nothing changes.
    expected = list(range(len(numbers)))
    for _ in numbers:
        for i in range(len(numbers)):
            for j in range(len(numbers)):
                if groups_a[i] == groups_a[j] or groups_b[i] == groups_b[j]:
                    expected[i] = expected[j] = min(expected[i], expected[j])
    found = joint_groups(groups_a, groups_b)
    together = np.equal.outer(found, found)
    np.testing.assert_array_equal(together, np.equal.outer(expected, expected))
    assert set(found.tolist()) == set(range(found.max() + 1))


def test_sentences_say_which_way_and_how_much() -> None:
    better = verdict_sentence(compared(1500, n_only_b=40))
    assert better.startswith("B is better than A: its accuracy is 2.67 points higher (95 % int")
    level = verdict_sentence(compared(3000, n_only_a=20, n_only_b=2))
    assert level.startswith("B is not worse than A by more than 1 point: its accuracy is 0.6 poi")
    assert level.endswith("It is worse, but by less than that.")
    worse = verdict_sentence(compared(1500, n_only_a=60, n_only_b=5))
    assert worse.startswith("B is worse than A: its accuracy is 3.67 points lower")
    open_ = compared(200, 0.005, n_only_a=4, n_only_b=4)
    assert open_.n_examples_needed is not None
    assert verdict_sentence(open_).startswith(
        "Whether B is worse than A by more than 0.5 points cannot be told: its accuracy is the same"
    )
    assert f"about {open_.n_examples_needed:,} pictures would tell." in verdict_sentence(open_)


def test_mcnemar_in_a_sentence() -> None:
    assert mcnemar_sentence(compared(140, n_only_a=8, n_only_b=3)) == (
        "Of 140 pictures, A alone tells 8 rightly and B alone 3. If neither were better, chance "
        "would part them as unevenly in 23 % of cases (McNemar's exact test, p = 0.227)."
    )
    assert "fewer than 0.1 % of cases" in mcnemar_sentence(compared(140, n_only_a=30))
    assert "neither shows to be better" in mcnemar_sentence(compared(140))
    copies = compared(140, n_only_a=8, n_only_b=3, groups=np.arange(140) // 2)
    assert "(by groups: 4 and 2)" in mcnemar_sentence(copies)
