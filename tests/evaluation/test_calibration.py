"""Temperature and how far probabilities are off, against scikit-learn and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from tl_app.evaluation.calibration import (
    Calibration,
    brier_score,
    calibration_error,
    fit_temperature,
    reliability,
    tempered,
)


def drawn(n: int, n_classes: int, seed: int, *, sharpened: float = 1.0, spread: float = 2.0):
    """Labels that are what the probabilities say, and these made too sure of themselves."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (n, n_classes))
    told = softmax(logits, axis=1)
    y_true = (told.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    return y_true, softmax(sharpened * logits, axis=1).astype(np.float32)


def loss(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    rows = probabilities.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    return log_loss(y_true, rows, labels=range(rows.shape[1]))


@given(st.integers(1, 200), st.integers(2, 6), st.integers(0, 10_000), st.floats(0.1, 8.0))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_log_loss_it_was_fitted_on_never_rises(n, n_classes, seed, sharpened):
    y_true, probabilities = drawn(n, n_classes, seed, sharpened=sharpened)
    temperature = fit_temperature(probabilities, y_true)
    calibrated = tempered(probabilities, temperature)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1, atol=1e-5)
    assert (calibrated.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert loss(y_true, calibrated) <= loss(y_true, probabilities) + 1e-5


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
def test_it_finds_by_how_much_they_are_too_sure(sharpened):
    y_true, probabilities = drawn(20_000, 4, 0, sharpened=sharpened)
    assert fit_temperature(probabilities, y_true) == pytest.approx(sharpened, rel=0.03)


def test_answers_that_are_all_right_do_not_become_certain():
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (50, 1))
    temperature = fit_temperature(probabilities, np.zeros(50, np.int64))
    assert 0.3 < temperature < 1
    assert tempered(probabilities, temperature)[0, 0] < 0.999


def test_certain_mistakes_are_no_infinity():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    temperature = fit_temperature(probabilities, np.array([0, 1, 1]))
    assert 1 < temperature <= 20
    assert np.isfinite(tempered(probabilities, temperature)).all()


def test_back_and_forth():
    _, probabilities = drawn(50, 3, 1)
    np.testing.assert_allclose(
        tempered(tempered(probabilities, 2.5), 1 / 2.5), probabilities, rtol=1e-3
    )
    assert tempered(probabilities, 1.0) is probabilities


@given(st.integers(1, 60), st.integers(0, 1000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_brier_score_is_that_of_scikit_learn(n, seed):
    y_true, probabilities = drawn(n, 2, seed)
    theirs = brier_score_loss(y_true, probabilities[:, 1].astype(np.float64), pos_label=1)
    assert brier_score(y_true, probabilities) == pytest.approx(2 * theirs, rel=1e-4, abs=1e-6)


def test_bins_count_everybody_once_and_tell_calibrated_from_sharpened():
    y_true, honest = drawn(5000, 3, 2)
    bins = reliability(y_true, honest)
    assert sum(one.n_examples for one in bins) == 5000
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)
    for one in bins:
        assert one.accuracy.low is not None
        assert one.accuracy.high is not None
        assert one.accuracy.low <= one.accuracy.value <= one.accuracy.high
    y_true, too_sure = drawn(5000, 3, 2, sharpened=4)
    assert calibration_error(bins) < 0.025 < 0.1 < calibration_error(reliability(y_true, too_sure))
    assert len(reliability(y_true[:3], too_sure[:3])) == 3


def test_the_error_by_hand():
    probabilities = np.array([[0.6, 0.4], [0.8, 0.2]], np.float32)
    bins = reliability(np.array([1, 0]), probabilities, n_bins=2)
    assert calibration_error(bins) == pytest.approx((0.6 + 0.2) / 2)


def test_it_survives_the_disk():
    calibration = Calibration(1.5, "held_apart", 70)
    assert Calibration.from_dict(calibration.to_dict()) == calibration
