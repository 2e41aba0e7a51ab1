"""95 % intervals, all in closed form: no resampling, no seed, exact repeats.

Resampling whole examples was measured and left out: with few mistakes its intervals are too
short (a perfect score even gets width zero), and it takes seconds where these take
milliseconds. `tests/evaluation/test_coverage.py` measures how often each interval holds the
true value.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from tl_app.evaluation.metrics import class_counts, f1_scores, macro_f1_score, seen_classes
from tl_app.records import Interval

LEVEL = 0.95
POWER = 0.8
"""Of `smallest_difference`."""

Z = float(stats.norm.ppf((1 + LEVEL) / 2))


def smallest_difference(n_right: int, n: int) -> float:
    """How much less accurate a second model must be for both to be told apart.

    In four of five tries at 5 %, two-sided, by McNemar's exact test on the same examples, as if
    their mistakes were independent; models that make the same mistakes are told apart sooner.

    Args:
        n_right, n: right answers of this model, and examples, at least one.

    Returns:
        A share; 1 where no second model is bad enough.
    """
    error = (n - n_right + 1) / (n + 2)  # of a perfect score it is small, and not nothing
    low, high = 0.0, 1.0 - error
    if _mcnemar_power(n, error, high) < POWER:
        return 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        if _mcnemar_power(n, error, middle) < POWER:
            low = middle
        else:
            high = middle
    return high


def _mcnemar_power(n: int, error: float, difference: float) -> float:
    """How often the test parts a model of this error from one that errs so much more."""
    only_first = (1 - error) * (error + difference)
    discordant = only_first + error * (1 - error - difference)
    # As many examples of which one model alone is right as there may well be.
    few, many = stats.binom.ppf([1e-6, 1 - 1e-6], n, discordant)
    counts = np.arange(max(few, 1), many + 1)
    # The most wins of the weaker model that still part the two; below 0 where none do.
    weak = stats.binom.ppf((1 - LEVEL) / 2, counts, 0.5) - 1
    weak += stats.binom.cdf(weak + 1, counts, 0.5) <= (1 - LEVEL) / 2
    share = only_first / discordant
    parted = stats.binom.cdf(weak, counts, 1 - share) + stats.binom.cdf(weak, counts, share)
    return float((stats.binom.pmf(counts, n, discordant) * parted).sum())


def wilson_limits(
    hits: np.ndarray | float, trials: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a proportion.

    Args:
        hits: from 0 to `trials`, may be a fraction (an effective count).
        trials: above 0.

    Returns:
        (low, high), float64, in [0, 1]; never of zero width.

    Source: Wilson, 1927; Brown, Cai and DasGupta, 2001.
    """
    hits, trials = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    share = hits / trials
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    spread = np.maximum(share * (1 - share), 0.0) / trials + Z**2 / (4 * trials**2)
    half = Z * np.sqrt(spread) / (1 + Z**2 / trials)
    # Rounding may put a limit a hair on the wrong side of the value.
    low = np.minimum(np.maximum(centre - half, 0.0), share)
    high = np.maximum(np.minimum(centre + half, 1.0), share)
    return low, high


def proportion_intervals(hits: np.ndarray, trials: np.ndarray) -> list[Interval]:
    """Wilson intervals of several proportions; 0 with no limits where there is no trial."""
    known = trials > 0
    safe = np.where(known, trials, 1.0)
    low, high = wilson_limits(np.where(known, hits, 0.0), safe)
    value = np.where(known, hits / safe, 0.0)
    return _intervals(value, low, high, known)


def f1_intervals(confusion: np.ndarray) -> list[Interval]:
    """Intervals of each class's F1.

    F1 = 2 J / (1 + J), where J = hits / (hits + misses + false alarms) is a plain proportion
    of the examples that have to do with the class. So the Wilson limits of J, put through
    that rising function, are limits of F1, at a perfect score too.
    """
    hits, examples, guesses = class_counts(confusion)
    involved = examples + guesses - hits
    known = involved > 0
    low, high = wilson_limits(hits, np.where(known, involved, 1.0))
    return _intervals(f1_scores(confusion), 2 * low / (1 + low), 2 * high / (1 + high), known)


