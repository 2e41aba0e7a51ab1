"""What the learning curves say, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from tl_app.evaluation.figures import loss_pair, loss_text
from tl_app.evaluation.scoring import format_figure
from tl_app.records import EpochRecord

FitKind = Literal[
    "good", "overfitting", "underfitting", "too_short", "unstable", "no_gain", "unknown"
]

LARGE_GAP = 0.10
"""Training accuracy above validation accuracy by this much is called overfitting."""

LOW_ACCURACY = 0.80
"""A model that cannot reach this on its own training examples is called underfitting."""

STILL_FALLING = 0.03
"""A last epoch that lowers the validation log-loss by this share was not the end of it."""


@dataclass(frozen=True, slots=True)
class FitVerdict:
    """How well the run fitted.

    Attributes:
        kind: "good", "overfitting", "underfitting", "too_short" (still improving), "unstable",
            "no_gain" (a later phase did not improve on an earlier one), "unknown".
        sentence: for people, with the figures that it rests on.
    """

    kind: FitKind
    sentence: str


def best_record(history: Sequence[EpochRecord]) -> EpochRecord | None:
    """The epoch whose weights are kept: lowest validation log-loss, the first of equals."""
    finite = [record for record in history if math.isfinite(record.validation_log_loss)]
    return min(finite, key=lambda record: record.validation_log_loss, default=None)


def kept_phases(history: Sequence[EpochRecord]) -> tuple[str, ...]:
    """The phases whose steps are in the kept weights, in order; what came later was undone.

    Epoch 0 of a phase is the state before its first step, so it is the phases before it.
    """
    best = best_record(history)
    if best is None:
        return ()
    names = list(dict.fromkeys(record.phase for record in history))
    return tuple(names[: names.index(best.phase) + (best.epoch > 0)])


def fit_verdict(history: Sequence[EpochRecord]) -> FitVerdict:
    """Judge the curves of all phases, in the order in which they ran.

    The most serious finding wins: instability, then a large gap between training and
    validation, then a low training accuracy, then curves that were still falling, then a phase
    that gained nothing.
    """
    best = best_record(history)
    if best is None:
        if history:
            return FitVerdict(
                "unstable", "No epoch had a finite validation loss: lower the learning rate."
            )
        return FitVerdict("unknown", "No epoch was recorded.")
    for check in (_unstable, _overfitting, _underfitting, _too_short, _no_gain):
        verdict = check(history, best)
        if verdict is not None:
            return verdict
    if best.train_accuracy is None:
        return FitVerdict(
            "unknown",
            f"The best validation log-loss is {loss_text(best.validation_log_loss)} "
            f"({_place(best)}); "
            "without the training accuracy there is no telling whether the model overfits.",
        )
    return FitVerdict("good", f"A sound fit: {_figures(best)} ({_place(best)}).")


def _unstable(history: Sequence[EpochRecord], best: EpochRecord) -> FitVerdict | None:
    lost = [record for record in history if not math.isfinite(record.validation_log_loss)]
    if lost:
        return FitVerdict(
            "unstable",
            f"Training broke down: the validation loss is no number in {_place(lost[0])}; "
            f"the weights of {_place(best)}, are kept.",
        )
    for phase in _phases(history):
        losses = [record.validation_log_loss for record in phase]
        swings = [b / max(a, 1e-6) for a, b in pairwise(losses)]
        jumps = [ratio > 1.25 for ratio in swings]
        falls = [ratio < 0.8 for ratio in swings]
        turns = sum(
            (jumps[i] and falls[i + 1]) or (falls[i] and jumps[i + 1])
            for i in range(len(swings) - 1)
        )
        if turns >= 3:
            low, high = loss_pair(min(losses), max(losses))
            return FitVerdict(
                "unstable",
                f"The validation log-loss of phase {phase[0].phase} swings between "
                f"{low} and {high}: a lower learning rate or a larger batch would steady it.",
            )
        for before, after in pairwise(phase):
            worse = after.validation_log_loss > max(
                3 * before.validation_log_loss, before.validation_log_loss + 0.5
            )
            if worse and (after.train_loss or 0.0) > (before.train_loss or math.inf):
                low, high = loss_pair(before.validation_log_loss, after.validation_log_loss)
                return FitVerdict(
                    "unstable",
                    f"In {_place(after)}, training and validation loss jumped together "
                    f"(validation {low} to {high}): lower the learning rate.",
                )
    return None


def _overfitting(history: Sequence[EpochRecord], best: EpochRecord) -> FitVerdict | None:
    if best.train_accuracy is not None:
        gap = best.train_accuracy - best.validation_accuracy
        if gap > LARGE_GAP:
            return FitVerdict(
                "overfitting",
                f"The kept model overfits: {_figures(best)}, a gap of {100 * gap:.0f} points; more "
                "examples, more augmentation or stronger regularisation would help.",
            )
    after = [r for r in _phase_of(history, best) if r.epoch > best.epoch]
    if not after:
        return None
    last = after[-1]
    rise = last.validation_log_loss - best.validation_log_loss
    fell = (
        last.train_loss is not None
        and best.train_loss is not None
        and last.train_loss < best.train_loss
    )
    if fell and rise > max(0.02, 0.2 * best.validation_log_loss):
        low, high = loss_pair(best.validation_log_loss, last.validation_log_loss)
        return FitVerdict(
            "overfitting",
            f"Training went on past its best: after {_place(best)}, the training loss kept falling "
            f"while the validation log-loss rose from {low} to {high}; the weights of the best "
            "epoch are kept.",
        )
    return None


def _underfitting(history: Sequence[EpochRecord], best: EpochRecord) -> FitVerdict | None:
    if best.train_accuracy is None or best.train_accuracy >= LOW_ACCURACY:
        return None
    return FitVerdict(
        "underfitting",
        f"The model underfits: {_figures(best)}, so it does not even learn its own "
        "training examples; unfreeze more blocks, train longer or take a larger backbone.",
    )


def _too_short(history: Sequence[EpochRecord], best: EpochRecord) -> FitVerdict | None:
    phase = _phase_of(history, best)
    if best is not history[-1] or len(phase) < 2:
        return None
    before = phase[-2].validation_log_loss
    fall = before - best.validation_log_loss
    if fall <= max(STILL_FALLING * before, 0.002):
        return None
    high, low = loss_pair(before, best.validation_log_loss)
    return FitVerdict(
        "too_short",
        f"The validation log-loss was still falling when training ended (from {high} to {low} in "
        "the last epoch): more epochs would probably help.",
    )


def _no_gain(history: Sequence[EpochRecord], best: EpochRecord) -> FitVerdict | None:
    last = history[-1].phase
    if best.phase == last:
        return None
    trained = [r for r in history if r.phase == last and r.epoch > 0] or [history[-1]]
    rival = best_record(trained)
    if rival is None:
        return None
    theirs, ours = loss_pair(rival.validation_log_loss, best.validation_log_loss)
    return FitVerdict(
        "no_gain",
        f"Phase {last} did not improve on phase {best.phase}: its best validation log-loss is "
        f"{theirs} against {ours}, so the weights of {_place(best)}, are kept ({_figures(best)}).",
    )


def _phases(history: Sequence[EpochRecord]) -> list[list[EpochRecord]]:
    phases: dict[str, list[EpochRecord]] = {}
    for record in history:
        phases.setdefault(record.phase, []).append(record)
    return list(phases.values())


def _phase_of(history: Sequence[EpochRecord], best: EpochRecord) -> list[EpochRecord]:
    return [record for record in history if record.phase == best.phase]


def _place(record: EpochRecord) -> str:
    if record.learning_rate == 0 and record.epoch <= 1:
        return f"phase {record.phase}, solved directly"
    return f"phase {record.phase}, epoch {record.epoch}"


def _figures(record: EpochRecord) -> str:
    validation = (
        f"{format_figure(record.validation_accuracy, 'percent')} of the validation examples"
    )
    if record.train_accuracy is None:
        return f"right on {validation}"
    training = format_figure(record.train_accuracy, "percent")
    return f"right on {training} of the training and {validation}"
