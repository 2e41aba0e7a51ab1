"""Ties between near copies: which of them can be honoured without tying a whole class together.

A fixed camera, a conveyor belt or a microscope gives pictures that are all nearly the same. Tied
together they would be one group, and a group is on one side: nothing would be left to test on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_app.data.components import Components
from tl_app.data.groups import join_by_tokens
from tl_app.records import AnyExample

LARGEST_SHARE = 0.25
"""Of a class, that ties may bring together: four groups leave something to test on."""

FEWEST_GROUPS = 3
"""Of a class, that ties leave where there were as many: one for each side."""

SMALL_CLASS = 12
"""Of classes with fewer examples a group may be larger, while so many groups are left."""


@dataclass(frozen=True, slots=True)
class Ties:
    """Pairs of examples that are nearly the same.

    Attributes:
        pairs: int64, shape (n_pairs, 2), positions in the Dataset.
        likeness: float32, shape (n_pairs,), high where two are much alike.
    """

    pairs: np.ndarray
    likeness: np.ndarray


NO_TIES = Ties(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))


def fitting_ties(examples: Sequence[AnyExample], ties: Ties) -> tuple[np.ndarray, int]:
    """The ties that a split can honour: the closest first, while no class becomes one group.

    Args:
        examples: of the Dataset.
        ties: between them.

    Returns:
        int64, shape (n, 2), pairs to keep together; and how many pairs were left out.
    """
    groups = Components(len(examples))
    join_by_tokens(groups, examples)
    classes: dict[int, Counter[int]] = {}
    for i, example in enumerate(examples):
        classes.setdefault(groups.find(i), Counter())[example.label] += 1
    n_examples = Counter(example.label for example in examples)
    n_groups = Counter(label for of_class in classes.values() for label in of_class)

    def fits(first: Counter[int], second: Counter[int]) -> bool:
        if any(n_groups[label] <= FEWEST_GROUPS for label in first.keys() & second.keys()):
            return False
        return all(
            n <= LARGEST_SHARE * n_examples[label]
            for label, n in (first + second).items()
            if n_examples[label] >= SMALL_CLASS
        )

    kept: list[tuple[int, int]] = []
    n_left_out = 0
    for i, j in _closest_first(examples, ties):
        a, b = groups.find(i), groups.find(j)
        if a != b:
            first, second = classes[a], classes[b]
            if not fits(first, second):
                n_left_out += 1
                continue
            n_groups.subtract(first.keys() & second.keys())
            classes[groups.join(a, b)] = first + second
        kept.append((i, j))
    return np.array(kept, dtype=np.int64).reshape(-1, 2), n_left_out


def _closest_first(examples: Sequence[AnyExample], ties: Ties) -> list[tuple[int, int]]:
    """In an order that does not depend on where the examples lie."""

    def rank(number: int) -> tuple[float, list[str]]:
        ends = [examples[i].content for i in ties.pairs[number].tolist()]
        return (-float(ties.likeness[number]), sorted(ends))

    order = sorted(range(len(ties.pairs)), key=rank)
    return [(int(i), int(j)) for i, j in ties.pairs[order].tolist()]
