"""Promises are kept: thresholds and sets by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.test_calibration import drawn
from tl_app.evaluation.automation import (
    DOUBT,
    Threshold,
    conformal_cutoff,
    conformal_on,
    in_sets,
    risk_coverage,
    safe_threshold,
    strictest,
    threshold_on,
)
from tl_app.records import Interval


def test_wrong_answers_among_the_surest_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], np.float32)
    curve = risk_coverage(np.array([0, 1, 0, 0]), probabilities)
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.risk, [0, 0.5, 1 / 3, 0.25])
    assert curve.area == pytest.approx(np.mean([0, 0.5, 1 / 3, 0.25]))


@given(st.integers(1, 80), st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_curve_ends_at_the_error_and_knows_no_order(n, seed, random):
    y_true, probabilities = drawn(n, 3, seed)
    probabilities = np.round(probabilities, 1)  # many of one confidence
    curve = risk_coverage(y_true, probabilities)
    assert curve.risk[-1] == pytest.approx((probabilities.argmax(axis=1) != y_true).mean())
    order = random.sample(range(n), n)
    again = risk_coverage(y_true[order], probabilities[order])
    np.testing.assert_allclose(again.risk, curve.risk, atol=1e-12)


@pytest.mark.parametrize(("n", "target"), [(70, 0.05), (300, 0.02), (1000, 0.1)])
def test_a_threshold_breaks_its_promise_as_rarely_as_it_says(n, target):
    """The true share of wrong answers above the threshold, over many choices of examples."""
    y_all, told_all = drawn(200_000, 3, 1, spread=12.0)
    confidence_all = told_all.max(axis=1)
    right_all = told_all.argmax(axis=1) == y_all
    order = np.argsort(-confidence_all)
    sorted_confidence = -confidence_all[order]
    wrong_above = np.cumsum(~right_all[order]) / np.arange(1, len(order) + 1)
    random = np.random.default_rng(0)
    n_tries, n_chosen, n_broken = 600, 0, 0
    for _ in range(n_tries):
        rows = random.integers(len(y_all), size=n)
        threshold = safe_threshold(confidence_all[rows], right_all[rows], target=target)
        if threshold is not None:
            n_chosen += 1
            last = np.searchsorted(sorted_confidence, -threshold, side="right") - 1
            n_broken += wrong_above[last] > target
    assert n_chosen > 20
    assert n_broken / n_tries < DOUBT + 3 * np.sqrt(DOUBT * (1 - DOUBT) / n_tries)


def test_too_few_examples_promise_nothing():
    confidence = np.full(58, 0.99, np.float32)
    assert safe_threshold(confidence, np.ones(58, bool), target=0.05) is None
    sure = np.full(59, 0.99, np.float32)
    assert safe_threshold(sure, np.ones(59, bool), target=0.05) == pytest.approx(0.99)


def test_one_sure_mistake_does_not_end_what_the_others_show():
    confidence = np.linspace(1.0, 0.5, 1000)
    right = np.ones(1000, bool)
    right[3] = False  # as a wrong label would be
    threshold = safe_threshold(confidence, right, target=0.01)
    assert threshold == pytest.approx(0.5)
    right[:30] = False
    assert safe_threshold(confidence, right, target=0.01) is None


def test_what_a_threshold_does_elsewhere():
    probabilities = np.array([[0.95, 0.05], [0.9, 0.1], [0.6, 0.4]], np.float32)
    found = threshold_on(0.9, 0.05, np.array([0, 1, 1]), probabilities)
    assert found.coverage.value == pytest.approx(2 / 3)
    assert found.risk.value == pytest.approx(1 / 2)
    nobody = threshold_on(0.99, 0.05, np.array([0, 1, 1]), probabilities)
    assert (nobody.coverage.value, nobody.risk) == (0.0, Interval(0.0, None, None))


def test_the_strictest_that_is_of_use():
    def one(target: float, coverage: float) -> Threshold:
        return Threshold(target, 0.9, Interval(coverage, None, None), Interval(0.0, None, None))

    assert strictest([one(0.01, 0.05), one(0.02, 0.4), one(0.05, 0.8)]) == one(0.02, 0.4)
    assert strictest([]) is None


@pytest.mark.parametrize("nominal", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("sharpened", [1.0, 4.0])
def test_sets_hold_the_truth_as_often_as_they_say(nominal, sharpened):
    """5,000 examples to choose on and 5,000 to look at; whether calibrated or not."""
    y_true, told = drawn(10_000, 6, 3, sharpened=sharpened)
    cutoff = conformal_cutoff(y_true[:5000], told[:5000], nominal=nominal)
    assert cutoff is not None
    found = conformal_on(cutoff, y_true[5000:], told[5000:], nominal=nominal)
    assert abs(found.coverage.value - nominal) < 0.015
    assert 1 <= found.mean_size < 6


def test_few_examples_promise_no_sets():
    y_true, told = drawn(9, 3, 0)
    assert conformal_cutoff(y_true, told, nominal=0.9) is not None
    assert conformal_cutoff(y_true[:8], told[:8], nominal=0.9) is None


def test_a_set_is_never_empty():
    sets = in_sets(0.9, np.array([[0.5, 0.3, 0.2]], np.float32))
    assert sets.tolist() == [[True, False, False]]
