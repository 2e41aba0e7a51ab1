"""A linear head solved to its optimum on kept features.

Softmax cross-entropy plus an L2 penalty on standardised features is convex, so the head
is solved rather than nudged; the standardisation is then folded into the Dense weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from tl_app.environment import usable_cores

L2_GRID: tuple[float, ...] = tuple(float(v) for v in 10.0 ** np.arange(0.5, -4.01, -0.5))
"""Strengths tried by `choose_l2`, per example (the loss is a weighted mean), strong first."""

LARGE = 2e8
"""Examples times dimensions times classes from which the search takes shortcuts: one fold held
out, every other strength, fewer iterations. A thousand classes would take hours otherwise."""

SHARED_OUT = 3e7
"""Examples times dimensions times classes from which one product is worth several cores: below,
threads spend their time waiting for each other."""

HOPELESS = 1.15
"""The search ends where a weaker penalty makes the log-loss this many times the best."""

SPREAD_POWER = 0.5
"""Features are divided by their spread to this power: 1 is plain standardisation, 0 only
centres. Half-way has the lowest log-loss on the photographs that the defaults were chosen on:
flat features carry more noise, and should not be blown up to the size of the others."""

DEFAULT_L2 = 1e-2
"""Where there are too few groups to hold any out."""

SPREAD_FLOOR = 0.01
"""Added to every spread, as a share of the mean spread, so that constants stay small."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Weights of one Dense layer on raw (not standardised) features.

    Attributes:
        kernel: float32, shape (n_features, n_classes).
        bias: float32, shape (n_classes,).
        l2: the strength it was solved with.
    """

    kernel: np.ndarray
    bias: np.ndarray
    l2: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32, shape (n_examples, n_classes)."""
        return features @ self.kernel + self.bias


@dataclass(frozen=True, slots=True)
class Standardised:
    """Features made comparable, in few dimensions where there are few examples.

    With fewer examples than features, the optimum of an L2-penalised linear head lies in the
    span of the examples: rotating into that span changes nothing but the cost.

    Attributes:
        values: float64, shape (n_examples, n_dimensions).
        basis: float64, shape (n_features, n_dimensions), or None for the features themselves.
        mean, scale: float64, shape (n_features,).
    """

    values: np.ndarray
    basis: np.ndarray | None
    mean: np.ndarray
    scale: np.ndarray

    def fold(self, kernel: np.ndarray, bias: np.ndarray, l2: float) -> LinearHead:
        """The same function on raw features."""
        full = kernel if self.basis is None else self.basis @ kernel
        raw = full / self.scale[:, None]
        return LinearHead(
            kernel=raw.astype(np.float32),
            bias=(bias - self.mean @ raw).astype(np.float32),
            l2=l2,
        )


def standardise(
    features: np.ndarray, weights: np.ndarray, *, power: float = SPREAD_POWER
) -> Standardised:
    """Weighted mean 0 and comparable spreads; their mean square is 1.

    Args:
        features: float32, shape (n_examples, n_features).
        weights: float64, shape (n_examples,).
        power: of the spread that features are divided by.
    """
    values = features.astype(np.float64)
    share = weights / weights.sum()
    mean = share @ values
    values -= mean
    # Without a matrix of squares: at its largest this one is half of what a run has in memory.
    spread = np.sqrt(np.einsum("i,ij,ij->j", share, values, values))
    scale = (spread + max(SPREAD_FLOOR * spread.mean(), 1e-12)) ** power
    scale *= np.sqrt(np.mean((spread / scale) ** 2)) or 1.0
    values /= scale
    n_examples, n_features = values.shape
    if n_examples >= n_features // 2:
        return Standardised(values, None, mean, scale)
    eigenvalues, vectors = np.linalg.eigh(values @ values.T)
    kept = eigenvalues > eigenvalues[-1] * 1e-12
    roots = np.sqrt(eigenvalues[kept])
    basis = values.T @ (vectors[:, kept] / roots)
    return Standardised(vectors[:, kept] * roots, basis, mean, scale)


def smooth(labels: np.ndarray, n_classes: int, label_smoothing: float) -> np.ndarray:
    """One-hot targets, float64 (n_examples, n_classes), with `label_smoothing` spread evenly."""
    one_hot = np.eye(n_classes, dtype=np.float64)[labels]
    return one_hot * (1.0 - label_smoothing) + label_smoothing / n_classes


def _solve(
    parts: Sequence[np.ndarray],
    targets: np.ndarray,
    weights: np.ndarray,
    l2: float,
    start: np.ndarray | None,
    max_iterations: int,
    tolerance: float,
) -> np.ndarray:
    """Minimise the weighted mean cross-entropy plus l2/2 |kernel|^2.

    Args:
        parts: float64, each of shape (n, n_dimensions): the examples, one part after the other.
        targets: float64, shape (n_examples, n_classes).
        weights: float64, shape (n_examples,).
        l2: penalty.
        start: as what is returned; None starts at zero.
        max_iterations, tolerance: of L-BFGS.

    Returns:
        float64, shape (n_dimensions + 1, n_classes); the last row is the bias, not penalised.
    """
    n_dimensions, n_classes = parts[0].shape[1], targets.shape[1]
    share = (weights / weights.sum())[:, None]
    ends = np.cumsum([len(part) for part in parts])[:-1]

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(n_dimensions + 1, n_classes)
        kernel = theta[:-1]
        log_p = log_softmax(_product(parts, kernel) + theta[-1], axis=1)
        residual = (np.exp(log_p) - targets) * share
        gradient = np.empty_like(theta)
        gradient[:-1] = l2 * kernel
        for part, its_residual in zip(parts, np.split(residual, ends), strict=True):
            gradient[:-1] += part.T @ its_residual
        gradient[-1] = residual.sum(axis=0)
        loss = -np.sum(share * targets * log_p) + 0.5 * l2 * np.sum(kernel**2)
        return float(loss), gradient.ravel()

    x0 = np.zeros((n_dimensions + 1, n_classes)) if start is None else start
    result = minimize(
        loss_and_gradient,
        x0.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "maxcor": 20, "ftol": tolerance, "gtol": 1e-6},
    )
    return result.x.reshape(n_dimensions + 1, n_classes)


