"""Every example told by a linear head that has seen neither it nor any of its group.

Kept features make it cheap: what is trained anew for each fold is the head, in a second or so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from tl_app.heads.linear import L2_GRID, choose_l2, group_folds, solve_linear_head

INNER_FOLDS = 3
INNER_GRID = L2_GRID[::2]
"""Each fold chooses its own penalty, from its training part alone, by a coarse search: strengths
three times apart are hard to tell by their log-loss."""

MOST_WORK = 2e8
"""Numbers that a head multiplies in a step (examples x features x classes): five such heads, and
the choice of their penalty, would take many minutes with more."""

SHARES = (0.1, 0.25, 0.5, 1.0)
"""Of each fold's training groups, in the curve of accuracy against size."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Answers for examples that were held out.

    Attributes:
        probabilities: float32, shape (n_examples, n_classes), rows sum to 1; those of examples
            that were not held out are zero.
        folds: int64, shape (n_examples,).
        n_train: mean number of examples that a head was trained on.
    """

    probabilities: np.ndarray
    folds: np.ndarray
    n_train: int


def cross_validate(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    n_classes: int,
    n_folds: int,
    weights: np.ndarray | None = None,
    l2: float | None = None,
    label_smoothing: float = 0.0,
    shares: Sequence[float] = (1.0,),
    seed: int = 0,
    on_fold: Callable[[], object] = lambda: None,
) -> list[HeldOut]:
    """Train a head without each fold in turn, and ask it about that fold.

    Args:
        features: float32, shape (n_examples, n_features).
        labels: int64, shape (n_examples,).
        groups: int64, shape (n_examples,), examples that never part.
        n_classes: columns of the answer.
        n_folds: never more than there are groups.
        weights: float64, shape (n_examples,), or None for equal ones.
        l2: the penalty; None lets each fold choose its own.
        label_smoothing: as for `solve_linear_head`.
        shares: of each training part's groups, in (0, 1]; a smaller one is part of a larger.
        seed: of the folds and of the parts.
        on_fold: called after each fold.

    Returns:
        One for each share, in the same folds.

    Raises:
        ValueError: there are fewer than two groups.
    """
    folds = group_folds(labels, groups, n_folds, seed)
    if len(np.unique(folds)) < 2:
        raise ValueError("examples of one group cannot be held out from each other")
    return hold_out(
        features,
        labels,
        groups,
        folds,
        held=np.unique(folds).tolist(),
        n_classes=n_classes,
        weights=weights,
        l2=l2,
        label_smoothing=label_smoothing,
        shares=shares,
        seed=seed,
        on_fold=on_fold,
    )


def hold_out(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    folds: np.ndarray,
    *,
    held: Sequence[int],
    n_classes: int,
    weights: np.ndarray | None = None,
    l2: float | None = None,
    label_smoothing: float = 0.0,
    shares: Sequence[float] = (1.0,),
    seed: int = 0,
    on_fold: Callable[[], object] = lambda: None,
) -> list[HeldOut]:
    """The same for folds that are given, of which only those in `held` are asked about.

    Args:
        folds: int64, shape (n_examples,).
        held: numbers of folds; each is told by a head that all the others trained.
        features, labels, groups, n_classes, weights, l2, label_smoothing, shares, seed, on_fold:
            as for `cross_validate`.
    """
    weights = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    told = np.zeros((len(shares), len(labels), n_classes), np.float32)
    sizes = np.zeros((len(shares), len(held)))
    for number, fold in enumerate(held):
        asked = folds == fold
        rows = np.flatnonzero(~asked)
        strength = l2
        if strength is None:
            strength, _ = choose_l2(
                features[rows],
                labels[rows],
                groups[rows],
                n_classes=n_classes,
                weights=weights[rows],
                label_smoothing=label_smoothing,
                grid=INNER_GRID,
                n_folds=INNER_FOLDS,
                seed=seed,
            )
        for k, share in enumerate(shares):
            some = _part(rows, labels, groups, share, seed)
            head = solve_linear_head(
                features[some],
                labels[some],
                n_classes=n_classes,
                # The same penalty on all examples together, whatever their number.
                l2=min(strength * len(rows) / len(some), max(L2_GRID)),
                weights=weights[some],
                label_smoothing=label_smoothing,
            )
            told[k, asked] = softmax(head.logits(features[asked]).astype(np.float64), axis=1)
            sizes[k, number] = len(some)
        on_fold()
    return [HeldOut(told[k], folds, round(float(sizes[k].mean()))) for k in range(len(shares))]


def _part(
    rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, share: float, seed: int
) -> np.ndarray:
    """Some of `rows`: whole groups, the same share of each class, one group of each at least."""
    if share >= 1:
        return rows
    unique, first = np.unique(groups[rows], return_index=True)
    order = np.random.default_rng(seed).permutation(len(unique))
    label_of = labels[rows][first]
    kept = []
    for label in np.unique(label_of).tolist():
        mine = order[label_of[order] == label]
        kept.append(unique[mine[: max(1, round(share * len(mine)))]])
    return rows[np.isin(groups[rows], np.concatenate(kept))]
