"""The metrics are scikit-learn's, on any labels, guesses and probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from tl_app.evaluation import metrics


@st.composite
def labels_and_guesses(draw):
    n_classes = draw(st.integers(2, 7))
    n_examples = draw(st.integers(1, 40))
    labels = st.lists(st.integers(0, n_classes - 1), min_size=n_examples, max_size=n_examples)
    return n_classes, np.array(draw(labels)), np.array(draw(labels))


@settings(max_examples=120, deadline=None)
@given(labels_and_guesses())
def test_counts_and_scores_equal_scikit_learn(case):
    n_classes, y_true, y_pred = case
    every = np.arange(n_classes)
    confusion = metrics.confusion_matrix(y_true, y_pred, n_classes)
    expected = reference.confusion_matrix(y_true, y_pred, labels=every)
    np.testing.assert_array_equal(confusion, expected)
    precision, recall, f1_score, support = reference.precision_recall_fscore_support(
        y_true, y_pred, labels=every, zero_division=0
    )
    np.testing.assert_allclose(metrics.precision_scores(confusion), precision)
    np.testing.assert_allclose(metrics.recall_scores(confusion), recall)
    np.testing.assert_allclose(metrics.f1_scores(confusion), f1_score)
    np.testing.assert_array_equal(metrics.class_counts(confusion)[1], support)
    assert metrics.accuracy_score(confusion) == pytest.approx(
        reference.accuracy_score(y_true, y_pred)
    )
    assert metrics.macro_f1_score(confusion) == pytest.approx(
        reference.f1_score(y_true, y_pred, average="macro", zero_division=0)
    )


@settings(max_examples=80, deadline=None)
@given(labels_and_guesses(), st.integers(0, 2**31), st.sampled_from([np.float32, np.float64]))
def test_log_loss_equals_scikit_learn(case, seed, dtype):
    n_classes, y_true, _ = case
    sharp = np.random.default_rng(seed).dirichlet(np.full(n_classes, 0.3), len(y_true))
    # Rows of exact zeros and ones meet the clipping.
    sharp[::3] = np.eye(n_classes)[sharp[::3].argmax(axis=1)]
    probabilities = sharp.astype(dtype)
    expected = reference.log_loss(y_true, probabilities, labels=np.arange(n_classes))
    assert metrics.log_loss(y_true, probabilities) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_confident_mistake_costs_a_finite_amount():
    probabilities = np.array([[1.0, 0.0]], dtype=np.float32)
    assert metrics.log_loss(np.array([1]), probabilities) == pytest.approx(15.942385)
