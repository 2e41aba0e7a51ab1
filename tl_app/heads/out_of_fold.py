"""What a linear head says of examples that it was not trained on, for every example."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from tl_app.heads.linear import choose_l2, group_folds, solve_linear_head

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
    folds = group_folds(labels, groups, n_folds, seed)
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError("examples of one group cannot be held out from each other")
    l2, _ = choose_l2(features, labels, groups, n_classes=n_classes, seed=seed)
    probabilities = np.zeros((len(labels), n_classes), np.float32)

    for fold in numbers.tolist():
        held = folds == fold
        head = solve_linear_head(features[~held], labels[~held], n_classes=n_classes, l2=l2)
        probabilities[held] = softmax(head.logits(features[held]).astype(np.float64), axis=1)
    return probabilities
