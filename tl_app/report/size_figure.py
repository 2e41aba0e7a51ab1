"""Accuracy against the number of training examples."""

from __future__ import annotations

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from tl_app.evaluation.probes import SizeCurve
from tl_app.report import svg


def size_svg(curve: SizeCurve, *, name: str, nouns: str) -> Markup:
    """Points with their 95 % intervals; each step to the right is about twice as many."""
    sizes = [point.n_train for point in curve.points]
    values = [100 * point.accuracy.value for point in curve.points]
    with svg.style():
        figure = Figure(figsize=(6.4, 3.1))
        axes = figure.subplots()
        for point in curve.points:
            low, high = point.accuracy.low, point.accuracy.high
            if low is not None and high is not None:
                ends = [100 * low, 100 * high]
                axes.plot([point.n_train] * 2, ends, color=svg.GOOD, linewidth=5, alpha=0.25)
        axes.plot(sizes, values, color=svg.GOOD, marker="o", markersize=5, linewidth=1.6)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(NullLocator())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xlabel(f"{nouns} that the head was trained on")
        axes.set_ylabel("accuracy, %")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.tick_params(length=3)
        return svg.inline_svg(
            figure,
            name=name,
            title="Accuracy by number of training examples",
            description="; ".join(
                f"{size:,}: {value:.1f} %" for size, value in zip(sizes, values, strict=True)
            ),
        )
