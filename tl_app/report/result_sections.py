"""Sections on how good the model is: verdict, headline, classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tl_app.evaluation.intervals import smallest_difference
from tl_app.evaluation.scoring import HEADLINE, Metric, text_summary
from tl_app.records import ClassMetrics, Evaluation, Interval
from tl_app.report.confusion_section import BOTH_NUMBERS, MOST_CLASSES
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render
from tl_app.report.verdict import verdict

MOST_ROWS = 40
"""Longer tables of classes fold their rest."""


@dataclass(frozen=True, slots=True)
class Range:
    """A figure on a bar from `start` to `stop`; positions are percentages of its length."""

    value: float
    low: float | None
    width: float | None
    baseline: float
    start: str
    stop: str


VERDICT_WORDS = {
    "pass": ("Pass", "Nothing in the figures or the data speaks against using it."),
    "warn": ("Warning", "Usable with care: look at these first."),
    "fail": ("Fail", "Not to be used as it is."),
}


def verdict_strip(contents: ReportContents) -> Fragment:
    """Can it be used, and what to do first."""
    found = verdict(contents)
    word, sentence = VERDICT_WORDS[found.status]
    body = render("verdict.html", found=found, word=word, sentence=sentence)
    return Fragment("verdict", "Verdict", body)


def headline(contents: ReportContents) -> Fragment:
    """The three figures with interval and baseline, and how far to trust them."""
    evaluation = contents.evaluation
    body = render(
        "headline.html",
        evaluation=evaluation,
        cards=[
            {"row": row, "range": _range(metric, evaluation)}
            for metric, row in zip(HEADLINE, text_summary(evaluation), strict=True)
        ],
        wording=contents.wording,
        verdict=contents.verdict,
        is_test=evaluation.side == "test",
        tells_apart=_tells_apart(evaluation),
    )
    return Fragment("result", "Result", body)


def _tells_apart(evaluation: Evaluation) -> float:
    counts = np.array(evaluation.confusion_counts, dtype=np.int64)
    return smallest_difference(int(np.trace(counts)), int(counts.sum()))


def _range(metric: Metric, evaluation: Evaluation) -> Range:
    figure, baseline = evaluation.headline[metric.name], evaluation.baseline[metric.name]
    # The bar of a loss ends a little beyond the worst of what it shows.
    stop = 1.0 if metric.style == "percent" else 1.1 * max(baseline, figure.high or figure.value)
    stop = max(stop, 1e-9)
    width = None
    if figure.low is not None and figure.high is not None:
        width = max(100 * (figure.high - figure.low) / stop, 0.8)
    return Range(
        value=100 * figure.value / stop,
        low=None if figure.low is None else min(100 * figure.low / stop, 100 - (width or 0.0)),
        width=width,
        baseline=100 * baseline / stop,
        start="0 %" if metric.style == "percent" else "0, the best",
        # Where the bar of a loss ends depends on what it shows: the number would say nothing.
        stop="100 %" if metric.style == "percent" else "worse",
    )


def per_class(contents: ReportContents) -> Fragment:
    """Precision, recall, F1 and support; many classes are sorted, worst first."""
    numbered = list(enumerate(contents.evaluation.per_class, start=1))
    is_sorted = len(numbered) > BOTH_NUMBERS
    if is_sorted:
        numbered.sort(key=lambda item: (item[1].support == 0, item[1].f1_score.value, item[0]))
    body = render(
        "per_class.html",
        rows=[_class_row(number, row) for number, row in numbered],
        n_open=MOST_ROWS if len(numbered) > MOST_ROWS + 10 else len(numbered),
        is_sorted=is_sorted,
        has_numbers=len(numbered) > MOST_CLASSES,
        side=contents.evaluation.side,
        wording=contents.wording,
    )
    return Fragment("classes", "Classes", body)


def _class_row(number: int, row: ClassMetrics) -> dict[str, object]:
    figures = [
        {"value": None if _undefined(figure) else figure.value, "interval": figure}
        for figure in (row.precision, row.recall, row.f1_score)
    ]
    return {"number": number, "name": row.name, "support": row.support, "figures": figures}


def _undefined(figure: Interval) -> bool:
    """No guess or no example: scikit-learn's 0 is a convention, not a measurement."""
    return figure.low is None
