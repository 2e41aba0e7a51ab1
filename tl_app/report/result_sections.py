"""Sections on how good the model is: headline, classes, confusions, worst errors."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_app.data.scripts import script_of
from tl_app.evaluation.scoring import HEADLINE, Metric, text_summary
from tl_app.evaluation.slices import slices_by_name, slices_by_size
from tl_app.explain.occlusion import TellingWord
from tl_app.records import ClassMetrics, Evaluation, Interval, Predictions
from tl_app.report.confusion_figure import matrix_svg, overview_svg, row_shares
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.error_tags import counts, error_tags
from tl_app.report.page import render
from tl_app.report.verdict import verdict

MOST_CELLS = 30
"""Up to so many classes the whole matrix is drawn; above, its worst pairs are listed."""

BOTH_NUMBERS = 12
"""Up to so many classes a cell has room for its count and its share."""

MOST_ROWS = 40
"""Longer tables of classes fold their rest."""

N_WORST_PAIRS = 20
N_WORST_ERRORS = 24
MOST_TEXT = 1200
"""Characters of a text that the gallery shows."""

MOST_THUMBNAIL_BYTES = 40_000
MOST_GALLERY_BYTES = 500_000


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
    )
    return Fragment("result", "Result", body)


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
        has_numbers=len(numbered) > MOST_CELLS,
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


def confusion(contents: ReportContents) -> Fragment:
    """Which classes are taken for which."""
    evaluation = contents.evaluation
    counts = np.array(evaluation.confusion_counts, dtype=np.int64)
    names = evaluation.class_names
    figures = []
    if len(names) <= BOTH_NUMBERS:
        figures.append(
            matrix_svg(
                counts,
                names,
                name="confusion",
                show="both",
                title="Confusion matrix: counts and shares of the true class",
            )
        )
    elif len(names) <= MOST_CELLS:
        for show, title in (
            ("counts", f"Confusion matrix: number of {contents.wording.nouns}"),
            ("shares", "Confusion matrix: percent of the true class"),
        ):
            figures.append(
                matrix_svg(counts, names, name=f"confusion-{show}", show=show, title=title)
            )
    else:
        figures.append(overview_svg(counts, name="confusion", title="All confusions at a glance"))
    body = render(
        "confusion.html",
        figures=figures,
        kind="both"
        if len(names) <= BOTH_NUMBERS
        else "pair"
        if len(names) <= MOST_CELLS
        else "overview",
        pairs=_worst_pairs(counts, names),
        n_mistakes=int(counts.sum() - np.trace(counts)),
        n_examples=int(counts.sum()),
        wording=contents.wording,
    )
    return Fragment("confusions", "Confusions", body)


def _worst_pairs(counts: np.ndarray, names: tuple[str, ...]) -> list[dict[str, object]]:
    """The most frequent confusions: number first, then share of the true class."""
    shares = row_shares(counts)
    rows, columns = np.nonzero(counts * ~np.eye(len(counts), dtype=bool))
    order = np.lexsort((-shares[rows, columns], -counts[rows, columns]))[:N_WORST_PAIRS]
    return [
        {
            "true": names[row],
            "predicted": names[column],
            "count": int(counts[row, column]),
            "share": float(shares[row, column]),
        }
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    ]


def worst_errors(contents: ReportContents) -> Fragment | None:
    """The mistakes that the model was surest of, to be looked at; None without a mistake."""
    predictions = contents.predictions
    y_pred = predictions.y_pred
    n_mistakes = int(((predictions.y_true >= 0) & (predictions.y_true != y_pred)).sum())
    if not n_mistakes:
        return None
    order = worst_rows(predictions)
    names, room, items = predictions.class_names, MOST_GALLERY_BYTES, []
    texts = _texts(contents)
    tags = error_tags(contents.audit, (predictions.paths[row] for row in order.tolist()))
    for row in order.tolist():
        path = predictions.paths[row]
        picture = None if texts else _data_uri(contents.thumbnail(path), room)
        room -= len(picture or "")
        items.append(
            {
                "path": path,
                "picture": picture,
                "pieces": _pieces(texts.get(path, ""), contents.telling.get(path, ())),
                "true": names[predictions.y_true[row]],
                "predicted": names[y_pred[row]],
                "predicted_probability": float(predictions.probabilities[row, y_pred[row]]),
                "tag": tags.get(path, ""),
                "true_probability": float(predictions.probabilities[row, predictions.y_true[row]]),
            }
        )
    body = render(
        "worst_errors.html",
        items=items,
        n_mistakes=n_mistakes,
        wording=contents.wording,
        has_pictures=contents.has_pictures,
        tag_counts=counts(tags.values()),
        has_marks=any(contents.telling.get(item["path"]) for item in items),
    )
    return Fragment("errors", "Worst errors", body)


def worst_rows(predictions: Predictions) -> np.ndarray:
    """int64, rows of the mistakes that the model was surest of, as the report shows them."""
    y_pred = predictions.y_pred
    wrong = np.flatnonzero((predictions.y_true >= 0) & (predictions.y_true != y_pred))
    confidence = predictions.probabilities[wrong, y_pred[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")][:N_WORST_ERRORS]


def _texts(contents: ReportContents) -> dict[str, str]:
    """Path -> text; empty where the examples are pictures."""
    if contents.dataset.modality != "text":
        return {}
    return {example.path: example.text for example in contents.dataset.examples}


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: `strength` 0 is plain, 1 to 3 a mark."""

    text: str
    strength: int = 0
    title: str = ""


def _pieces(text: str, telling: Sequence[TellingWord]) -> list[Piece]:
    """A text, shortened, with its telling words marked; the strongest sets the scale."""
    strongest = max((word.effect for word in telling), default=1.0)
    pieces: list[Piece] = []
    done = 0
    for word in sorted(telling, key=lambda word: word.start):
        if word.stop > MOST_TEXT:
            break
        strength = min(3, 1 + int(3 * word.effect / strongest))
        title = f"without it {100 * word.effect:.0f} points less sure"
        pieces.append(Piece(text[done : word.start]))
        pieces.append(Piece(text[word.start : word.stop], strength, title))
        done = word.stop
    rest = text[done:MOST_TEXT]
    return [*pieces, Piece(rest + ("…" if len(text) > MOST_TEXT else ""))]


def slices(contents: ReportContents) -> Fragment | None:
    """Accuracy of short and long texts, and of each script; None for pictures."""
    texts = _texts(contents)
    if not texts:
        return None
    predictions = contents.predictions
    known = predictions.y_true >= 0
    is_right = (predictions.y_true == predictions.y_pred)[known]
    mine = [texts[path] for path, keep in zip(predictions.paths, known, strict=True) if keep]
    sizes = np.array([len(text) for text in mine], dtype=np.int64)
    tables = [
        ("By length", slices_by_size(sizes, is_right, "characters")),
        ("By script", slices_by_name([script_of(text) for text in mine], is_right)),
    ]
    tables = [(title, rows) for title, rows in tables if len(rows) > 1]
    if not tables:
        return None
    body = render("slices.html", tables=tables, side=contents.evaluation.side)
    return Fragment("slices", "Slices", body)


def _data_uri(picture: bytes | None, room: int) -> str | None:
    """A `data:` address of a small JPEG or PNG; None for anything else, or without room left."""
    if picture is None or len(picture) > MOST_THUMBNAIL_BYTES:
        return None
    if picture.startswith(b"\xff\xd8\xff"):
        kind = "jpeg"
    elif picture.startswith(b"\x89PNG\r\n\x1a\n"):
        kind = "png"
    else:
        return None
    address = f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
    return address if len(address) <= room else None
