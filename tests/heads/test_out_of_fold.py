"""Out-of-fold probabilities: nobody is told by a head that saw it or one of its group."""

from __future__ import annotations

import numpy as np
import pytest

from tl_app.heads.out_of_fold import out_of_fold_probabilities


def test_labels_that_are_noise_cannot_be_told() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 300)).astype(np.float32)
    labels = np.arange(200) % 2
    told = out_of_fold_probabilities(features, labels, np.arange(200), n_classes=2)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
    assert abs((told.argmax(axis=1) == labels).mean() - 0.5) < 0.12


def test_a_group_is_held_out_as_one() -> None:
    """Ten copies of each noise vector: told by their copies, they would all be right."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    features = random.normal(size=(40, 100)).astype(np.float32)[groups]
    labels = groups % 2
    apart = out_of_fold_probabilities(features, labels, np.arange(400), n_classes=2)
    together = out_of_fold_probabilities(features, labels, groups, n_classes=2)
    assert (apart.argmax(axis=1) == labels).mean() > 0.99
    assert (together.argmax(axis=1) == labels).mean() < 0.75


def test_what_can_be_learnt_is_told() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(150) % 3
    features = (random.normal(size=(150, 5)) + 4 * np.eye(3, 5)[labels]).astype(np.float32)
    told = out_of_fold_probabilities(features, labels, np.arange(150), n_classes=3)
    assert (told.argmax(axis=1) == labels).mean() > 0.95


def test_one_group_alone_cannot_be_held_out() -> None:
    with pytest.raises(ValueError, match="one group"):
        out_of_fold_probabilities(np.ones((4, 2)), np.array([0, 1, 0, 1]), np.zeros(4), n_classes=2)
