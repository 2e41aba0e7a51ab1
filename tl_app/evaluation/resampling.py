"""How far two classifiers differ in each headline metric, with 95 % intervals, by resampling.

Groups of examples that belong together are drawn with replacement and stay whole (the cluster
bootstrap), and both classifiers meet the same draw, so that what they have in common cancels.
Each metric here follows from a few sums over examples, so a thousand draws are one matrix
product.

Plain percentile intervals are too short where few groups or few disagreements were seen; two
classifiers that agree everywhere would even get width zero. Hence:

- two imagined groups of the mean size stand beside the real ones while drawing, one that only the
  first classifier tells rightly and one that only the second does (for shares of single examples
  this is the interval of Bonett and Price, 2012);
- the tails are those of Student's t rather than of the normal distribution (Hesterberg, 2015,
  "What teachers should know about the bootstrap", the expanded percentile interval).

`tests/evaluation/test_comparison_coverage.py` measures how often the intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse, stats

from tl_app.evaluation.intervals import LEVEL
from tl_app.evaluation.metrics import example_log_losses
from tl_app.records import Interval

NUMBERS_AT_ONCE = 4_000_000
"""Of one array, 32 MB: as many draws are made together."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What all metrics follow from, of several samples at once; float64 counts.

    Attributes:
        examples, hits, guesses: shape (n_classes, n_samples).
        loss: shape (n_samples,), summed log-loss.
    """

    examples: np.ndarray
    hits: np.ndarray
    guesses: np.ndarray
    loss: np.ndarray

    @classmethod
    def of_rows(cls, rows: np.ndarray) -> Sums:
        """Views of what `_by_group` lays out, shape (3 n_classes + 1, n_samples)."""
        examples, hits, guesses = np.split(rows[:-1], 3)
        return cls(examples, hits, guesses, rows[-1])


def accuracy(sums: Sums) -> np.ndarray:
    """float64, shape (n_samples,): the share that is told rightly."""
    return sums.hits.sum(axis=0) / sums.examples.sum(axis=0)


def balanced_accuracy(sums: Sums) -> np.ndarray:
    """float64, shape (n_samples,): the mean recall of the classes that have examples."""
    return _mean_where(sums.hits, sums.examples)


def macro_f1(sums: Sums) -> np.ndarray:
    """float64, shape (n_samples,): the mean F1 of the classes with an example or a guess."""
    return _mean_where(2 * sums.hits, sums.examples + sums.guesses)


def log_loss(sums: Sums) -> np.ndarray:
    """float64, shape (n_samples,): the mean log-loss, in nats."""
    return sums.loss / sums.examples.sum(axis=0)


def _mean_where(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The mean ratio over the classes where `whole` is not 0."""
    ratios = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratios.sum(axis=0) / (whole > 0).sum(axis=0)


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One row of a comparison; names, titles and styles are those of `scoring.HEADLINE`."""

    name: str
    title: str
    style: Literal["percent", "loss"]
    value: Callable[[Sums], np.ndarray]


METRICS = (
    ComparedMetric("accuracy", "Accuracy", "percent", accuracy),
    ComparedMetric("balanced_accuracy", "Balanced accuracy", "percent", balanced_accuracy),
    ComparedMetric("macro_f1", "Macro-F1", "percent", macro_f1),
    ComparedMetric("log_loss", "Log-loss", "loss", log_loss),
)


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """A metric of both classifiers on the same examples.

    Attributes:
        name: of the metric.
        value_a, value_b: of each.
        difference: that of B less that of A, with its interval; no limits for a single group.
    """

    name: str
    value_a: float
    value_b: float
    difference: Interval


def metric_differences(
    y_true: np.ndarray,
    probabilities_a: np.ndarray,
    probabilities_b: np.ndarray,
    groups: np.ndarray,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[MetricDifference, ...]:
    """Every metric of `METRICS`, of B less A.

    Args:
        y_true: int64, shape (n_examples,), from 0; one example at least.
        probabilities_a, probabilities_b: float32, shape (n_examples, n_classes), rows sum to 1;
            two classes at least.
        groups: int64, shape (n_examples,), numbers of groups from 0, none left out.
        n_resamples: draws.
        seed: of the draws.
    """
    told = (probabilities_a, probabilities_b)
    n_groups = int(groups.max()) + 1
    by_group = sparse.vstack([_by_group(y_true, p, groups, n_groups) for p in told], format="csr")
    values = _values(by_group @ np.ones((n_groups, 1)))[:, :, 0]
    tail = _tail(n_groups)
    limits: list[tuple[float | None, float | None]] = [(None, None)] * len(METRICS)
    if tail is not None:
        draws = _draws(by_group, y_true, n_groups, n_resamples, np.random.default_rng(seed))
        for number, row in enumerate(draws[1] - draws[0]):
            low, high = np.quantile(row, [tail, 1 - tail])
            observed = values[1, number] - values[0, number]
            limits[number] = min(float(low), observed), max(float(high), observed)
    return tuple(
        MetricDifference(metric.name, float(a), float(b), Interval(float(b - a), *_floats(ends)))
        for metric, a, b, ends in zip(METRICS, *values, limits, strict=True)
    )


def _floats(ends: tuple[float | None, float | None]) -> list[float | None]:
    return [None if end is None else float(end) for end in ends]


def _tail(n_groups: int) -> float | None:
    """The share of draws beyond each limit; None where one group cannot tell of others."""
    if n_groups < 2:
        return None
    quantile = stats.t.ppf((1 + LEVEL) / 2, n_groups - 1)
    return float(stats.norm.cdf(-quantile * np.sqrt(n_groups / (n_groups - 1))))


def _by_group(
    y_true: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, n_groups: int
) -> sparse.csr_array:
    """The rows of `Sums` (examples, hits, guesses, loss), one column a group."""
    n_examples, n_classes = probabilities.shape
    y_pred = probabilities.argmax(axis=1)
    right = y_pred == y_true
    rows = [
        y_true,
        n_classes + y_true[right],
        2 * n_classes + y_pred,
        np.full(n_examples, 3 * n_classes),
    ]
    columns = [groups, groups[right], groups, groups]
    ones = np.ones(n_examples)
    numbers = [ones, ones[right], ones, example_log_losses(y_true, probabilities)]
    entries = np.concatenate(numbers), (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array(entries, shape=(3 * n_classes + 1, n_groups)).tocsr()


def _values(rows: np.ndarray) -> np.ndarray:
    """float64, shape (2, n_metrics, n_samples), from the rows of both classifiers."""
    told = [Sums.of_rows(half) for half in np.split(rows, 2)]
    return np.array([[metric.value(sums) for metric in METRICS] for sums in told])


def _draws(
    by_group: sparse.csr_array,
    y_true: np.ndarray,
    n_groups: int,
    n_resamples: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Metrics of samples drawn anew: float64, shape (2, n_metrics, n_resamples)."""
    n_units = n_groups + 2  # the last two are imagined
    at_once = max(1, NUMBERS_AT_ONCE // (n_units + by_group.shape[0]))
    parts = []
    for start in range(0, n_resamples, at_once):
        n = min(at_once, n_resamples - start)
        drawn = random.integers(n_units, size=(n, n_units)) * n + np.arange(n)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=n_units * n).reshape(n_units, n)
        rows = by_group @ times[:n_groups].astype(np.float64)
        _add_imagined(rows, times[n_groups:], y_true, len(y_true) / n_groups, random)
        parts.append(_values(rows))
    return np.concatenate(parts, axis=2)


