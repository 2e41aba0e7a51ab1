"""Learning curves of all phases, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tl_app.evaluation.learning import best_record
from tl_app.records import EpochRecord
from tl_app.report import svg
from tl_app.report.text import shorten

MOST_TICKS = 14
CHARACTERS = 76
"""So many fit above the curves."""


def learning_svg(history: Sequence[EpochRecord], *, name: str) -> Markup:
    """Log-loss above, accuracy below; phases shaded in turn, the kept epoch ringed.

    A phase starts anew on the horizontal axis: training losses of two phases are different
    quantities (smoothing, weights, mixing), so lines do not run across the boundary.
    """
    best = best_record(history)
    places = list(range(len(history)))
    phases = _phase_spans(history)
    with svg.style():
        figure = Figure(figsize=(8.6, 4.9))
        upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.14})
        for axes, validation, training in (
            (upper, "validation_log_loss", "train_loss"),
            (lower, "validation_accuracy", "train_accuracy"),
        ):
            for number, (_, start, stop) in enumerate(phases):
                if number % 2 == 0:
                    axes.axvspan(start - 0.5, stop - 0.5, facecolor=svg.BAND, linewidth=0)
                label = number == 0
                _line(axes, places, history, training, start, stop, label=label, is_training=True)
                _line(axes, places, history, validation, start, stop, label=label)
            if best is not None:
                place = next(i for i, record in enumerate(history) if record is best)
                axes.axvline(place, color=svg.MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
                axes.plot(
                    [place],
                    [getattr(best, validation)],
                    "o",
                    markersize=10,
                    fillstyle="none",
                    markeredgecolor=svg.GOOD,
                    markeredgewidth=1.6,
                    linestyle="none",
                    label="kept weights",
                )
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            axes.tick_params(length=3)
        _frame(upper, lower, history, phases)
        return svg.inline_svg(
            figure,
            name=name,
            title="Learning curves",
            description="Log-loss and accuracy on training and validation examples by epoch, "
            "for each phase.",
        )


def _line(axes, places, history, attribute, start, stop, *, label, is_training=False) -> None:
    points = [
        (place, value)
        for place, record in zip(places[start:stop], history[start:stop], strict=True)
        if (value := getattr(record, attribute)) is not None and math.isfinite(value)
    ]
    if not points:
        return
    look = {"color": svg.BAD, "linestyle": (0, (4, 2))} if is_training else {"color": svg.GOOD}
    name = "training" if is_training else "validation"
    axes.plot(
        *zip(*points, strict=True),
        marker="o",
        markersize=3.6,
        linewidth=1.6,
        label=name if label else None,
        **look,
    )


def _frame(upper, lower, history, phases) -> None:
    upper.set_ylabel("log-loss")
    values = [
        value
        for record in history
        for value in (record.validation_log_loss, record.train_loss)
        if value is not None and math.isfinite(value) and value > 0
    ]
    if values and max(values) > 20 * min(values):
        upper.set_yscale("log")
        upper.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        upper.yaxis.set_minor_formatter(NullFormatter())
    else:
        upper.set_ylim(bottom=0)
    lower.set_ylabel("accuracy")
    low, high = lower.get_ylim()
    lower.set_ylim(max(low, -0.02), min(high, 1.02))
    # The room above 100 % is for the ring around a perfect epoch, not for a tick.
    shares = [tick for tick in lower.get_yticks() if -1e-9 <= tick <= 1 + 1e-9]
    step = min((b - a for a, b in pairwise(shares)), default=1.0)
    decimals = 0 if step > 0.0099 else 1 if step > 0.00099 else 2
    limits = lower.get_ylim()
    lower.set_yticks(shares, [f"{100 * tick:.{decimals}f} %" for tick in shares])
    lower.set_ylim(limits)
    lower.set_xlim(-0.5, len(history) - 0.5)
    step = -(-len(history) // MOST_TICKS)
    ticks = list(range(0, len(history), step))
    lower.set_xticks(ticks, [str(history[i].epoch) for i in ticks])
    lower.set_xlabel("epoch within its phase")
    rooms = [CHARACTERS * (stop - start) / len(history) for _, start, stop in phases]
    # Names that are too long for their stripe stand on two levels in turn.
    crowded = any(len(phase) > room for (phase, _, _), room in zip(phases, rooms, strict=True))
    for number, (phase, start, stop) in enumerate(phases):
        upper.text(
            (start + stop - 1) / 2,
            1.02 + (0.09 if crowded and number % 2 else 0.0),
            shorten(phase, max(4, min(40, int(rooms[number] * (1.5 if crowded else 1.0))))),
            transform=upper.get_xaxis_transform(),
            ha="center",
            va="bottom",
            color=svg.MUTED,
        )
    handles, labels = lower.get_legend_handles_labels()
    lower.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.26),
        ncols=3,
        labelcolor=svg.INK,
    )


def _phase_spans(history: Sequence[EpochRecord]) -> list[tuple[str, int, int]]:
    """(name, first place, place after the last) of each run of records of one phase."""
    spans: list[tuple[str, int, int]] = []
    for place, record in enumerate(history):
        if spans and spans[-1][0] == record.phase:
            spans[-1] = (record.phase, spans[-1][1], place + 1)
        else:
            spans.append((record.phase, place, place + 1))
    return spans
