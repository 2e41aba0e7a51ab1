"""Validation examples that are held apart from early stopping, for calibration and thresholds.

What chose the weights is told too surely by them; a temperature fitted on it would be too low.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from tl_app.data.ranking import rank
from tl_app.records import Dataset, Split

LEAST_VALIDATION = 100
"""With fewer validation examples all of them choose the weights: half of so few would neither
choose nor calibrate well."""


def hold_apart(dataset: Dataset[Any], split: Split, *, fraction: float, seed: int) -> Split:
    """The split with a part of its validation side held apart: whole groups, every class.

    Args:
        dataset: whose examples are split.
        split: with its sides.
        fraction: of the validation side's groups, in [0, 1); 0 holds none apart.
        seed: of the ranking.
    """
    validation = split.indices("validation").tolist()
    if not fraction or len(validation) < LEAST_VALIDATION:
        return split
    members: dict[int, list[int]] = defaultdict(list)
    for i in validation:
        members[split.groups[i]].append(i)
    by_class: dict[int, list[int]] = defaultdict(list)
    for group, rows in members.items():
        by_class[dataset.examples[rows[0]].label].append(group)
    apart: list[int] = []
    for _, groups in sorted(by_class.items()):
        keys = {g: min(dataset.examples[i].content for i in members[g]) for g in groups}
        ranked = sorted(groups, key=lambda g: (rank(seed, f"calibration\n{keys[g]}"), keys[g]))
        for group in ranked[: int(fraction * len(ranked))]:
            apart += members[group]
    return replace(split, calibration=tuple(sorted(apart)))
