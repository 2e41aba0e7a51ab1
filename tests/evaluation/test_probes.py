"""What kept features tell: figures against scikit-learn, and the verdict on more examples."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.neighbors import KNeighborsClassifier

from tests.data.test_splitting import dataset_of, example
from tl_app.evaluation.probes import (
    Probes,
    cross_validated,
    nearest_neighbours,
    size_curve,
)
from tl_app.heads.cross_validation import HeldOut
from tl_app.records import Interval


def answers(n: int, accuracy: float, *, seed: int = 0, n_train: int = 100) -> HeldOut:
    """Of two classes in turn, so many of them right, in four folds."""
    random = np.random.default_rng(seed)
    right = random.random(n) < accuracy
    truth = np.arange(n) % 2
    said = np.where(right, truth, 1 - truth)
    sure = random.uniform(0.55, 0.99, n)
    told = np.where(said[:, None] == np.arange(2), sure[:, None], 1 - sure[:, None])
    return HeldOut(told.astype(np.float32), np.arange(n) // 2 % 4, n_train)


def test_figures_of_cross_validation_are_those_of_scikit_learn():
    dataset = dataset_of([example(f"{i:03}", i % 2) for i in range(80)])
    held_out = answers(80, 0.8)
    found = cross_validated(dataset, held_out)
    said = held_out.probabilities.argmax(axis=1)
    headline = found.evaluation.headline
    assert headline["accuracy"].value == pytest.approx(accuracy_score(dataset.labels, said))
    macro = f1_score(dataset.labels, said, average="macro")
    assert headline["macro_f1"].value == pytest.approx(macro)
    assert len(found.folds) == 4
    losses = []
    for fold, values in enumerate(found.folds):
        rows = held_out.folds == fold
        told = held_out.probabilities[rows].astype(np.float64)
        losses.append(log_loss(dataset.labels[rows], told / told.sum(axis=1, keepdims=True)))
        assert values["log_loss"] == pytest.approx(losses[-1], rel=1e-5)
    assert found.spread("log_loss") == pytest.approx(np.std(losses, ddof=1), rel=1e-5)
    low, high = headline["accuracy"].low, headline["accuracy"].high
    assert low is not None
    assert high is not None
    assert low < headline["accuracy"].value < high


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(0.7, 0.95, "more"), (0.9, 0.9, "unclear"), (0.99, 0.7, "hardly")],
)
def test_the_verdict_on_more_examples(before, after, verdict):
    n = 400
    labels, groups = np.arange(n) % 2, np.arange(n) + 7
    curve = size_curve(labels, groups, [answers(n, before, seed=1), answers(n, after, n_train=200)])
    assert curve.verdict == verdict
    right = [
        np.mean(one.probabilities.argmax(axis=1) == labels)
        for one in (answers(n, before, seed=1), answers(n, after))
    ]
    assert curve.gain.value == pytest.approx(right[1] - right[0])
    assert [point.n_train for point in curve.points] == [100, 200]


def test_agreement_of_many_examples_says_that_more_hardly_help():
    n = 5000
    same = answers(n, 0.9)
    curve = size_curve(np.arange(n) % 2, np.arange(n), [same, same])
    assert curve.verdict == "hardly"


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_neighbours_are_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    features = random.normal(size=(60, 5)).astype(np.float32)
    labels = random.choice([0, 2], 60)  # the class between them has no example
    asked = random.normal(size=(20, 5)).astype(np.float32)
    told = nearest_neighbours(features, labels, asked, n_classes=3)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-6)
    assert (told > 0).all()
    centre = features.mean(axis=0)
    model = KNeighborsClassifier(10, metric="cosine").fit(features - centre, labels)
    votes = model.predict_proba(asked - centre)[:, 0] * 10
    np.testing.assert_allclose(told[:, 0], (votes + 1 / 3) / 11, atol=1e-6)


def test_fewer_examples_than_neighbours():
    features = np.eye(3, dtype=np.float32)
    told = nearest_neighbours(features, np.array([0, 1, 1]), features[:1], n_classes=2)
    np.testing.assert_allclose(told, [[(1 + 0.5) / 4, (2 + 0.5) / 4]], atol=1e-6)


def test_they_survive_the_disk():
    dataset = dataset_of([example(f"{i:03}", i % 2) for i in range(80)])
    held_out = answers(80, 0.8)
    probes = Probes(
        cross_validation=cross_validated(dataset, held_out),
        by_size=size_curve(dataset.labels, np.arange(80), [answers(80, 0.7), held_out]),
        leads=True,
        rivals={"head_only": {"accuracy": Interval(0.9, 0.8, 0.95)}},
        not_run={"x": "y"},
    )
    assert Probes.from_dict(json.loads(json.dumps(probes.to_dict()))) == probes
    assert Probes.from_dict(Probes().to_dict()) == Probes()
