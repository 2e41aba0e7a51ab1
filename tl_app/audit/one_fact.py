"""How well one fact alone tells each class from the rest, on examples that were held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tl_app.evaluation.intervals import wilson_limits

N_BINS = 32
"""Of a number's range, of about equal counts."""

MIN_MEMBERS = 10
"""Of a class, and of the rest: fewer say nothing."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Class against the rest.

    Attributes:
        accuracy: balanced: the mean of the shares of the class and of the rest that are told
            rightly; 0.5 is chance. float64, shape (n_classes,), NaN where it says nothing.
        low, high: its 95 % interval.
    """

    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray


def tell_by_bins(
    bins: np.ndarray, labels: np.ndarray, folds: np.ndarray, n_classes: int
) -> Telling:
    """Each bin says "this class" where the class puts a larger share of itself than the rest does.

    Args:
        bins: int64, shape (n,), from 0: a category, or a range of a number.
        labels, folds: int64, shape (n,).
        n_classes: how many there are.
    """
    n_bins = int(bins.max()) + 1
    right = np.zeros((2, n_classes))
    for fold in np.unique(folds):
        held = folds == fold
        known = _counts(bins[~held], labels[~held], n_bins, n_classes)
        told = _counts(bins[held], labels[held], n_bins, n_classes)
        members, others = known, known.sum(axis=1, keepdims=True) - known
        said = members / np.maximum(members.sum(axis=0), 1) > others / np.maximum(
            others.sum(axis=0), 1
        )
        right[0] += (told * said).sum(axis=0)
        right[1] += ((told.sum(axis=1, keepdims=True) - told) * ~said).sum(axis=0)
    return telling(right, np.bincount(labels, minlength=n_classes))


def telling(right: np.ndarray, counts: np.ndarray) -> Telling:
    """From counts to balanced accuracies.

    Args:
        right: float64, shape (2, n_classes): of the class, and of the rest, told rightly.
        counts: int64, shape (n_classes,).

    Source: the two Wilson intervals joined as by Newcombe, 1998 (method 10).
    """
    trials = np.stack([counts, counts.sum() - counts]).astype(np.float64)
    enough = (trials >= MIN_MEMBERS).all(axis=0)
    safe = np.where(enough, trials, 1.0)
    hits = np.where(enough, right, 0.0)
    low, high = wilson_limits(hits, safe)
    share = hits / safe
    accuracy = share.mean(axis=0)
    below = np.sqrt(((share - low) ** 2).sum(axis=0)) / 2
    above = np.sqrt(((high - share) ** 2).sum(axis=0)) / 2
    nothing = np.where(enough, 0.0, np.nan)
    return Telling(accuracy + nothing, accuracy - below + nothing, accuracy + above + nothing)


def into_bins(values: np.ndarray) -> np.ndarray:
    """int64, shape (n,): numbers by their quantiles; what is not known (NaN) is a bin of its own.

    Args:
        values: float64, shape (n,).
    """
    known = ~np.isnan(values)
    bins = np.zeros(len(values), np.int64)
    if known.any():
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, N_BINS + 1)[1:-1]))
        bins[known] = 1 + np.searchsorted(edges, values[known], side="right")
    return bins


def _counts(bins: np.ndarray, labels: np.ndarray, n_bins: int, n_classes: int) -> np.ndarray:
    """float64, shape (n_bins, n_classes)."""
    flat = np.bincount(bins * n_classes + labels, minlength=n_bins * n_classes)
    return flat.reshape(n_bins, n_classes).astype(np.float64)
