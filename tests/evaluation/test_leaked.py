"""Figures without what has a copy in training."""

from __future__ import annotations

import numpy as np

from tl_app.evaluation.leaked import leaked_rows, with_figures_unleaked
from tl_app.evaluation.scoring import evaluate
from tl_app.records import Evaluation, Predictions, Split

SHARES = np.array([0.5, 0.5])


def told(rights: list[bool]) -> Predictions:
    y_true = np.arange(len(rights)) % 2
    sure = np.where(rights, 0.9, 0.1)
    probabilities = np.where(y_true[:, None] == np.arange(2), sure[:, None], 1 - sure[:, None])
    paths = tuple(f"{i}.jpg" for i in range(len(rights)))
    return Predictions(paths, y_true, probabilities.astype(np.float32), ("a", "b"))


def test_rows_whose_group_is_elsewhere_too():
    split = Split(
        sides=("test", "train", "test", None, "validation", "test"),
        groups=(0, 0, 1, 1, 2, 2),
        tokens={},
        seed=0,
    )
    assert leaked_rows(split, "test").tolist() == [True, False, True]
    assert leaked_rows(split, "validation").tolist() == [True]


def test_the_headline_without_them():
    rights = [True] * 8 + [False, True]
    predictions = told(rights)
    evaluation = evaluate(predictions, class_shares=SHARES)
    is_leaked = np.arange(10) < 4
    found = with_figures_unleaked(evaluation, predictions, is_leaked, class_shares=SHARES)
    alone = evaluate(
        Predictions(
            predictions.paths[4:],
            predictions.y_true[4:],
            predictions.probabilities[4:],
            predictions.class_names,
        ),
        class_shares=SHARES,
    )
    assert (found.n_leaked, found.headline_unleaked) == (4, alone.headline)
    assert found.headline == evaluation.headline
    assert found.notes[0].startswith("4 of 10 pictures of the test part have a copy")
    assert "Without them the accuracy is 83.3 %" in found.notes[0]
    assert Evaluation.from_dict(found.to_dict()) == found


def test_nothing_leaked_and_everything_leaked():
    predictions = told([True, False])
    evaluation = evaluate(predictions, class_shares=SHARES)
    none, every = np.zeros(2, bool), np.ones(2, bool)
    assert with_figures_unleaked(evaluation, predictions, none, class_shares=SHARES) is evaluation
    found = with_figures_unleaked(evaluation, predictions, every, class_shares=SHARES)
    assert (found.n_leaked, found.headline_unleaked) == (2, {})
    assert "say nothing about new pictures" in found.notes[0]
