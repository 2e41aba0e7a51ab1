"""Held-out answers: by whom, on how much, and that nobody has seen what is asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tl_app.heads.cross_validation import SHARES, cross_validate, hold_out
from tl_app.heads.linear import group_folds, standardise


def blobs(n: int, n_classes: int = 3, *, apart: float = 1.5, seed: int = 0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    centres = apart * np.eye(n_classes, 8)
    return (random.normal(size=(n, 8)) + centres[labels]).astype(np.float32), labels


def test_each_fold_is_told_by_what_scikit_learn_makes_of_the_others() -> None:
    features, labels = blobs(120)
    groups = np.arange(120)
    (held_out,) = cross_validate(features, labels, groups, n_classes=3, n_folds=4, l2=0.05, seed=3)
    folds = group_folds(labels, groups, 4, 3)
    assert (held_out.folds == folds).all()
    assert held_out.n_train == 90
    for fold in range(4):
        held = folds == fold
        space = standardise(features[~held], np.ones(90))
        model = LogisticRegression(C=1 / (90 * 0.05), tol=1e-8, max_iter=1000)
        model.fit(space.values, labels[~held])
        asked = (features[held] - space.mean) / space.scale
        told = softmax(asked @ model.coef_.T + model.intercept_, axis=1)
        np.testing.assert_allclose(held_out.probabilities[held], told, atol=2e-3)


@given(st.integers(0, 1000), st.integers(2, 5))
@settings(max_examples=15, deadline=None)
def test_growing_parts_of_whole_groups(seed: int, n_folds: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 40, 150)
    labels = groups % 3
    features = random.normal(size=(150, 4)).astype(np.float32)
    found = cross_validate(
        features, labels, groups, n_classes=3, n_folds=n_folds, l2=0.1, shares=SHARES, seed=seed
    )
    sizes = [one.n_train for one in found]
    assert sizes == sorted(sizes)
    for one in found:
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1, atol=1e-5)
        assert all(len(np.unique(one.folds[groups == group])) == 1 for group in set(groups))


def test_copies_of_a_group_say_nothing_of_each_other() -> None:
    """Ten copies of each noise vector: told by their copies, they would all be right."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    features = random.normal(size=(40, 100)).astype(np.float32)[groups]
    (held_out,) = cross_validate(features, groups % 2, groups, n_classes=2, n_folds=5)
    assert (held_out.probabilities.argmax(axis=1) == groups % 2).mean() < 0.75


def test_only_the_fold_that_is_asked_for_is_told() -> None:
    features, labels = blobs(90, apart=4)
    folds = np.repeat([0, 1], [60, 30])
    few, every = hold_out(
        features, labels, np.arange(90), folds, held=[1], n_classes=3, shares=(0.1, 1.0)
    )
    assert not every.probabilities[:60].any()
    assert (every.probabilities[60:].argmax(axis=1) == labels[60:]).mean() > 0.95
    assert (few.n_train, every.n_train) == (6, 60)


def test_weights_count() -> None:
    """A class with all the weight is what a head without features to go by answers."""
    labels = np.arange(40) % 2
    features = np.zeros((40, 2), np.float32)
    weights = np.where(labels == 0, 9.0, 1.0)
    (held_out,) = cross_validate(
        features, labels, np.arange(40), n_classes=2, n_folds=4, l2=0.1, weights=weights
    )
    np.testing.assert_allclose(held_out.probabilities[:, 0], 0.9, atol=0.02)


def test_one_group_alone_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match="one group"):
        cross_validate(
            np.ones((4, 2), np.float32), np.array([0, 1, 0, 1]), np.zeros(4), n_classes=2, n_folds=2
        )
