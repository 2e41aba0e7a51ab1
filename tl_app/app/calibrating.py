"""Fitting the temperature of a trained classifier on examples that did not choose its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tl_app.config import Config, Phase
from tl_app.data.calibration_part import LEAST_VALIDATION
from tl_app.data.wording import WORDINGS
from tl_app.evaluation.calibration import Calibration, fit_temperature
from tl_app.evaluation.learning import best_record
from tl_app.heads.cross_validation import MOST_WORK, cross_validate
from tl_app.records import Dataset, EpochRecord, Split

N_FOLDS = 5


def fit_calibration(
    dataset: Dataset[Any],
    split: Split,
    config: Config,
    history: Sequence[EpochRecord],
    *,
    predict: Callable[[np.ndarray], np.ndarray],
    kept_features: Callable[[], np.ndarray | None],
    class_weights: np.ndarray,
) -> Calibration:
    """The temperature, or why there is none.

    Args:
        dataset, split, config, history: of the run.
        predict: rows of the dataset to what the trained model says of them, float32,
            shape (n, n_classes).
        kept_features: pooled, of all examples, by the weights as they are, or None.
        class_weights: float64, shape (n_classes,).
    """
    if not config.data.calibration_fraction:
        return Calibration(1.0, "none", 0, "it is switched off (data.calibration_fraction = 0)")
    if split.calibration:
        rows = np.array(split.calibration, dtype=np.int64)
        temperature = fit_temperature(predict(rows), dataset.labels[rows])
        return Calibration(temperature, "held_apart", len(rows))
    noun = WORDINGS[dataset.modality].noun
    few = (
        f"fewer than {LEAST_VALIDATION} validation {noun}s: none could be held apart from the "
        "choice of weights"
    )
    head = _solved_head(config, history)
    if head is None:
        return Calibration(1.0, "none", 0, few)
    features = kept_features()
    rows = np.concatenate([split.indices("train"), split.indices("validation")])
    groups = np.array(split.groups, dtype=np.int64)[rows]
    n_classes = len(dataset.class_names)
    too_large = features is not None and len(rows) * features.shape[1] * n_classes > MOST_WORK
    if features is None or too_large or len(np.unique(groups)) < N_FOLDS:
        return Calibration(1.0, "none", 0, few)
    (held_out,) = cross_validate(
        features[rows],
        dataset.labels[rows],
        groups,
        n_classes=n_classes,
        n_folds=N_FOLDS,
        weights=class_weights[dataset.labels[rows]],
        l2=None if head.l2 == "auto" else head.l2,
        label_smoothing=head.label_smoothing,
        seed=config.seed,
    )
    temperature = fit_temperature(held_out.probabilities, dataset.labels[rows])
    return Calibration(temperature, "out_of_fold", len(rows))


def _solved_head(config: Config, history: Sequence[EpochRecord]) -> Phase | None:
    """The phase whose weights were kept, if it solved a linear head on the frozen backbone."""
    kept = best_record(history)
    phase = next((p for p in config.phases if kept is not None and p.name == kept.phase), None)
    is_solved = phase is not None and phase.unfreeze == 0 and config.solver(phase) == "lbfgs"
    return phase if is_solved else None
