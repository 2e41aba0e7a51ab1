"""Parts of the evaluated side on which the model does worse than on the rest.

An example has traits: figures such as its brightness, and names such as its folder. Each trait
parts the examples into slices; all slices of all traits are looked at together, so that one that
is called worse is not one of many that chance alone would give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from tl_app.evaluation.intervals import wilson_limits
from tl_app.records import Interval

MOST_SLICES = 4
"""That a figure is parted into."""

LEAST_EXAMPLES = 8
"""A slice of fewer says nothing."""

MOST_NAMES = 30
"""Of a trait with more names, the rarer ones are not looked at: each look costs certainty."""

LEVEL = 0.05

Verdict = Literal["worse", "better", "like the rest"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A trait that is a number.

    Attributes:
        title: for people: "brightness".
        unit: behind its bounds; empty without.
        values: float64, shape (n_examples,); NaN where it is not known.
    """

    title: str
    unit: str
    values: np.ndarray


@dataclass(frozen=True, slots=True)
class Naming:
    """A trait that is one of several names.

    Attributes:
        title: for people: "source folder".
        values: of each example.
        shown: name -> paths of examples that show what it stands for; may be empty.
    """

    title: str
    values: tuple[str, ...]
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of the examples of one side, beside their classes.

    Attributes:
        paths: of the examples, in the order of all values.
        figures, namings: the traits.
    """

    paths: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    namings: tuple[Naming, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "paths": list(self.paths),
            "figures": [
                {
                    "title": figure.title,
                    "unit": figure.unit,
                    # JSON knows no NaN.
                    "values": [None if np.isnan(v) else float(f"{v:.6g}") for v in figure.values],
                }
                for figure in self.figures
            ],
            "namings": [
                {
                    "title": naming.title,
                    "values": list(naming.values),
                    "shown": {name: list(paths) for name, paths in naming.shown.items()},
                }
                for naming in self.namings
            ],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Traits:
        return cls(
            tuple(values["paths"]),
            tuple(
                Figure(one["title"], one["unit"], np.array(one["values"], np.float64))
                for one in values["figures"]
            ),
            tuple(
                Naming(
                    one["title"],
                    tuple(one["values"]),
                    {name: tuple(paths) for name, paths in one["shown"].items()},
                )
                for one in values["namings"]
            ),
        )


@dataclass(frozen=True, slots=True)
class Slice:
    """One part.

    Attributes:
        name: for people.
        n_examples: how many it has.
        accuracy: with its interval (Wilson, 95 %).
        p_value: that the part and the rest differ by chance (Fisher's exact test, two-sided), by
            itself.
        verdict: beyond chance at 5 %, all slices of all traits looked at together (Holm).
        shown: paths of examples that show what it is; may be empty.
    """

    name: str
    n_examples: int
    accuracy: Interval
    p_value: float
    verdict: Verdict = "like the rest"
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlicedTrait:
    """The slices of one trait, at least two."""

    title: str
    slices: tuple[Slice, ...]


def find_slices(traits: Traits, paths: Sequence[str], is_right: np.ndarray) -> list[SlicedTrait]:
    """Every trait's slices, those that differ marked.

    Args:
        traits: of a side.
        paths: of the examples that were told, each among those of `traits`.
        is_right: bool, shape (n_paths,).
    """
    place = {path: i for i, path in enumerate(traits.paths)}
    rows = np.array([place[path] for path in paths], dtype=np.int64)
    found = []
    for figure in traits.figures:
        parts = slices_of_figure(figure.values[rows], is_right, figure.unit)
        found.append(SlicedTrait(figure.title, tuple(parts)))
    for naming in traits.namings:
        parts = [
            replace(part, shown=naming.shown.get(part.name, ()))
            for part in slices_by_name([naming.values[row] for row in rows], is_right)
        ]
        found.append(SlicedTrait(naming.title, tuple(parts)))
    return _judged([trait for trait in found if len(trait.slices) > 1], float(is_right.mean()))


def slices_by_name(names: Sequence[str], is_right: np.ndarray) -> list[Slice]:
    """One slice a name, the most frequent first; rare ones are left out.

    Args:
        names: of each example's slice.
        is_right: bool, shape (n_examples,).
    """
    unique, inverse, n_of = np.unique(
        np.array(names, dtype=object), return_inverse=True, return_counts=True
    )
    order = sorted(range(len(unique)), key=lambda i: (-int(n_of[i]), unique[i]))[:MOST_NAMES]
    return [
        _measured(str(unique[i]), inverse == i, is_right)
        for i in order
        if n_of[i] >= LEAST_EXAMPLES
    ]


def slices_of_figure(values: np.ndarray, is_right: np.ndarray, unit: str) -> list[Slice]:
    """Parts of about equal numbers of examples, from the smallest to the largest figure.

    Examples of one value stay together, and no part has fewer than `LEAST_EXAMPLES`: where many
    have one value there are fewer parts. Those without a value are in none.

    Args:
        values: float64, shape (n_examples,), NaN where not known.
        is_right: bool, shape (n_examples,).
        unit: for the names: "characters".
    """
    known = np.sort(values[~np.isnan(values)])
    n_slices = min(MOST_SLICES, len(known) // LEAST_EXAMPLES)
    if n_slices < 2:
        return []
    spans = [
        (float(known[start]), float(known[stop - 1]))
        for start, stop in pairwise(_bounds(known, n_slices))
    ]
    say = _saying([bound for span in spans for bound in span])
    found = []
    for low, high in spans:
        name = say(low) if low == high else f"{say(low)} to {say(high)}"
        mine = (values >= low) & (values <= high)
        found.append(_measured(f"{name} {unit}".strip(), mine, is_right))
    return found


def _saying(bounds: Sequence[float]) -> Callable[[float], str]:
    """How to write bounds: whole numbers where they are, else so that they differ."""
    if all(bound == round(bound) for bound in bounds):
        return lambda value: f"{value:,.0f}"
    different = set(bounds)
    for digits in range(2, 9):
        if len({_written(bound, digits) for bound in different}) == len(different):
            break
    return lambda value: _written(value, digits)


def _written(value: float, digits: int) -> str:
    """With so many significant digits."""
    return np.format_float_positional(
        value, precision=digits, unique=False, fractional=False, trim="-"
    )


def _bounds(ordered: np.ndarray, n_slices: int) -> list[int]:
    """Where the parts of sorted figures begin, and the end of the last.

    Bounds are the changes of value nearest to where equal parts would meet, those left out that
    would leave too few examples before or behind them.
    """
    n_examples, bounds = len(ordered), [0]
    changes = np.flatnonzero(np.diff(ordered)) + 1
    changes = changes[(changes >= LEAST_EXAMPLES) & (changes <= n_examples - LEAST_EXAMPLES)]
    if len(changes):
        for wanted in np.linspace(0, n_examples, n_slices + 1)[1:-1]:
            nearest = int(changes[np.abs(changes - wanted).argmin()])
            if nearest - bounds[-1] >= LEAST_EXAMPLES:
                bounds.append(nearest)
    return [*bounds, n_examples]


def _measured(name: str, mine: np.ndarray, is_right: np.ndarray) -> Slice:
    from scipy.stats import fisher_exact

    n, right = int(mine.sum()), int(is_right[mine].sum())
    others, others_right = len(is_right) - n, int(is_right.sum()) - right
    table = [[right, n - right], [others_right, others - others_right]]
    p_value = float(fisher_exact(table).pvalue) if others else 1.0
    low, high = wilson_limits(right, n)
    return Slice(name, n, Interval(right / n, float(low), float(high)), p_value)


def _judged(traits: list[SlicedTrait], overall: float) -> list[SlicedTrait]:
    """Holm, 1979: the k-th smallest of m p-values is held against 5 % by m - k."""
    ordered = sorted(part.p_value for trait in traits for part in trait.slices)
    n_certain = next(
        (k for k, p in enumerate(ordered) if p > LEVEL / (len(ordered) - k)), len(ordered)
    )
    highest = ordered[n_certain - 1] if n_certain else -1.0

    def judged(part: Slice) -> Slice:
        if part.p_value > highest:
            return part
        return replace(part, verdict="worse" if part.accuracy.value < overall else "better")

    return [replace(trait, slices=tuple(map(judged, trait.slices))) for trait in traits]
