"""How far a run's probabilities can be trusted, and what can be left to the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tl_app.evaluation.automation import (
    TARGETS,
    Conformal,
    Threshold,
    conformal_cutoff,
    conformal_on,
    risk_coverage,
    safe_threshold,
    threshold_on,
)
from tl_app.evaluation.calibration import (
    Bin,
    Calibration,
    brier_score,
    calibration_error,
    reliability,
    tempered,
)
from tl_app.evaluation.metrics import example_log_losses
from tl_app.records import Predictions, Split


@dataclass(frozen=True, slots=True)
class Figures:
    """Of probabilities, before or after calibration.

    Attributes:
        log_loss, brier_score, calibration_error: lower is better.
        bins: from unsure to sure.
    """

    log_loss: float
    brier_score: float
    calibration_error: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """All of it, on the evaluated side.

    Attributes:
        calibration: what was fitted, on what.
        before, after: figures without and with it.
        area: of the risk-coverage curve.
        thresholds: those that could be promised, by the share of wrong answers.
        conformal: sets of classes, or None.
        n_chosen_on: held-apart examples that thresholds and sets were chosen on.
        not_run: what there is not -> why.
    """

    calibration: Calibration
    before: Figures
    after: Figures
    area: float
    thresholds: tuple[Threshold, ...]
    conformal: Conformal | None
    n_chosen_on: int
    not_run: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def assess(
    calibration: Calibration, evaluated: Predictions, held_apart: Predictions | None
) -> Trust:
    """
    Args:
        calibration: of the run.
        evaluated: what it recorded of the evaluated side, every label known.
        held_apart: of the validation examples that had no say in the weights, or None.
    """
    y_true, after = evaluated.y_true, evaluated.probabilities
    before = tempered(after, 1 / calibration.temperature)
    thresholds: list[Threshold] = []
    conformal, not_run = None, {}
    if held_apart is None:
        why = "no validation examples were held apart to choose them on"
        not_run = {"thresholds": why, "sets": why}
    else:
        confidence = held_apart.probabilities.max(axis=1)
        right = held_apart.y_pred == held_apart.y_true
        for target in TARGETS:
            threshold = safe_threshold(confidence, right, target=target)
            # A laxer promise that accepts no more is no other threshold.
            if threshold is not None and all(threshold < one.threshold for one in thresholds):
                thresholds.append(threshold_on(threshold, target, y_true, after))
        if not thresholds:
            not_run["thresholds"] = (
                f"{len(right):,} held-apart examples do not show it for any share of wrong answers "
                f"up to {100 * max(TARGETS):.0f} %"
            )
        cutoff = conformal_cutoff(held_apart.y_true, held_apart.probabilities)
        if cutoff is not None:
            conformal = conformal_on(cutoff, y_true, after)
        else:
            not_run["sets"] = "too few held-apart examples to promise it"
    return Trust(
        calibration=calibration,
        before=_figures(y_true, before),
        after=_figures(y_true, after),
        area=risk_coverage(y_true, after).area,
        thresholds=tuple(thresholds),
        conformal=conformal,
        n_chosen_on=0 if held_apart is None else len(held_apart.y_true),
        not_run=not_run,
    )


def held_apart_of(split: Split, validation: Predictions) -> Predictions | None:
    """The recorded predictions of the calibration part; None where there is none."""
    if not split.calibration:
        return None
    rows = np.flatnonzero(np.isin(split.indices("validation"), split.calibration))
    return Predictions(
        tuple(validation.paths[i] for i in rows.tolist()),
        validation.y_true[rows],
        validation.probabilities[rows],
        validation.class_names,
    )


def _figures(y_true: np.ndarray, probabilities: np.ndarray) -> Figures:
    bins = reliability(y_true, probabilities)
    return Figures(
        log_loss=float(example_log_losses(y_true, probabilities).mean()),
        brier_score=brier_score(y_true, probabilities),
        calibration_error=calibration_error(bins),
        bins=bins,
    )
