from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tl_app.heads.linear import choose_l2, group_folds, solve_linear_head, standardise


def make_problem(n_examples: int, n_features: int, n_classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n_examples) % n_classes
    centres = rng.normal(size=(n_classes, n_features))
    features = centres[labels] + 2.0 * rng.normal(size=(n_examples, n_features))
    return (features * 3.0 + 5.0).astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize(("n_examples", "n_features"), [(200, 12), (40, 150)])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_equals_scikit_learn(n_examples, n_features, n_classes, power):
    features, labels = make_problem(n_examples, n_features, n_classes)
    l2 = 0.05
    head = solve_linear_head(features, labels, n_classes=n_classes, l2=l2, power=power)
    space = standardise(features, np.ones(n_examples), power=power)
    scaled = (features - space.mean) / space.scale
    # scikit-learn's binary problem has one weight vector, ours two opposite halves: the same
    # function costs half the penalty here.
    strength = l2 * (0.5 if n_classes == 2 else 1.0)
    reference = LogisticRegression(C=1 / (n_examples * strength), tol=1e-10, max_iter=5000)
    expected = reference.fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(softmax(head.logits(features), axis=1), expected, atol=2e-4)


def test_power_one_is_plain_standardisation_up_to_one_factor():
    features, _ = make_problem(300, 8, 2)
    space = standardise(features, np.ones(300), power=1.0)
    ratio = StandardScaler().fit_transform(features.astype(np.float64)) / space.values
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=0.01)


def test_weights_equal_repetition():
    features, labels = make_problem(60, 6, 3)
    weights = np.where(labels == 1, 3.0, 1.0)
    repeated = np.repeat(np.arange(60), weights.astype(int))
    weighted = solve_linear_head(features, labels, n_classes=3, l2=0.1, weights=weights)
    plain = solve_linear_head(features[repeated], labels[repeated], n_classes=3, l2=0.1)
    np.testing.assert_allclose(weighted.kernel, plain.kernel, atol=1e-4)
    np.testing.assert_allclose(weighted.bias, plain.bias, atol=1e-3)


def test_smoothing_bounds_the_confidence():
    features, labels = make_problem(80, 300, 2)
    sharp = solve_linear_head(features, labels, n_classes=2, l2=1e-4)
    soft = solve_linear_head(features, labels, n_classes=2, l2=1e-4, label_smoothing=0.2)
    assert softmax(sharp.logits(features), axis=1).max() > 0.97
    assert softmax(soft.logits(features), axis=1).max() < 0.95


def test_a_constant_feature_is_harmless():
    features, labels = make_problem(50, 5, 2)
    features = np.concatenate([features, np.full((50, 1), 7.0, np.float32)], axis=1)
    head = solve_linear_head(features, labels, n_classes=2, l2=0.01)
    assert np.isfinite(head.kernel).all()
    assert np.isfinite(head.bias).all()


def test_choose_l2_prefers_strength_for_noise_and_weakness_for_signal():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    noise = rng.normal(size=(120, 40)).astype(np.float32)
    signal = noise.copy()
    signal[:, 0] += 6.0 * labels
    groups = np.arange(120)
    for_noise, losses = choose_l2(noise, labels, groups, n_classes=2)
    for_signal, _ = choose_l2(signal, labels, groups, n_classes=2)
    assert for_noise > for_signal
    assert losses[for_noise] == min(losses.values())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 15), min_size=4, max_size=60),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_folds_never_part_a_group(groups, n_folds, seed):
    groups = np.array(groups)
    folds = group_folds(groups % 3, groups, n_folds, seed)
    for group in np.unique(groups):
        assert np.unique(folds[groups == group]).size == 1
    n_groups = np.unique(groups).size
    assert np.unique(folds).size == min(n_folds, n_groups)
