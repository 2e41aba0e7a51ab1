"""Sections on what kept features tell by themselves: cross-validation, plainer models, size."""

from __future__ import annotations

from typing import Any

from tl_app.evaluation.probes import Probes
from tl_app.evaluation.scoring import HEADLINE, format_figure, format_interval
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render
from tl_app.report.size_figure import size_svg

RIVALS = {
    "head_only": "Linear head on the frozen backbone",
    "nearest_neighbours": "Ten nearest neighbours by its features",
}


def cross_validation(contents: ReportContents) -> Fragment | None:
    """Every example told by a head that has not seen it; None where it was not run."""
    probes = contents.probes
    if probes is None or probes.cross_validation is None:
        return None
    found = probes.cross_validation
    rows = [
        {
            "title": metric.title,
            "value": format_figure(found.evaluation.headline[metric.name].value, metric.style),
            "interval": format_interval(found.evaluation.headline[metric.name], metric.style),
            "spread": _spread(found.spread(metric.name), metric.style),
            "lowest": format_figure(min(f[metric.name] for f in found.folds), metric.style),
            "highest": format_figure(max(f[metric.name] for f in found.folds), metric.style),
            "baseline": format_figure(found.evaluation.baseline[metric.name], metric.style),
        }
        for metric in HEADLINE
    ]
    body = render(
        "cross_validation.html",
        rows=rows,
        found=found,
        n_folds=len(found.folds),
        leads=probes.leads,
        n_tested=contents.evaluation.n_examples,
        side=contents.evaluation.side,
        n_groups=len(set(contents.split.groups)),
        wording=contents.wording,
    )
    return Fragment("cross-validation", "Cross-validation", body)


def _spread(value: float, style: str) -> str:
    return f"{100 * value:.1f} points" if style == "percent" else f"{value:.3f}"


def rivals(contents: ReportContents) -> Fragment | None:
    """The model beside plainer ones on the same examples; None where they were not asked."""
    probes = contents.probes
    if probes is None or not probes.rivals:
        return None
    evaluation = contents.evaluation
    rows = [_rival("This model", evaluation.headline)]
    rows += [_rival(title, probes.rivals[key]) for key, title in RIVALS.items()]
    rows.append(
        {
            "title": "Always the most common class",
            "figures": [
                {"value": format_figure(evaluation.baseline[m.name], m.style), "interval": ""}
                for m in HEADLINE
            ],
        }
    )
    body = render(
        "rivals.html",
        rows=rows,
        titles=[metric.title for metric in HEADLINE],
        n_examples=evaluation.n_examples,
        side=evaluation.side,
        wording=contents.wording,
    )
    return Fragment("rivals", "Beside plainer models", body)


def _rival(title: str, headline: Any) -> dict[str, Any]:
    return {
        "title": title,
        "figures": [
            {
                "value": format_figure(headline[metric.name].value, metric.style),
                "interval": format_interval(headline[metric.name], metric.style),
            }
            for metric in HEADLINE
        ],
    }


def by_size(contents: ReportContents) -> Fragment | None:
    """Whether more examples would help; None where it was not looked at."""
    probes = contents.probes
    if probes is None or probes.by_size is None:
        return None
    curve = probes.by_size
    body = render(
        "by_size.html",
        figure=size_svg(curve, name="by-size", nouns=contents.wording.nouns),
        curve=curve,
        sentence=size_sentence(probes, contents.wording.nouns),
        is_cross_validated=probes.cross_validation is not None,
        side=contents.evaluation.side,
        wording=contents.wording,
    )
    return Fragment("size", f"Would more {contents.wording.nouns} help?", body)


def size_sentence(probes: Probes, nouns: str) -> str:
    """The verdict of the curve in one sentence; empty without a curve."""
    curve = probes.by_size
    if curve is None:
        return ""
    fewer, every = curve.points[-2:]
    gain = 100 * curve.gain.value
    doubt = ""
    if curve.gain.low is not None and curve.gain.high is not None:
        doubt = (
            f" (95 % interval {100 * curve.gain.low:+.1f} to {100 * curve.gain.high:+.1f} points)"
        )
    told = (
        f"From {fewer.n_train:,} to {every.n_train:,} {nouns} the accuracy changed by "
        f"{gain:+.1f} points{doubt}"
    )
    return {
        "more": f"{told}: more {nouns} would likely help.",
        "hardly": f"{told}: more of the same {nouns} would hardly help; better labels, other "
        f"kinds of {nouns} or a larger backbone may.",
        "unclear": f"{told}: whether more {nouns} would help cannot be told.",
    }[curve.verdict]
