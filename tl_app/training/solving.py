"""A linear head for the run's pictures, solved with the run's settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from tl_app.config import Phase
from tl_app.heads.linear import L2_GRID, LinearHead, choose_l2, solve_linear_head
from tl_app.progress import Reporter
from tl_app.training.phase_inputs import TrainingData


@dataclass(frozen=True, slots=True)
class SolvedHead:
    """The optimum, and how it does on what it was solved for.

    Attributes:
        head: its weights.
        train_loss: weighted cross-entropy, without the penalty.
        train_accuracy: a fraction.
    """

    head: LinearHead
    train_loss: float
    train_accuracy: float


def solve_head(
    features: np.ndarray,
    data: TrainingData,
    phase: Phase,
    *,
    class_weights: np.ndarray,
    seed: int,
    reporter: Reporter,
) -> SolvedHead:
    """The optimum on all views of the training side.

    Args:
        features: float32, shape (n_views, n_train, n_features).
        data: labels and groups of the training side.
        phase: `l2` and `label_smoothing` matter.
        class_weights: float64, shape (n_classes,).
        seed: of the folds that choose the penalty.
        reporter: shows progress.
    """
    n_views = len(features)
    flat = features.reshape(-1, features.shape[-1])
    labels = np.tile(data.labels[data.train_rows], n_views)
    weights = class_weights[labels]
    l2 = phase.l2
    if l2 == "auto":
        with reporter.bar("Choosing the penalty", len(L2_GRID), "strengths") as bar:
            l2, _ = choose_l2(
                flat,
                labels,
                np.tile(data.groups[data.train_rows], n_views),
                n_classes=data.n_classes,
                weights=weights,
                label_smoothing=phase.label_smoothing,
                seed=seed,
                on_strength=bar.advance,
            )
    head = solve_linear_head(
        flat,
        labels,
        n_classes=data.n_classes,
        l2=l2,
        weights=weights,
        label_smoothing=phase.label_smoothing,
    )
    logits = head.logits(flat)
    log_p = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return SolvedHead(
        head, float(-np.mean(weights * log_p)), float((logits.argmax(axis=1) == labels).mean())
    )
