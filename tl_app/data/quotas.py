"""How many examples of a class each side should have, and which groups make them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tl_app.records import Side

PRIORITY: tuple[Side, ...] = ("train", "test", "validation")
"""Which side gets a group first where a class has too few for all."""


class Quotas:
    """Shares of each class, in examples.

    Args:
        validation_fraction: of the examples that are not given as test.
        test_fraction: of all examples; 0 draws nothing for test.
    """

    def __init__(self, *, validation_fraction: float, test_fraction: float) -> None:
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.totals: Counter[int] = Counter()
        self.given_test: Counter[int] = Counter()
        self.on_side: Counter[tuple[int, Side]] = Counter()

    def count(self, label: int, side: Side | None, *, is_given: bool) -> None:
        """Take note of one example of a class; `side` is None if it is still to be drawn."""
        self.totals[label] += 1
        self.given_test[label] += is_given and side == "test"
        if side is not None:
            self.on_side[label, side] += 1

    def draw(self, label: int, sizes: Sequence[int], may_test: Sequence[bool]) -> list[Side]:
        """A side for each group of one class.

        Args:
            label: the class; all its examples have been counted.
            sizes: examples of each group, in the order of the draw.
            may_test: whether the group may go to test.
        """
        drawn: list[Side] = ["train"] * len(sizes)
        left = list(range(len(sizes)))
        wants_test = self.test_fraction > 0 and any(may_test)
        lacking = [
            side
            for side in PRIORITY
            if not self.on_side[label, side] and (side != "test" or wants_test)
        ]
        promised = lacking[: len(left)]
        for side in ("test", "validation"):
            if side == "test" and not wants_test:
                continue
            others = [other for other in promised if other != side]
            taken = _take(
                [i for i in left if side != "test" or may_test[i]],
                sizes,
                deficit=self._quota(label, side) - self.on_side[label, side],
                at_least=1 if side in promised else 0,
                at_most=len(left) - len(others),
            )
            promised = others
            left = [i for i in left if i not in taken]
            for i in taken:
                drawn[i] = side
        return drawn

    def _quota(self, label: int, side: Side) -> float:
        if side == "test":
            return self.test_fraction * self.totals[label]
        return self.validation_fraction * (self.totals[label] - self.given_test[label])


def _take(
    ranked: Iterable[int], sizes: Sequence[int], *, deficit: float, at_least: int, at_most: int
) -> set[int]:
    """The first groups that each bring the side nearer to its quota; if none does, a smallest."""
    ranked = list(ranked)
    taken: set[int] = set()
    for i in ranked:
        if len(taken) < at_most and sizes[i] < 2 * deficit:
            taken.add(i)
            deficit -= sizes[i]
    if not taken and at_least and ranked and at_most > 0:
        taken.add(min(ranked, key=lambda i: sizes[i]))
    return taken
