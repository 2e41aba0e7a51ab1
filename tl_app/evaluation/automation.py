"""What can be left to the model: answers sure enough, and sets of classes that hold the truth.

Thresholds and set sizes are chosen on examples that had no say in the weights, and then looked at
on the evaluated side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tl_app.evaluation.intervals import wilson_limits
from tl_app.records import Interval

DOUBT = 0.05
"""That a promise of a threshold may be broken by chance in choosing it."""

TARGETS = (0.01, 0.02, 0.05, 0.1)
"""Shares of wrong answers among those that are accepted."""

STEP = 0.05
"""Of all answers, by which a threshold takes more in turn."""

STARTS = (0.0, 0.75)
"""Shares of the answers at which the search for a threshold begins."""

NOMINAL = 0.9
"""Share of the sets that hold the truth."""


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Wrong answers among the surest, by how many are accepted.

    Attributes:
        coverage: float64, shape (n_examples,): 1/n, 2/n, ... 1.
        risk: float64, same shape: share of wrong answers among so many of the surest.
        area: mean risk (AURC); lower is better.
    """

    coverage: np.ndarray
    risk: np.ndarray
    area: float


def risk_coverage(y_true: np.ndarray, probabilities: np.ndarray) -> RiskCoverage:
    """
    Args:
        y_true: int64, shape (n_examples,).
        probabilities: float32, shape (n_examples, n_classes).

    Answers of one confidence are accepted together: each counts as wrong as they are on average.

    Source: El-Yaniv and Wiener, 2010; Geifman et al., 2019 (AURC).
    """
    confidence = probabilities.max(axis=1)
    wrong = (probabilities.argmax(axis=1) != y_true).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], wrong[order]
    _, starts, counts = np.unique(-confidence, return_index=True, return_counts=True)
    wrong = np.repeat(np.add.reduceat(wrong, starts) / counts, counts)
    number = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(wrong) / number
    return RiskCoverage(number / len(wrong), risk, float(risk.mean()))


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which confidence on answers are accepted.

    Attributes:
        target: share of wrong answers that was asked for.
        threshold: least confidence of an accepted answer.
        coverage: share of the evaluated side that is accepted, with its interval.
        risk: share of wrong answers among those, with its interval; no limits where none is.
    """

    target: float
    threshold: float
    coverage: Interval
    risk: Interval


def safe_threshold(
    confidence: np.ndarray, right: np.ndarray, *, target: float, doubt: float = DOUBT
) -> float | None:
    """The least confidence above which at most `target` of new answers are wrong.

    With a probability of 1 - `doubt` over the choice of these examples. Thresholds are tried from
    the strictest that could show it, each taking `STEP` more of the answers, up to the first that
    does not: tested in a fixed sequence, all of them together err as rarely as one. One such walk
    begins at each of `STARTS` and has its part of the doubt, so that a single sure mistake, as a
    wrong label makes, does not end what many right answers behind it would show.

    Args:
        confidence: float32, shape (n_examples,), of examples that had no say in the weights.
        right: bool, same shape.
        target: share of wrong answers among the accepted.
        doubt: see above.

    Returns:
        The threshold, or None where not even the surest answers show it.

    Source: Bauer, 1991 (fixed sequences); Clopper and Pearson, 1934; Angelopoulos et al., 2021,
    "Learn then Test".
    """
    n = len(confidence)
    ordered = np.sort(confidence)[::-1]
    # With few examples both walks would begin at the same place.
    starts = STARTS if _fewest(target, doubt / len(STARTS)) <= STARTS[-1] * n else STARTS[:1]
    part = doubt / len(starts)
    fewest = _fewest(target, part)
    reached = []
    for start in starts:
        kept = None
        for number in range(1, round(1 / STEP) + 1):
            n_accepted = math.ceil(n * number * STEP - 1e-9)
            if n_accepted < max(fewest, start * n):
                continue
            threshold = float(ordered[n_accepted - 1])
            accepted = confidence >= threshold
            n_wrong = int((accepted & ~right).sum())
            # The chance of so few wrong answers if `target` of them, or more, were wrong.
            if stats.binom.cdf(n_wrong, int(accepted.sum()), target) > part:
                break
            kept = threshold
        if kept is not None:
            reached.append(kept)
    return min(reached, default=None)


def _fewest(target: float, doubt: float) -> int:
    """Right answers in a row that show a share of wrong ones of at most `target`."""
    return math.ceil(math.log(doubt) / math.log1p(-target))


def threshold_on(
    threshold: float, target: float, y_true: np.ndarray, probabilities: np.ndarray
) -> Threshold:
    """What a threshold does on other examples.

    Args:
        y_true: int64, shape (n_examples,).
        probabilities: float32, shape (n_examples, n_classes).
    """
    accepted = probabilities.max(axis=1) >= threshold
    wrong = accepted & (probabilities.argmax(axis=1) != y_true)
    return Threshold(
        target, threshold, _share(accepted.sum(), len(y_true)), _share(wrong.sum(), accepted.sum())
    )


@dataclass(frozen=True, slots=True)
class Conformal:
    """Sets of classes that hold the truth in 9 of 10 cases, whatever the model.

    Attributes:
        nominal: share of sets that hold the truth.
        least: probability from which on a class is in the set; the likeliest always is.
        coverage: share of the evaluated side's sets that hold the truth, with its interval.
        mean_size: classes in a set, on average.
        single_share: share of sets of one class.
    """

    nominal: float
    least: float
    coverage: Interval
    mean_size: float
    single_share: float


def conformal_cutoff(
    y_true: np.ndarray, probabilities: np.ndarray, *, nominal: float = NOMINAL
) -> float | None:
    """The probability from which on a class belongs to a set.

    Args:
        y_true: int64, shape (n_examples,), of examples that had no say in the weights.
        probabilities: float32, shape (n_examples, n_classes).
        nominal: share of sets that hold the truth.

    Returns:
        The cutoff, or None with too few examples to promise it.

    Source: Sadinle et al., 2019, "Least ambiguous set-valued classifiers"; the finite-sample
    quantile is Vovk's.
    """
    n = len(y_true)
    number = math.ceil((n + 1) * nominal)
    if number > n:
        return None
    misses = np.sort(1.0 - probabilities[np.arange(n), y_true].astype(np.float64))
    return float(1.0 - misses[number - 1])


def conformal_on(
    cutoff: float, y_true: np.ndarray, probabilities: np.ndarray, *, nominal: float = NOMINAL
) -> Conformal:
    """What sets by a cutoff do on other examples."""
    sets = in_sets(cutoff, probabilities)
    sizes = sets.sum(axis=1)
    held = sets[np.arange(len(y_true)), y_true]
    return Conformal(
        nominal,
        cutoff,
        _share(held.sum(), len(held)),
        float(sizes.mean()),
        float((sizes == 1).mean()),
    )


def in_sets(cutoff: float, probabilities: np.ndarray) -> np.ndarray:
    """bool, shape (n_examples, n_classes): the classes of each set."""
    sets = probabilities >= np.float64(cutoff - 1e-12)  # compared as float64, without a copy
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


def _share(hits: int, trials: int) -> Interval:
    if not trials:
        return Interval(0.0, None, None)
    low, high = wilson_limits(int(hits), int(trials))
    return Interval(float(hits / trials), float(low), float(high))


def strictest(thresholds: Sequence[Threshold]) -> Threshold | None:
    """The threshold that promises most while it accepts a tenth at least."""
    useful = [one for one in thresholds if one.coverage.value >= 0.1]
    return min(useful, key=lambda one: one.target, default=None)
