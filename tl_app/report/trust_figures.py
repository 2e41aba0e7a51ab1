"""Reliability of probabilities, and wrong answers by how many are accepted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from tl_app.evaluation.automation import RiskCoverage, Threshold
from tl_app.evaluation.calibration import Bin
from tl_app.report import svg

MOST_POINTS = 400


def reliability_svg(bins: Sequence[Bin], *, name: str) -> Markup:
    """Each bin's share of right answers, with its interval, against its confidence."""
    with svg.style():
        figure = Figure(figsize=(4.4, 4.0))
        axes = figure.subplots()
        lowest = min(
            min(one.confidence for one in bins),
            min(one.accuracy.low for one in bins if one.accuracy.low is not None),
        )
        start = 100 * max(0.0, lowest - 0.03)
        axes.plot([start, 100], [start, 100], color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for one in bins:
            low, high = one.accuracy.low, one.accuracy.high
            if low is not None and high is not None:
                place = [100 * one.confidence] * 2
                ends = [100 * low, 100 * high]
                axes.plot(place, ends, color=svg.GOOD, linewidth=4, alpha=0.25)
        axes.plot(
            [100 * one.confidence for one in bins],
            [100 * one.accuracy.value for one in bins],
            color=svg.GOOD,
            marker="o",
            markersize=5,
            linestyle="none",
        )
        axes.set_xlim(start, 101)
        axes.set_ylim(start, 101)
        axes.set_aspect("equal")
        axes.set_xlabel("probability of the answer, %")
        axes.set_ylabel("answers that are right, %")
        axes.grid()
        axes.set_axisbelow(True)
        axes.tick_params(length=3)
        return svg.inline_svg(
            figure,
            name=name,
            title="Reliability of the probabilities",
            description="; ".join(
                f"{100 * one.confidence:.0f} % sure: {100 * one.accuracy.value:.0f} % right"
                for one in bins
            ),
        )


def risk_svg(
    curve: RiskCoverage, thresholds: Sequence[Threshold], *, name: str, nouns: str
) -> Markup:
    """Wrong answers among the surest, by the share that is accepted; thresholds marked."""
    places = np.unique(np.linspace(0, len(curve.risk) - 1, MOST_POINTS).round().astype(int))
    with svg.style():
        figure = Figure(figsize=(6.4, 3.0))
        axes = figure.subplots()
        axes.plot(
            100 * curve.coverage[places], 100 * curve.risk[places], color=svg.GOOD, linewidth=1.6
        )
        for one in thresholds:
            axes.plot(
                [100 * one.coverage.value],
                [100 * one.risk.value],
                marker="o",
                markersize=7,
                fillstyle="none",
                markeredgewidth=1.6,
                color=svg.BAD,
                linestyle="none",
            )
        axes.set_xlim(0, 101)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"{nouns} that are accepted, the surest first, %")
        axes.set_ylabel("wrong among them, %")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.tick_params(length=3)
        return svg.inline_svg(
            figure,
            name=name,
            title="Wrong answers by the share that is accepted",
            description=f"All accepted: {100 * curve.risk[-1]:.1f} % wrong.",
        )
