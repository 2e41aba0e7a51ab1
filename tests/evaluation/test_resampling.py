"""Metrics from sums are scikit-learn's, on the sample and on every draw of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from tl_app.evaluation.resampling import (
    METRICS,
    MetricDifference,
    Sums,
    _by_group,
    metric_differences,
)
from tl_app.evaluation.scoring import HEADLINE

REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda y, p: reference.accuracy_score(y, p.argmax(axis=1)),
    "balanced_accuracy": lambda y, p: reference.recall_score(
        y, p.argmax(axis=1), labels=np.unique(y), average="macro", zero_division=0
    ),
    "macro_f1": lambda y, p: reference.f1_score(
        y, p.argmax(axis=1), average="macro", zero_division=0
    ),
    "log_loss": lambda y, p: reference.log_loss(y, p, labels=np.arange(p.shape[1])),
}


@st.composite
def cases(draw):
    """Labels, probabilities of two classifiers and groups; few examples, so that classes lack."""
    n_classes, n_examples = draw(st.integers(2, 6)), draw(st.integers(1, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    y_true = random.integers(n_classes, size=n_examples)
    said = random.dirichlet(np.full(n_classes, 0.4), (2, n_examples)).astype(np.float32)
    said[:, ::4] = np.eye(n_classes)[said[:, ::4].argmax(axis=2)]  # certainty meets the clipping
    groups = np.unique(random.integers(n_examples, size=n_examples), return_inverse=True)[1]
    return y_true, said[0], said[1], groups


def test_the_references_and_the_headline_are_all_compared() -> None:
    """A new headline metric needs its row here, so that `tl-app compare` has it."""
    assert set(REFERENCES) == {metric.name for metric in METRICS}
    compared = {metric.name: (metric.title, metric.style) for metric in METRICS}
    for metric in HEADLINE:
        assert compared[metric.name] == (metric.title, metric.style)


def test_balanced_accuracy_is_scikit_learns_own() -> None:
    """Its own function warns where a class is guessed that has no example; here none lacks."""
    y_true, said = np.array([0, 0, 0, 1, 2, 2]), np.eye(3, dtype=np.float32)[[0, 1, 0, 1, 0, 2]]
    [found] = [m for m in differences(y_true, said, said) if m.name == "balanced_accuracy"]
    assert found.value_a == reference.balanced_accuracy_score(y_true, said.argmax(axis=1))


def differences(
    y_true: np.ndarray,
    probabilities_a: np.ndarray,
    probabilities_b: np.ndarray,
    groups: np.ndarray | None = None,
    **options: int,
) -> tuple[MetricDifference, ...]:
    groups = np.arange(len(y_true)) if groups is None else groups
    return metric_differences(y_true, probabilities_a, probabilities_b, groups, **options)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_values_equal_scikit_learn(case) -> None:
    y_true, said_a, said_b, groups = case
    for found in metric_differences(y_true, said_a, said_b, groups, n_resamples=20):
        value = REFERENCES[found.name]
        assert found.value_a == pytest.approx(value(y_true, said_a), rel=1e-5, abs=1e-6)
        assert found.value_b == pytest.approx(value(y_true, said_b), rel=1e-5, abs=1e-6)
        assert found.difference.value == pytest.approx(found.value_b - found.value_a)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 1000))
def test_a_draw_equals_scikit_learn_on_the_drawn_examples(case, seed) -> None:
    """Groups drawn several times or not at all: the sums are those of the repeated rows."""
    y_true, said, _, groups = case
    n_groups = int(groups.max()) + 1
    drawn = np.random.default_rng(seed).integers(n_groups, size=n_groups)
    times = np.bincount(drawn, minlength=n_groups)
    sums = Sums.of_rows(_by_group(y_true, said, groups, n_groups) @ times[:, np.newaxis])
    rows = np.repeat(np.arange(len(y_true)), times[groups])
    for metric in METRICS:
        expected = REFERENCES[metric.name](y_true[rows], said[rows])
        assert metric.value(sums)[0] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_intervals_hold_their_value_and_are_never_of_zero_width(case) -> None:
    y_true, said_a, said_b, groups = case
    for found in metric_differences(y_true, said_a, said_b, groups, n_resamples=300):
        if groups.max() == 0:
            assert (found.difference.low, found.difference.high) == (None, None)
        else:
            low, high = limits(found)
            assert low <= found.difference.value <= high
            assert high > low


@settings(max_examples=30, deadline=None)
@given(cases())
def test_turning_the_sides_turns_the_differences(case) -> None:
    y_true, said_a, said_b, groups = case
    there = metric_differences(y_true, said_a, said_b, groups, n_resamples=10)
    back = metric_differences(y_true, said_b, said_a, groups, n_resamples=10)
    for one, other in zip(there, back, strict=True):
        assert one.difference.value == -other.difference.value


def classifiers(n_examples: int, n_classes: int, seed: int = 0):
    random = np.random.default_rng(seed)
    y_true = random.integers(n_classes, size=n_examples)
    said = random.random((2, n_examples, n_classes), dtype=np.float32)
    said[:, np.arange(n_examples), y_true] += np.float32(0.6)
    said /= said.sum(axis=2, keepdims=True)
    return y_true, said[0], said[1]


def test_the_same_seed_gives_the_same_intervals() -> None:
    case = classifiers(200, 4)
    assert differences(*case, seed=3) == differences(*case, seed=3)
    assert differences(*case, seed=3) != differences(*case, seed=4)


def test_agreement_everywhere_leaves_the_doubt_of_what_was_not_seen() -> None:
    """The rule of three: of 300 examples up to about one in a hundred may be told otherwise."""
    y_true, said, _ = classifiers(300, 4)
    accuracy = differences(y_true, said, said)[0].difference
    assert accuracy.low is not None
    assert 0.006 < -accuracy.low < 0.016


def test_copies_are_no_new_evidence() -> None:
    y_true, said_a, said_b = classifiers(150, 3)
    once = differences(y_true, said_a, said_b)
    four = [np.repeat(values, 4, axis=0) for values in (y_true, said_a, said_b)]
    copies = differences(four[0], four[1], four[2], np.repeat(np.arange(150), 4))
    taken_as_new = differences(four[0], four[1], four[2])
    for one, same, narrow in zip(once, copies, taken_as_new, strict=True):
        assert same.difference.value == pytest.approx(one.difference.value)
        assert width(same) == pytest.approx(width(one), rel=0.15)
        assert width(narrow) == pytest.approx(width(one) / 2, rel=0.15)


def limits(metric: MetricDifference) -> tuple[float, float]:
    assert metric.difference.low is not None
    assert metric.difference.high is not None
    return metric.difference.low, metric.difference.high


def width(metric: MetricDifference) -> float:
    low, high = limits(metric)
    return high - low


def test_accuracy_agrees_with_the_closed_form_on_many_examples() -> None:
    """Wald's interval of a paired difference, which is right for large samples."""
    y_true, said_a, said_b = classifiers(4000, 5)
    apart = (said_b.argmax(axis=1) == y_true).astype(float) - (said_a.argmax(axis=1) == y_true)
    error = apart.std() / np.sqrt(len(apart))
    accuracy = differences(y_true, said_a, said_b)[0].difference
    assert accuracy.low == pytest.approx(apart.mean() - 1.96 * error, abs=0.12 * error)
    assert accuracy.high == pytest.approx(apart.mean() + 1.96 * error, abs=0.12 * error)


@pytest.mark.parametrize("n_classes", [10, 1000])
def test_ten_thousand_examples_take_seconds(n_classes: int) -> None:
    case = classifiers(10_000, n_classes)
    started = time.process_time()
    differences(*case)
    assert time.process_time() - started < 20
