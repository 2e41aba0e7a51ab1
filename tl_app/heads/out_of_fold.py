"""What a linear head says of examples that it was not trained on, for every example."""

from __future__ import annotations

import numpy as np

from tl_app.heads.cross_validation import cross_validate
from tl_app.heads.linear import choose_l2

N_FOLDS = 5


def out_of_fold_probabilities(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    n_classes: int,
    n_folds: int = N_FOLDS,
    seed: int = 0,
) -> np.ndarray:
    """Probabilities by heads that saw neither an example nor any of its group.

    The strength of the penalty is chosen once, on all examples, by the same kind of folds: one
    number that thousands of examples chose tells none of them apart.

    Args:
        features: float32, shape (n_examples, n_features).
        labels: int64, shape (n_examples,).
        groups: int64, shape (n_examples,), examples that never part.
        n_classes: columns of the answer.
        n_folds: never more than there are groups.
        seed: of the folds.

    Returns:
        float32, shape (n_examples, n_classes), rows sum to 1.

    Raises:
        ValueError: there are fewer than two groups.
    """
    l2, _ = choose_l2(features, labels, groups, n_classes=n_classes, seed=seed)
    (held_out,) = cross_validate(
        features, labels, groups, n_classes=n_classes, n_folds=n_folds, l2=l2, seed=seed
    )
    return held_out.probabilities
