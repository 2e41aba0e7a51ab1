"""The model in small formats, beside the run's own."""

from __future__ import annotations

from tl_app.evaluation.formats import SmallFormat
from tl_app.records import Interval
from tl_app.report import text
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render

NAMES = {"litert": "LiteRT", "onnx": "ONNX"}


def small_formats(contents: ReportContents) -> Fragment | None:
    """Accuracy, size and speed of each that was exported."""
    if not contents.small_formats:
        return None
    evaluation = contents.evaluation
    body = render(
        "small_formats.html",
        rows=[_row(each) for each in contents.small_formats],
        own_accuracy=text.percent(evaluation.headline["accuracy"].value),
        n_examples=contents.small_formats[0].n_examples,
        side=evaluation.side,
        wording=contents.wording,
    )
    return Fragment("small-formats", "Small formats", body)


def _row(found: SmallFormat) -> dict[str, object]:
    return {
        "title": f"{NAMES[found.format]}, {found.precision}",
        "accuracy": text.percent(found.accuracy),
        "difference": f"{100 * found.difference.value:+.1f}",
        "interval": _limits(found.difference),
        "n_changed": found.n_changed,
        "largest": f"{found.largest_difference:.1e}",
        "size": text.byte_size(found.n_bytes),
        "latency": [
            text.milliseconds(found.latency_ms[batch]["p50"])
            if batch in found.latency_ms
            else text.DASH
            for batch in ("1", "32")
        ],
    }


def _limits(difference: Interval) -> str:
    if difference.low is None or difference.high is None:
        return ""
    return f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
