"""Figures with and without examples that have a copy on the side of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS
from tl_app.evaluation.scoring import evaluate, format_figure, format_interval
from tl_app.records import Evaluation, Predictions, Side, Split


def leaked_rows(split: Split, side: Side) -> np.ndarray:
    """bool, one for each example of a side in its order: whether its group is on another side too.

    Only sides that the user gave, or an earlier run recorded, can do that.
    """
    elsewhere = {
        group
        for group, on in zip(split.groups, split.sides, strict=True)
        if on is not None and on != side
    }
    return np.array([split.groups[i] in elsewhere for i in split.indices(side)], dtype=bool)


def with_figures_unleaked(
    evaluation: Evaluation,
    predictions: Predictions,
    is_leaked: np.ndarray,
    *,
    class_shares: np.ndarray,
) -> Evaluation:
    """The evaluation with what its headline would be without leaked examples, and a note of it.

    Args:
        evaluation: of all `predictions`.
        predictions: of one side.
        is_leaked: bool, shape (n_examples,).
        class_shares: as for `evaluate`.
    """
    n_leaked = int(is_leaked.sum())
    if not n_leaked:
        return evaluation
    wording = WORDINGS[evaluation.modality]
    told = (
        f"{n_leaked:,} of {counted(len(is_leaked), wording.noun)} of the {evaluation.side} part "
        f"{'has' if n_leaked == 1 else 'have'} a copy on another side ({wording.grouped})"
    )
    clean = np.flatnonzero(~is_leaked & (predictions.y_true >= 0))
    if not len(clean):
        note = f"{told}: the figures say nothing about new {wording.nouns}."
        return replace(evaluation, n_leaked=n_leaked, notes=(note, *evaluation.notes))
    unleaked = evaluate(
        replace(
            predictions,
            paths=tuple(predictions.paths[i] for i in clean.tolist()),
            y_true=predictions.y_true[clean],
            probabilities=predictions.probabilities[clean],
        ),
        class_shares=class_shares,
        side=evaluation.side,
        modality=evaluation.modality,
    ).headline
    accuracy = unleaked["accuracy"]
    note = (
        f"{told}. Without them the accuracy is {format_figure(accuracy.value, 'percent')} "
        f"({format_interval(accuracy, 'percent')}, {counted(len(clean), wording.noun)}), with them "
        f"{format_figure(evaluation.headline['accuracy'].value, 'percent')}; the figures without "
        f"them say more about new {wording.nouns}."
    )
    return replace(
        evaluation,
        n_leaked=n_leaked,
        headline_unleaked=unleaked,
        notes=(note, *evaluation.notes),
    )