def _add_imagined(
    rows: np.ndarray,
    times: np.ndarray,
    y_true: np.ndarray,
    size: float,
    random: np.random.Generator,
) -> None:
    """Add the imagined groups to the rows of both classifiers.

    Their class is that of some example, the wrong answer any other class; it costs what a blind
    guess does.

    Args:
        rows: float64, shape (2 (3 n_classes + 1), n_samples); changed.
        times: int64, shape (2, n_samples): how often the group that only the first, only the
            second classifier tells rightly was drawn.
        y_true: int64, shape (n_examples,).
        size: examples in such a group.
        random: draws their classes.
    """
    told = [Sums.of_rows(half) for half in np.split(rows, 2)]
    n_classes = len(told[0].examples)
    for right, n_drawn in enumerate(times):
        sample = np.repeat(np.arange(len(n_drawn)), n_drawn)
        truth = y_true[random.integers(len(y_true), size=len(sample))]
        wrong = (truth + random.integers(1, n_classes, size=len(sample))) % n_classes
        for number, sums in enumerate(told):
            is_right = number == right
            np.add.at(sums.examples, (truth, sample), size)
            np.add.at(sums.guesses, (truth if is_right else wrong, sample), size)
            if is_right:
                np.add.at(sums.hits, (truth, sample), size)
            else:
                np.add.at(sums.loss, sample, size * np.log(n_classes))
