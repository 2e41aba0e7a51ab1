"""How often the intervals hold the true value: 95 % is what they promise.

Accuracy is computed exactly from the binomial distribution. The others are simulated: draws
from a known population, whose true value is known. Run with `-s` to see the table.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from tl_app.evaluation import intervals, metrics
from tl_app.records import Interval


def holds(interval: Interval, truth: float) -> bool:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low <= truth <= interval.high


def accuracy_coverage(n_examples: int, accuracy: float) -> float:
    hits = np.arange(n_examples + 1)
    low, high = intervals.wilson_limits(hits, n_examples)
    covered = (low <= accuracy) & (accuracy <= high)
    return float(stats.binom.pmf(hits, n_examples, accuracy)[covered].sum())


def test_accuracy_interval_covers_at_a_thousand_examples():
    coverages = [accuracy_coverage(1000, p) for p in np.linspace(0.70, 0.95, 51)]
    assert min(coverages) >= 0.93
    assert max(coverages) <= 0.97


@pytest.mark.parametrize("accuracy", [0.9, 0.95, 0.98, 0.99])
def test_accuracy_interval_covers_on_a_small_test_part(accuracy):
    assert accuracy_coverage(140, accuracy) >= 0.93


def population(n_classes: int, accuracy: float, skewed: bool, rng) -> np.ndarray:
    """Probabilities of the cells of a confusion matrix, with uneven classes and mistakes."""
    shares = 1 / np.arange(1, n_classes + 1) ** (0.8 if skewed else 0.0)
    mistakes = rng.dirichlet(np.full(n_classes, 0.5), n_classes)
    np.fill_diagonal(mistakes, 1e-9)
    mistakes /= mistakes.sum(axis=1, keepdims=True)
    recalls = np.clip(accuracy + 0.4 * (1 - accuracy) * rng.normal(size=n_classes), 0.05, 0.997)
    cells = mistakes * (1 - recalls)[:, np.newaxis]
    cells[np.arange(n_classes), np.arange(n_classes)] = recalls
    cells *= shares[:, np.newaxis]
    return cells / cells.sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_classes", "n_examples", "accuracy", "skewed"),
    [
        (2, 30, 0.95, False),
        (2, 140, 0.98, False),
        (2, 1000, 0.90, True),
        (5, 140, 0.95, True),
        (5, 140, 0.98, False),
        (5, 1000, 0.95, True),
        (10, 200, 0.97, False),
        (10, 1000, 0.70, True),
        (40, 1000, 0.85, True),
        (100, 2000, 0.80, False),
    ],
)
def test_f1_intervals_cover(n_classes, n_examples, accuracy, skewed):
    rng = np.random.default_rng(n_classes * n_examples)
    cells = population(n_classes, accuracy, skewed, rng)
    true_macro, true_f1 = metrics.macro_f1_score(cells), metrics.f1_scores(cells)
    macro_held, class_held = [], []
    for _ in range(800):
        confusion = rng.multinomial(n_examples, cells.ravel()).reshape(cells.shape)
        macro = intervals.macro_f1_interval(confusion)
        macro_held.append(holds(macro, true_macro))
        class_held += [
            holds(row, truth)
            for row, truth in zip(intervals.f1_intervals(confusion), true_f1, strict=True)
            if row.low is not None
        ]
    print(
        f"\n{n_classes:4d} classes, n={n_examples:5d}, accuracy about {accuracy:.2f}: "
        f"macro-F1 {np.mean(macro_held):.3f}, F1 {np.mean(class_held):.3f}"
    )
    assert 0.92 <= np.mean(macro_held) <= 0.99
    assert 0.92 <= np.mean(class_held) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [1.0, 2.5], ids=["calibrated", "overconfident"])
@pytest.mark.parametrize("n_examples", [60, 140, 1000])
@pytest.mark.parametrize("spread", [3.0, 8.0], ids=["hard", "easy"])
def test_log_loss_interval_covers(spread, n_examples, confidence):
    rng = np.random.default_rng(n_examples)
    n_classes, size = 10, 200_000
    logits = spread * rng.normal(size=(size, n_classes))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    y_true = (shares.cumsum(axis=1) > rng.random((size, 1))).argmax(axis=1)
    given = confidence * (logits - logits.max(axis=1, keepdims=True))
    given = np.exp(given) / np.exp(given).sum(axis=1, keepdims=True)
    losses = metrics.example_log_losses(y_true, given.astype(np.float32))
    held = []
    for _ in range(1500):
        interval = intervals.mean_loss_interval(
            rng.choice(losses, n_examples), unseen_loss=np.log(n_classes)
        )
        held.append(holds(interval, losses.mean()))
    print(f"\nlog-loss, n={n_examples}: mean {losses.mean():.3f}, covered {np.mean(held):.3f}")
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.parametrize(
    ("n_examples", "error"),
    [(30, 0.1), (60, 0.02), (140, 0.02), (200, 0.5), (400, 0.1), (1000, 0.01), (2000, 0.3)],
)
def test_the_smallest_difference_is_shown_four_times_out_of_five(n_examples, error):
    """By McNemar's exact test, of models whose mistakes are independent."""
    n_right = round(n_examples * (1 - error))
    difference = intervals.smallest_difference(n_right, n_examples)
    error = (n_examples - n_right + 1) / (n_examples + 2)
    rng = np.random.default_rng(0)
    n_shown, n_rounds = 0, 1000
    p_value = cache(lambda k, n: stats.binomtest(k, n).pvalue)
    for _ in range(n_rounds):
        a = rng.random(n_examples) < error
        b = rng.random(n_examples) < error + difference
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        if only_a + only_b:
            n_shown += p_value(only_a, only_a + only_b) < 0.05
    assert n_shown / n_rounds == pytest.approx(0.8, abs=0.05)


def test_a_handful_of_examples_shows_nothing():
    assert intervals.smallest_difference(3, 4) == 1.0
    assert intervals.smallest_difference(0, 100) == 1.0
    assert intervals.smallest_difference(990, 1000) < intervals.smallest_difference(99, 100)