def macro_f1_interval(confusion: np.ndarray) -> Interval:
    """Interval of the macro-averaged F1.

    The Wilson interval with an effective number of examples: as many as would give a plain
    proportion the variance that the delta method finds for macro-F1. The variance is taken
    after one imagined mistake is spread over the off-diagonal cells, so that a perfect score
    keeps an honest width; the centre is shifted by the bias that the curvature of F1 causes
    where classes have few examples.

    Source: effective sample size after Korn and Graubard, 1998; variance by the influence of
    one example on macro-F1.
    """
    value = macro_f1_score(confusion)
    seen = seen_classes(confusion)
    cells = confusion[np.ix_(seen, seen)].astype(np.float64)
    n_seen = len(cells)
    if n_seen < 2:
        return Interval(value, *_floats(wilson_limits(value * cells.sum(), cells.sum())))
    off_diagonal = np.repeat(cells.sum(axis=1, keepdims=True), n_seen, axis=1)
    np.fill_diagonal(off_diagonal, 0.0)
    cells += off_diagonal / off_diagonal.sum()

    hits, examples, guesses = class_counts(cells)
    # What one more example in a cell adds to macro-F1: on the diagonal it touches one class,
    # off the diagonal it is a miss of the row and a false alarm of the column.
    by_hit = 2 * (examples + guesses - 2 * hits) / (examples + guesses) ** 2 / n_seen
    by_mistake = -2 * hits / (examples + guesses) ** 2 / n_seen
    influence = by_mistake[:, np.newaxis] + by_mistake[np.newaxis, :]
    np.fill_diagonal(influence, by_hit)
    variance = float((cells * influence**2).sum())
    smoothed = macro_f1_score(cells)
    if variance <= 0.0:  # nothing right at all: no class has a hit to lose
        n_effective = float(cells.sum()) / n_seen
    else:
        n_effective = smoothed * (1 - smoothed) / variance

    involved = examples + guesses - hits
    jaccard = (hits + 0.5) / (involved + 1)
    bias = float((-2 * jaccard * (1 - jaccard) / (1 + jaccard) ** 3 / involved).mean())
    centre = min(max(value - bias, 0.0), 1.0)
    low, high = _floats(wilson_limits(centre * n_effective, n_effective))
    return Interval(value, min(low, value), max(high, value))


def mean_loss_interval(losses: np.ndarray, *, unseen_loss: float) -> Interval:
    """Interval of the mean of losses that are never negative and lean far to the right.

    Student's t corrected for skewness, which covers as well as the studentised bootstrap that
    it approximates. The upper limit is at least that of the same losses with one of
    `unseen_loss` beside them: when no mistake was seen the sample cannot tell what one costs.

    Args:
        losses: float64, shape (n_examples,), from 0.
        unseen_loss: what a blind guess costs, log(n_classes).

    Returns:
        Limits are None for a single example.

    Source: Hall, 1992, "On the removal of skewness by transformation".
    """
    n_examples = len(losses)
    mean = float(losses.mean())
    if n_examples < 2:
        return Interval(mean, None, None)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, n_examples - 1)) / np.sqrt(n_examples)
    deviation = float(losses.std(ddof=1))
    low, high = mean - quantile * deviation, mean + quantile * deviation
    skewness = _skewness(losses - mean)
    if abs(skewness) > 1e-6:
        low = mean - deviation * _straighten(quantile, skewness, n_examples)
        high = mean - deviation * _straighten(-quantile, skewness, n_examples)
    widened = np.append(losses, unseen_loss)
    guarded = widened.mean() + quantile * widened.std(ddof=1)
    return Interval(mean, min(max(low, 0.0), mean), float(max(high, guarded, mean)))


def _skewness(residuals: np.ndarray) -> float:
    variance = float((residuals**2).mean())
    return float((residuals**3).mean()) / variance**1.5 if variance > 1e-20 else 0.0


def _straighten(quantile: float, skewness: float, n_examples: int) -> float:
    """Hall's cubic transformation, inverted, of a quantile divided by sqrt(n_examples)."""
    inner = 1 + skewness * (quantile - skewness / (6 * n_examples))
    return float(3 * (np.cbrt(inner) - 1) / skewness)


def _intervals(
    value: np.ndarray, low: np.ndarray, high: np.ndarray, known: np.ndarray
) -> list[Interval]:
    return [
        Interval(float(v), float(lo), float(hi)) if k else Interval(float(v), None, None)
        for v, lo, hi, k in zip(value, low, high, known, strict=True)
    ]


def _floats(limits: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    return float(limits[0]), float(limits[1])
