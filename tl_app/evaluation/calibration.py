"""Whether probabilities are what they say: temperature, and how far they are off.

Source: Guo et al., 2017, "On Calibration of Modern Neural Networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tl_app.evaluation.intervals import wilson_limits
from tl_app.records import Interval

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures that are looked through."""

N_BINS = 10
SMALLEST = 1e-38
"""A probability of 0 in float32 was one of less than that."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a run's probabilities were calibrated.

    Attributes:
        temperature: that the logits were divided by; 1 leaves them.
        method: "held_apart": fitted on validation examples that did not choose the weights;
            "out_of_fold": on training and validation examples told by heads that had not seen
            them, where the head alone was kept; "none".
        n_examples: it was fitted on.
        reason: why none was fitted; empty where one was.
    """

    temperature: float
    method: Literal["held_apart", "out_of_fold", "none"]
    n_examples: int
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        return cls(**values)


def fit_temperature(probabilities: np.ndarray, y_true: np.ndarray) -> float:
    """The temperature with the lowest log-loss; 1 where no other is better.

    One imagined example stands beside the real ones, as sure as their median and of any class:
    where every answer is right, the surest probabilities would be the best otherwise.

    Args:
        probabilities: float32, shape (n_examples, n_classes), rows sum to 1.
        y_true: int64, shape (n_examples,).
    """
    logits = np.log(np.maximum(probabilities, SMALLEST).astype(np.float64))
    rows = np.arange(len(y_true))
    imagined = logits[np.argsort(probabilities.max(axis=1), kind="stable")[len(rows) // 2]]

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, y_true].mean())

    def guarded_loss(log_temperature: float) -> float:
        any_class = -float(log_softmax(imagined / np.exp(log_temperature)).mean())
        return (len(rows) * loss(log_temperature) + any_class) / (len(rows) + 1)

    found = minimize_scalar(
        guarded_loss,
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x)) if loss(float(found.x)) < loss(0.0) else 1.0


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities with their logits divided by `temperature`, float32, same shape."""
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.maximum(probabilities, SMALLEST).astype(np.float64))
    return np.exp(log_softmax(logits / temperature, axis=1)).astype(np.float32)


def brier_score(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance to the truth over all classes, 0 to 2; lower is better.

    Args:
        y_true: int64, shape (n_examples,).
        probabilities: float32, shape (n_examples, n_classes).

    Source: Brier, 1950; scikit-learn's `brier_score_loss` has the same for two classes, halved.
    """
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    of_truth = probabilities[np.arange(len(y_true)), y_true].astype(np.float64)
    return float((squares - 2 * of_truth + 1).mean())


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about the same confidence.

    Attributes:
        n_examples: of them.
        confidence: mean probability of the answers.
        accuracy: how many were right, with its interval.
    """

    n_examples: int
    confidence: float
    accuracy: Interval


def reliability(
    y_true: np.ndarray, probabilities: np.ndarray, n_bins: int = N_BINS
) -> tuple[Bin, ...]:
    """Bins of equal numbers of answers, from unsure to sure.

    Args:
        y_true: int64, shape (n_examples,).
        probabilities: float32, shape (n_examples, n_classes).
        n_bins: fewer where there are fewer examples.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == y_true
    bins = []
    for rows in np.array_split(np.argsort(confidence, kind="stable"), min(n_bins, len(y_true))):
        n, hits = len(rows), int(right[rows].sum())
        low, high = wilson_limits(hits, n)
        bins.append(
            Bin(n, float(confidence[rows].mean()), Interval(hits / n, float(low), float(high)))
        )
    return tuple(bins)


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over the bins.

    Chance alone makes it larger than 0, the more so the fewer examples.

    Source: Naeini et al., 2015; here with bins of equal numbers.
    """
    n = sum(one.n_examples for one in bins)
    return sum(one.n_examples * abs(one.confidence - one.accuracy.value) for one in bins) / n