def _product(parts: Sequence[np.ndarray], kernel: np.ndarray) -> np.ndarray:
    """All parts, one after the other, times `kernel`; they are never joined themselves."""
    products = [part @ kernel for part in parts]
    return products[0] if len(products) == 1 else np.concatenate(products)


def solve_linear_head(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    n_classes: int,
    l2: float,
    weights: np.ndarray | None = None,
    label_smoothing: float = 0.0,
    max_iterations: int = 500,
    power: float = SPREAD_POWER,
) -> LinearHead:
    """The optimum of softmax regression on scaled features.

    Args:
        features: float32, shape (n_examples, n_features).
        labels: int64, shape (n_examples,).
        n_classes: columns of the answer; a class without examples gets its smoothed share.
        l2: penalty per example on the standardised kernel.
        weights: float64, shape (n_examples,), or None for equal ones.
        label_smoothing: fraction of each target spread over all classes.
        max_iterations: of L-BFGS.
        power: as for `standardise`.

    Source: scikit-learn's LogisticRegression solves the same problem with C = 1 / (n * l2).
    """
    weights = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    space = standardise(features, weights, power=power)
    targets = smooth(labels, n_classes, label_smoothing)
    n_threads = None if space.values.size * n_classes > SHARED_OUT else 1
    with threadpool_limits(n_threads, "blas"):
        theta = _solve([space.values], targets, weights, l2, None, max_iterations, 1e-10)
    return space.fold(theta[:-1], theta[-1], l2)


def choose_l2(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    n_classes: int,
    weights: np.ndarray | None = None,
    label_smoothing: float = 0.0,
    grid: Sequence[float] = L2_GRID,
    n_folds: int | None = None,
    seed: int = 0,
    on_strength: Callable[[], object] = lambda: None,
) -> tuple[float, dict[float, float]]:
    """The strength with the lowest log-loss on pictures held out in turn.

    Args:
        features, labels, weights, n_classes, label_smoothing: as for `solve_linear_head`.
        groups: int64, shape (n_examples,); examples of one group stay in one fold.
        grid: strengths to try.
        n_folds: None takes 5, and 3 above 1,000 examples, which choose as well; never more
            than there are groups.
        seed: of the folds.
        on_strength: called after each strength; the search may end before the last.

    Returns:
        The strength, and the mean log-loss of every strength tried (the search ends early
        where it only gets worse).
    """
    weights = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    if n_folds is None:
        n_folds = 5 if len(labels) <= 1000 else 3
    folds = group_folds(labels, groups, n_folds, seed)
    # Fold by fold, so that what is held out, and what is not, are slices and no copies.
    order = np.argsort(folds, kind="stable")
    labels, weights, folds = labels[order], weights[order], folds[order]
    values = standardise(features[order], weights).values
    targets = smooth(labels, n_classes, label_smoothing)
    _, firsts = np.unique(folds, return_index=True)
    parts = [
        slice(int(first), int(end))
        for first, end in zip(firsts, [*firsts[1:], len(folds)], strict=True)
    ]
    parts = [held for held in parts if np.unique(_without(labels, held)).size > 1]
    strengths, iterations = sorted(grid, reverse=True), 100
    if values.size * n_classes > LARGE:
        parts, strengths, iterations = parts[:1], strengths[::2], 40
    starts: list[np.ndarray | None] = [None] * len(parts)
    means: dict[float, float] = {}

    def held_out_loss(part: int, l2: float) -> float:
        held = parts[part]
        theta = _solve(
            [values[: held.start], values[held.stop :]],
            _without(targets, held),
            _without(weights, held),
            l2,
            starts[part],
            iterations,
            1e-7,
        )
        starts[part] = theta
        log_p = log_softmax(values[held] @ theta[:-1] + theta[-1], axis=1)
        return -float(log_p[np.arange(len(log_p)), labels[held]].sum())

    # A fold on each core: its matrices are too small to be shared out themselves.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(usable_cores()) as pool:
        # From strong to weak: each solution is a good start for the next.
        for l2 in strengths if parts else ():
            loss = sum(pool.map(held_out_loss, range(len(parts)), repeat(l2)))
            on_strength()
            means[float(l2)] = loss / sum(held.stop - held.start for held in parts)
            if means[float(l2)] > HOPELESS * min(means.values()):
                break
    if not means:
        return DEFAULT_L2, {}
    return min(means, key=lambda l2: means[l2]), means


def _without(rows: np.ndarray, held: slice) -> np.ndarray:
    return np.concatenate([rows[: held.start], rows[held.stop :]])


def group_folds(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """int64, shape (n_examples,): a fold for each example, classes spread, groups whole."""
    unique, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(unique))
    # Dealing the groups out class by class, like cards, spreads every class over the folds.
    order = order[np.argsort(labels[first][order], kind="stable")]
    fold_of_group = np.empty(len(unique), dtype=np.int64)
    fold_of_group[order] = np.arange(len(unique)) % min(n_folds, len(unique))
    return fold_of_group[inverse]
