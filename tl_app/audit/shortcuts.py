"""Shortcuts: facts that are not the subject, and tell the label by themselves.

A network finds them, too, and fails where they are no longer there.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tl_app.audit.inputs import AuditInputs, CheckNotRun, kept_together
from tl_app.audit.one_fact import Telling, into_bins, tell_by_bins
from tl_app.audit.quality import picture_figures
from tl_app.data.class_names import fold
from tl_app.findings import Evidence, Finding
from tl_app.heads.linear import group_folds
from tl_app.records import SIDES

WARN_ACCURACY = 0.75
"""Balanced, of one fact alone, half-way from chance to certainty: from here on it is a shortcut."""

SURE_ACCURACY = 0.70
"""The lower end of its interval must be at least so high."""

MOST_EXAMPLES = 20_000
"""Of a larger set, as many drawn at random say as much."""

N_FOLDS = 5
NO_FOLDER = "no folder of its own"
MOST_CLASSES = 5
"""That a finding names."""

NUMBERS = {
    "brightness": "brightness",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "entropy": "amount of detail",
    "width_px": "width in pixels",
    "height_px": "height in pixels",
    "width_by_height": "shape (width by height)",
    "bytes_per_pixel": "bytes a pixel (how strongly it is compressed)",
}
"""Figures of `picture_figures`, and what people call them."""


def shortcuts(inputs: AuditInputs) -> list[Finding]:
    """One finding for each fact that tells some class from the rest by itself."""
    rows, folds = drawn_folds(inputs, MOST_EXAMPLES)
    labels = inputs.dataset.labels[rows]
    n_classes = len(inputs.dataset.class_names)
    figures = picture_figures(inputs)
    facts = {words: into_bins(figures[name][rows]) for name, words in NUMBERS.items()}
    for words, values in _categories(inputs).items():
        facts[words] = np.unique(np.array(values)[rows], return_inverse=True)[1].astype(np.int64)
    findings = []
    for words, bins in facts.items():
        told = tell_by_bins(bins, labels, folds, n_classes)
        cases = telling_classes(told, inputs.dataset.class_names)
        if cases:
            findings.append(
                Finding(
                    kind="shortcut",
                    severity="warn",
                    title=f"The {words} alone tells {_of(cases)}.",
                    advice="Look whether this is so wherever the model will be used; if not, bring "
                    "pictures of all classes with the same range of it, or make it equal.",
                    evidence=tuple(cases),
                )
            )
    return findings


def drawn_folds(inputs: AuditInputs, most: int) -> tuple[np.ndarray, np.ndarray]:
    """int64, positions of at most so many examples, and the fold of each; copies stay together,
    and so do the user's own groups.

    Raises:
        CheckNotRun: there are too few.
    """
    n = len(inputs.dataset.examples)
    if n < 4 * N_FOLDS:
        raise CheckNotRun(f"there are fewer than {4 * N_FOLDS} pictures")
    rows = np.arange(n)
    if n > most:
        rows = np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    groups = kept_together(inputs.dataset, inputs.duplicates)[rows]
    if len(np.unique(groups)) < N_FOLDS:
        raise CheckNotRun("the pictures are copies of each other, or of few groups")
    return rows, group_folds(inputs.dataset.labels[rows], groups, N_FOLDS, 0)


def telling_classes(
    told: Telling, class_names: tuple[str, ...], **figures: float | str
) -> list[Evidence]:
    """The classes that are told by a shortcut, the clearest first; of two classes one."""
    clear = (told.accuracy >= WARN_ACCURACY) & (told.low >= SURE_ACCURACY)
    order = sorted(np.flatnonzero(clear).tolist(), key=lambda label: -told.accuracy[label])
    if len(class_names) == 2:
        order = order[:1]
    return [
        Evidence(
            (),
            {
                "class": class_names[label],
                "balanced_accuracy": round(float(told.accuracy[label]), 4),
                "low": round(float(told.low[label]), 4),
                "high": round(float(told.high[label]), 4),
                "chance": 0.5,
                **figures,
            },
        )
        for label in order
    ]


def _of(cases: list[Evidence]) -> str:
    first = cases[0].figures
    text = (
        f"{first['class']} from the rest with {first['balanced_accuracy']:.0%} balanced accuracy "
        f"(95 % interval {first['low']:.0%} to {first['high']:.0%}, chance 50%)"
    )
    if len(cases) > 1:
        others = [str(case.figures["class"]) for case in cases[1:MOST_CLASSES]]
        more = len(cases) - 1 - len(others)
        text += f"; likewise {', '.join(others)}" + (f" and {more:,} more" if more else "")
    return text


def _categories(inputs: AuditInputs) -> dict[str, list[str]]:
    """Of each example: what is a word rather than a number."""
    examples = inputs.dataset.examples
    class_of = [inputs.dataset.class_names[example.label] for example in examples]
    return {
        "file format": [example.image_format for example in examples],
        "colour mode": [example.mode for example in examples],
        "source folder": source_folders([example.path for example in examples], class_of),
        "camera": [bytes(name).hex() for name in inputs.required("measurements").rows["camera"]],
    }


def source_folders(paths: Sequence[str], class_of: Sequence[str]) -> list[str]:
    """Of each example, the folders of its path that may tell where it comes from.

    They name neither a side nor the class. A folder below that of a class, such as one of a breed
    or a patient, can hold nothing else, which is no shortcut; one counts where folders of its name
    lie below two classes. Where none does, it is `NO_FOLDER`.
    """
    placed = [
        _around_class(path, class_name) for path, class_name in zip(paths, class_of, strict=True)
    ]
    classes_over: defaultdict[str, set[str]] = defaultdict(set)
    for (_, below), class_name in zip(placed, class_of, strict=True):
        for folder in below:
            classes_over[folder].add(class_name)
    return [
        "/".join([*above, *(folder for folder in below if len(classes_over[folder]) > 1)])
        or NO_FOLDER
        for above, below in placed
    ]


def _around_class(path: str, class_name: str) -> tuple[list[str], list[str]]:
    """The folders above and below that of the class, all above where there is none; no sides."""
    parts = os.path.dirname(path).split("/")
    is_class = [fold(part) == fold(class_name) for part in parts]
    place = is_class.index(True) if any(is_class) else len(parts)
    above, below = parts[:place], parts[place + 1 :]
    sides = {*SIDES, "val", "valid"}
    return [part for part in above if fold(part) not in sides], [
        part for part in below if fold(part) not in sides
    ]
