"""From predictions to an `Evaluation`: every figure with its 95 % interval and its baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS, Wording
from tl_app.errors import DataError, TlAppError
from tl_app.evaluation import intervals, metrics
from tl_app.evaluation.figures import loss_text
from tl_app.evaluation.notes import reading_notes
from tl_app.records import ClassMetrics, Evaluation, Interval, Modality, Predictions, Side


@dataclass(frozen=True)
class Outcome:
    """What a metric may look at.

    Attributes:
        y_true: int64, shape (n_examples,).
        probabilities: float, shape (n_examples, n_classes).
        confusion: int64, shape (n_classes, n_classes).
    """

    y_true: np.ndarray
    probabilities: np.ndarray
    confusion: np.ndarray


@dataclass(frozen=True)
class Metric:
    """One headline row.

    Attributes:
        name: key of `Evaluation.headline`.
        title: for people.
        style: "percent" (better high) or "loss" (better low).
        value: the plain figure; also used for the baseline.
        interval: the figure with its limits.
        meaning: one sentence that says what the figure is.
    """

    name: str
    title: str
    style: Literal["percent", "loss"]
    value: Callable[[Outcome], float]
    interval: Callable[[Outcome], Interval]
    meaning: str


HEADLINE: tuple[Metric, ...] = (
    Metric(
        "accuracy",
        "Accuracy",
        "percent",
        lambda outcome: metrics.accuracy_score(outcome.confusion),
        lambda outcome: _accuracy_interval(outcome.confusion),
        "The share of answers whose most probable class is the right one.",
    ),
    Metric(
        "macro_f1",
        "Macro-F1",
        "percent",
        lambda outcome: metrics.macro_f1_score(outcome.confusion),
        lambda outcome: intervals.macro_f1_interval(outcome.confusion),
        "The mean of the classes' F1 scores: rare classes count as much as common ones.",
    ),
    Metric(
        "log_loss",
        "Log-loss",
        "loss",
        lambda outcome: metrics.log_loss(outcome.y_true, outcome.probabilities),
        lambda outcome: intervals.mean_loss_interval(
            metrics.example_log_losses(outcome.y_true, outcome.probabilities),
            unseen_loss=float(np.log(outcome.probabilities.shape[1])),
        ),
        "How surprised the model is by the truth, in nats; confident mistakes cost most. "
        "Lower is better.",
    ),
)


@dataclass(frozen=True)
class SummaryRow:
    """One headline row as text: for the terminal and for the top of the report."""

    title: str
    value: str
    interval: str
    baseline: str
    meaning: str


def evaluate(
    predictions: Predictions,
    *,
    class_shares: np.ndarray,
    side: Side | None = "test",
    modality: Modality = "image",
) -> Evaluation:
    """Figures of `predictions`, with intervals, beside those of a model that looks at nothing.

    Args:
        predictions: rows with an unknown label (-1) are left out and noted.
        class_shares: float64, shape (n_classes,): shares of the classes on the training side;
            the baseline always answers the most common class and gives these probabilities.
        side: which side of the run the predictions are of; None where they are of none.
        modality: what was predicted, for the words of the notes.

    Raises:
        DataError: no row has a label.
        TlAppError: probabilities are not finite, or a row does not sum to 1.
        ValueError: shapes disagree.
    """
    labelled = predictions.y_true >= 0
    n_classes = len(predictions.class_names)
    wording = WORDINGS[modality]
    _check(predictions, class_shares, wording, n_labelled=int(labelled.sum()))
    known = predictions
    if not labelled.all():
        known = replace(
            predictions,
            paths=tuple(p for p, keep in zip(predictions.paths, labelled, strict=True) if keep),
            y_true=predictions.y_true[labelled],
            probabilities=predictions.probabilities[labelled],
        )
    confusion = metrics.confusion_matrix(known.y_true, known.y_pred, n_classes)
    outcome = Outcome(known.y_true, known.probabilities, confusion)
    guess = _baseline(known.y_true, class_shares)
    headline = {metric.name: metric.interval(outcome) for metric in HEADLINE}
    baseline = {metric.name: metric.value(guess) for metric in HEADLINE}
    return Evaluation(
        headline=headline,
        baseline=baseline,
        per_class=_per_class(confusion, predictions.class_names),
        confusion_counts=tuple(tuple(row) for row in confusion.tolist()),
        n_examples=len(known.y_true),
        side=side,
        notes=reading_notes(
            confusion,
            predictions.class_names,
            side=side,
            accuracy=headline["accuracy"],
            baseline_accuracy=baseline["accuracy"],
            n_unlabelled=int((~labelled).sum()),
            wording=wording,
        ),
        modality=modality,
    )


def text_summary(evaluation: Evaluation) -> list[SummaryRow]:
    """The headline rows, formatted: "94.3 %", "89.1 to 97.1 %", "21.4 %"."""
    rows = []
    for metric in HEADLINE:
        figure = evaluation.headline[metric.name]
        rows.append(
            SummaryRow(
                title=metric.title,
                value=format_figure(figure.value, metric.style),
                interval=format_interval(figure, metric.style),
                baseline=format_figure(evaluation.baseline[metric.name], metric.style),
                meaning=metric.meaning,
            )
        )
    return rows


def format_figure(value: float, style: str, *, unit: bool = True) -> str:
    """A share as "94.3 %", a loss as "0.183"; only a perfect share reads "100.0 %"."""
    if style != "percent":
        return loss_text(value)
    text = f"{100 * value:.1f}"
    if text == "100.0" and value < 1.0:
        text = f"{min(100 * value, 99.999):.3f}"
    return text + (" %" if unit else "")


def format_interval(figure: Interval, style: str) -> str:
    """ "89.1 to 97.1 %", or "unknown" where no interval can be given."""
    if figure.low is None or figure.high is None:
        return "unknown"
    return f"{format_figure(figure.low, style, unit=False)} to {format_figure(figure.high, style)}"


def _accuracy_interval(confusion: np.ndarray) -> Interval:
    hits, examples, _ = metrics.class_counts(confusion)
    low, high = intervals.wilson_limits(hits.sum(), examples.sum())
    return Interval(metrics.accuracy_score(confusion), float(low), float(high))


def _per_class(confusion: np.ndarray, class_names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    hits, examples, guesses = metrics.class_counts(confusion)
    rows = zip(
        class_names,
        examples,
        intervals.proportion_intervals(hits, guesses),
        intervals.proportion_intervals(hits, examples),
        intervals.f1_intervals(confusion),
        strict=True,
    )
    return tuple(
        ClassMetrics(name, int(support), precision, recall, f1_score)
        for name, support, precision, recall, f1_score in rows
    )


def _baseline(y_true: np.ndarray, class_shares: np.ndarray) -> Outcome:
    shares = np.asarray(class_shares, dtype=np.float64)
    guesses = np.full(len(y_true), int(shares.argmax()), dtype=np.int64)
    return Outcome(
        y_true,
        np.broadcast_to(shares, (len(y_true), len(shares))),
        metrics.confusion_matrix(y_true, guesses, len(shares)),
    )


def _check(
    predictions: Predictions, class_shares: np.ndarray, wording: Wording, *, n_labelled: int
) -> None:
    shape = (len(predictions.paths), len(predictions.class_names))
    if predictions.probabilities.shape != shape or predictions.y_true.shape != shape[:1]:
        raise ValueError(
            f"{shape[0]} paths and {shape[1]} class names need probabilities of shape {shape}; "
            f"received {predictions.probabilities.shape} and labels {predictions.y_true.shape}"
        )
    if np.shape(class_shares) != shape[1:]:
        raise ValueError(f"class_shares: expected {shape[1:]}, received {np.shape(class_shares)}")
    if not n_labelled:
        raise DataError(
            f"There is no labelled {wording.noun} to evaluate.",
            received=f"{counted(shape[0], wording.noun)} without a label",
            allowed=f"{wording.nouns} labelled with the model's classes",
            next_step="tl-app predict   (needs no labels)",
        )
    sums = predictions.probabilities.sum(axis=1, dtype=np.float64)
    # A sum of NaN or infinite terms is no number near 1 either.
    wrong = ~(np.abs(sums - 1) < 1e-3)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TlAppError(
            "The model's probabilities are not probabilities: training went astray, or the "
            "model's last layer is no softmax.",
            received=f"{predictions.paths[row]}: a row that sums to {sums[row]}",
            allowed="finite numbers that sum to 1 in each row",
            next_step="train again with a lower learning rate",
        )
