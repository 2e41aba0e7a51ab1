"""Asking kept features what they tell by themselves; see `evaluation.probes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tl_app.config import Config, Phase
from tl_app.data.wording import WORDINGS
from tl_app.evaluation.probes import (
    ENOUGH_TESTED,
    Probes,
    cross_validated,
    nearest_neighbours,
    size_curve,
)
from tl_app.evaluation.scoring import evaluate
from tl_app.heads.cross_validation import MOST_WORK, SHARES, HeldOut, cross_validate, hold_out
from tl_app.progress import Reporter
from tl_app.records import Dataset, Interval, Predictions, Side, Split

DEFAULT_FOLDS = 5
TRAINING, ASKED = 0, 1
"""Numbers of the two folds, where the evaluated side is held out."""


def probe_features(
    dataset: Dataset[Any],
    split: Split,
    features: np.ndarray | None,
    config: Config,
    *,
    class_weights: np.ndarray,
    side: Side,
    reporter: Reporter,
) -> Probes:
    """Cross-validation, accuracy by size, and what plainer models say of the evaluated side.

    Args:
        dataset, split: of the run.
        features: pooled, of all examples, float32, shape (n_examples, n_features); None where
            the run keeps none.
        config: `cross_validation`, the head's phase and the seed matter.
        class_weights: float64, shape (n_classes,).
        side: that the model is judged by.
        reporter: shows progress.
    """
    reason = _why_not(dataset, split, features)
    if features is None or reason is not None:
        names = ("cross-validation", "accuracy by size", "plainer models")
        return Probes(not_run=dict.fromkeys(names, reason or ""))
    labels, groups = dataset.labels, np.array(split.groups, dtype=np.int64)
    head = next((p for p in config.phases if p.unfreeze == 0), Phase(name="head"))
    settings: dict[str, Any] = {
        "n_classes": len(dataset.class_names),
        "l2": None if head.l2 == "auto" else head.l2,
        "label_smoothing": head.label_smoothing,
        "shares": SHARES,
        "seed": config.seed,
    }
    train, asked = split.indices("train"), split.indices(side)
    rows = np.concatenate([train, asked])
    on_side = hold_out(
        features[rows],
        labels[rows],
        groups[rows],
        np.repeat([TRAINING, ASKED], [len(train), len(asked)]),
        held=[ASKED],
        weights=class_weights[labels[rows]],
        **settings,
    )
    neighbours = nearest_neighbours(
        features[train], labels[train], features[asked], n_classes=len(dataset.class_names)
    )
    rivals = {
        "head_only": _headline(dataset, split, side, on_side[-1].probabilities[len(train) :]),
        "nearest_neighbours": _headline(dataset, split, side, neighbours),
    }
    is_small = len(asked) < ENOUGH_TESTED or side != "test"
    n_folds = _n_folds(config, is_small=is_small)
    if not n_folds:
        enough = f"{len(asked):,} are tested, which is enough; --cv {DEFAULT_FOLDS} runs it anyway"
        off = "it is switched off (cross_validation = 0)"
        return Probes(
            by_size=size_curve(
                labels[asked], groups[asked], [_asked(one, len(train)) for one in on_side]
            ),
            rivals=rivals,
            not_run={"cross-validation": off if config.cross_validation == 0 else enough},
        )
    title = f"Cross-validating on {WORDINGS[dataset.modality].nouns} held out in turn"
    with reporter.bar(title, n_folds, "folds") as bar:
        held_out = cross_validate(
            features,
            labels,
            groups,
            n_folds=n_folds,
            weights=class_weights[labels],
            on_fold=bar.advance,
            **settings,
        )
    return Probes(
        cross_validation=cross_validated(dataset, held_out[-1]),
        by_size=size_curve(labels, groups, held_out),
        leads=is_small or config.cross_validation != "auto",
        rivals=rivals,
    )


def _n_folds(config: Config, *, is_small: bool) -> int:
    if config.cross_validation == "auto":
        return DEFAULT_FOLDS if is_small else 0
    return config.cross_validation


def _why_not(dataset: Dataset[Any], split: Split, features: np.ndarray | None) -> str | None:
    wording = WORDINGS[dataset.modality]
    if features is None:
        return "no phase of this run keeps pooled features"
    if features.size * len(dataset.class_names) > MOST_WORK:
        return (
            f"{len(features):,} {wording.nouns} of {len(dataset.class_names):,} classes would "
            "take many minutes"
        )
    if len(set(split.groups)) < 2:
        return f"all {wording.nouns} belong to one group"
    return None


def _asked(one: HeldOut, n_train: int) -> HeldOut:
    return HeldOut(one.probabilities[n_train:], one.folds[n_train:], one.n_train)


def _headline(
    dataset: Dataset[Any], split: Split, side: Side, probabilities: np.ndarray
) -> dict[str, Interval]:
    """Of a side's answers, float32, shape (n_examples, n_classes)."""
    asked, n_classes = split.indices(side), len(dataset.class_names)
    counts = np.bincount(dataset.labels[split.indices("train")], minlength=n_classes)
    told = Predictions(
        tuple(dataset.examples[i].path for i in asked.tolist()),
        dataset.labels[asked],
        probabilities,
        dataset.class_names,
    )
    shares = counts / counts.sum()
    return dict(evaluate(told, class_shares=shares, side=side, modality=dataset.modality).headline)
