"""Sentences that a reader should know before trusting a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tl_app.data.listing import counted
from tl_app.data.wording import PICTURES, Wording
from tl_app.evaluation.metrics import class_counts
from tl_app.records import Interval, Side

FEW_EXAMPLES_PER_CLASS = 10
"""Below this, one example moves a class's recall by more than ten points."""

MOST_NAMES = 5
"""How many class names a note lists before it says how many more there are."""


def reading_notes(
    confusion: np.ndarray,
    class_names: Sequence[str],
    *,
    side: Side | None,
    accuracy: Interval,
    baseline_accuracy: float,
    n_unlabelled: int = 0,
    wording: Wording = PICTURES,
) -> tuple[str, ...]:
    """What limits the figures; empty only for a large, complete test set.

    Args:
        confusion: int64, shape (n_classes, n_classes).
        side: of the run; None where the examples are of none.
        accuracy: with its 95 % limits.
        baseline_accuracy: of always answering the most common training class.
        n_unlabelled: rows that were left out because their label is unknown.
        wording: what the examples are called.
    """
    _, examples, guesses = class_counts(confusion)
    part = "this set" if side is None else f"the {side} part"
    notes = [
        _seen_note(side, wording),
        _size_note(int(examples.sum()), part, accuracy, wording),
        _baseline_note(accuracy, baseline_accuracy),
        _absent_note(class_names, examples, guesses, part, wording),
        _few_note(examples, part, wording),
        _never_predicted_note(class_names, examples, guesses),
        _unlabelled_note(n_unlabelled, wording),
    ]
    return tuple(note for note in notes if note)


def _seen_note(side: Side | None, wording: Wording) -> str | None:
    """Figures on examples that had a say in the weights promise too much."""
    if side == "validation":
        return (
            f"These validation {wording.nouns} chose the weights that were kept, so the figures "
            f"flatter the model: expect less on new {wording.nouns}. Only a test part shows what "
            "it can do."
        )
    if side == "train":
        return (
            f"The model was trained on these very {wording.nouns}, so the figures flatter it: "
            f"expect less on new {wording.nouns}. Only a test part shows what it can do."
        )
    return None


def _unlabelled_note(n_unlabelled: int, wording: Wording) -> str | None:
    if not n_unlabelled:
        return None
    have = counted(n_unlabelled, f"{wording.noun} has", f"{wording.nouns} have")
    verb = "is" if n_unlabelled == 1 else "are"
    return f"{have} no known label and {verb} left out of every figure."


def _size_note(n_examples: int, part: str, accuracy: Interval, wording: Wording) -> str | None:
    if accuracy.low is None or accuracy.high is None:
        return None
    points = 100 * (accuracy.high - accuracy.low)
    if points < 2.0:
        return None
    return (
        f"{part.capitalize()} has {counted(n_examples, wording.noun)}, so the 95 % interval of the "
        f"accuracy is {points:.1f} points wide ({100 * accuracy.low:.1f} to "
        f"{100 * accuracy.high:.1f} %). Two models that differ by less cannot be told apart by "
        f"such intervals; four times as many {wording.nouns} would halve their width."
    )


def _baseline_note(accuracy: Interval, baseline_accuracy: float) -> str | None:
    if accuracy.low is None or accuracy.low > baseline_accuracy:
        return None
    return (
        f"The accuracy is not clearly better than always answering the most common class "
        f"({100 * baseline_accuracy:.1f} %)."
    )


def _absent_note(
    class_names: Sequence[str],
    examples: np.ndarray,
    guesses: np.ndarray,
    part: str,
    wording: Wording,
) -> str | None:
    absent = np.flatnonzero(examples == 0)
    if not len(absent):
        return None
    listing = list_names([class_names[i] for i in absent.tolist()])
    guessed = int((guesses[absent] > 0).sum())
    if not guessed:
        verdict = "Macro-F1 leaves them out"
    else:
        verdict = (
            f"Macro-F1 counts those that were predicted nevertheless ({guessed:,}) as 0 and "
            "leaves out the others"
        )
    return f"No {wording.noun} of {part} is of: {listing}. {verdict}; their recall is unknown."


def _few_note(examples: np.ndarray, part: str, wording: Wording) -> str | None:
    few = int(((examples > 0) & (examples < FEW_EXAMPLES_PER_CLASS)).sum())
    if not few:
        return None
    have = "has" if few == 1 else "have"
    return (
        f"{few:,} of {len(examples):,} classes {have} fewer than {FEW_EXAMPLES_PER_CLASS} "
        f"{wording.nouns} in {part}: one {wording.noun} more or less moves their figures "
        "by ten points or more."
    )


def _never_predicted_note(
    class_names: Sequence[str], examples: np.ndarray, guesses: np.ndarray
) -> str | None:
    silent = np.flatnonzero((guesses == 0) & (examples > 0))
    if not len(silent):
        return None
    listing = list_names([class_names[i] for i in silent.tolist()])
    return f"Never predicted, so without a precision: {listing}."


def list_names(names: Sequence[str]) -> str:
    """ "a, b, c and 12 more"."""
    shown = ", ".join(names[:MOST_NAMES])
    return shown + (f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else "")
