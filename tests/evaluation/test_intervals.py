"""What holds for every interval, whatever the counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tl_app.evaluation import intervals, metrics
from tl_app.records import Interval


@st.composite
def confusions(draw):
    n_classes = draw(st.integers(1, 6))
    cells = st.lists(
        st.one_of(st.just(0), st.integers(0, 60)),
        min_size=n_classes**2,
        max_size=n_classes**2,
    )
    matrix = np.array(draw(cells), dtype=np.int64).reshape(n_classes, n_classes)
    if not matrix.sum():
        matrix[0, -1] = 1
    return matrix


def limits(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def assert_holds(interval):
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0
    assert interval.high - interval.low > 1e-6


@settings(max_examples=200, deadline=None)
@given(confusions())
def test_intervals_hold_their_value_and_are_never_of_zero_width(confusion):
    assert_holds(intervals.macro_f1_interval(confusion))
    for interval, seen in zip(
        intervals.f1_intervals(confusion), metrics.seen_classes(confusion), strict=True
    ):
        if seen:
            assert_holds(interval)
        else:
            assert (interval.value, interval.low, interval.high) == (0.0, None, None)


def test_wilson_equals_scipy():
    for hits, trials in ((0, 10), (7, 9), (140, 140), (981, 1000)):
        expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
        low, high = intervals.wilson_limits(hits, trials)
        assert (float(low), float(high)) == pytest.approx((expected.low, expected.high))


def test_f1_interval_of_two_balanced_classes_follows_the_jaccard_index():
    confusion = np.array([[45, 5], [5, 45]])
    low, high = intervals.wilson_limits(45, 55)
    interval = intervals.f1_intervals(confusion)[0]
    assert interval.value == pytest.approx(0.9)
    assert interval.low == pytest.approx(float(2 * low / (1 + low)))
    assert interval.high == pytest.approx(float(2 * high / (1 + high)))


def test_macro_f1_interval_of_two_balanced_classes_is_that_of_the_accuracy():
    confusion = np.array([[450, 50], [50, 450]])
    low, high = intervals.wilson_limits(900, 1000)
    interval = intervals.macro_f1_interval(confusion)
    assert interval.low == pytest.approx(float(low), abs=2e-3)
    assert interval.high == pytest.approx(float(high), abs=2e-3)


def test_macro_f1_interval_narrows_with_the_root_of_the_examples():
    confusion = np.array([[40, 4, 1], [3, 50, 2], [5, 1, 30]])
    small = intervals.macro_f1_interval(confusion)
    large = intervals.macro_f1_interval(confusion * 100)
    ratio = np.ptp(limits(small)) / np.ptp(limits(large))
    assert ratio == pytest.approx(10, rel=0.08)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(0.0, 16.0), min_size=2, max_size=60))
def test_loss_interval_holds_its_mean(values):
    interval = intervals.mean_loss_interval(np.array(values), unseen_loss=np.log(3))
    low, high = limits(interval)
    assert 0.0 <= low <= interval.value <= high < np.inf


def test_no_mistake_seen_still_leaves_doubt_about_the_loss():
    interval = intervals.mean_loss_interval(np.full(140, 1e-7), unseen_loss=np.log(10))
    assert 0.02 < limits(interval)[1] < 0.2


def test_a_single_example_has_no_loss_interval():
    interval = intervals.mean_loss_interval(np.array([0.3]), unseen_loss=1.0)
    assert (interval.value, interval.low, interval.high) == (0.3, None, None)


def test_loss_interval_of_symmetric_losses_is_students():
    losses = np.tile([0.4, 0.5, 0.6], 400)
    interval = intervals.mean_loss_interval(losses, unseen_loss=0.5)
    low, high = stats.t.interval(0.95, len(losses) - 1, losses.mean(), stats.sem(losses))
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-3)
