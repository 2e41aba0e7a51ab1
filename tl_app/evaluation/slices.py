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

NO_PART = ""
"""Name of what belongs to no part of a trait."""

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
        p_value: that the part and the rest differ by chance (Fisher's exact test, two-sided, and
            where examples have groups also a test between those), by itself.
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
    """The slices of one trait: at least two, or none where they would be too small or one."""

    title: str
    slices: tuple[Slice, ...]


def find_slices(
    traits: Traits,
    paths: Sequence[str],
    is_right: np.ndarray,
    groups: np.ndarray | None = None,
) -> list[SlicedTrait]:
    """Every trait's slices, those that differ marked.

    Args:
        traits: of a side.
        paths: of the examples that were told, each among those of `traits`.
        is_right: bool, shape (n_paths,).
        groups: int64, shape (n_paths,): examples that may be right or wrong together, such as
            those of one patient; None where each stands for itself.
    """
    place = {path: i for i, path in enumerate(traits.paths)}
    rows = np.array([place[path] for path in paths], dtype=np.int64)
    found = []
    for figure in traits.figures:
        parts = slices_of_figure(figure.values[rows], is_right, figure.unit, groups)
        found.append(SlicedTrait(figure.title, tuple(parts)))
    for naming in traits.namings:
        parts = [
            replace(part, shown=naming.shown.get(part.name, ()))
            for part in slices_by_name([naming.values[row] for row in rows], is_right, groups)
        ]
        found.append(SlicedTrait(naming.title, tuple(parts)))
    one_part = [replace(trait, slices=()) for trait in found if len(trait.slices) < 2]
    parted = [trait for trait in found if len(trait.slices) > 1]
    return [*_judged(parted, is_right), *one_part]


def slices_by_name(
    names: Sequence[str], is_right: np.ndarray, groups: np.ndarray | None = None
) -> list[Slice]:
    """One slice a name, the most frequent first; rare ones are left out.

    Args:
        names: of each example's slice, or `NO_PART`.
        is_right: bool, shape (n_examples,).
        groups: as for `find_slices`.
    """
    unique, inverse, n_of = np.unique(
        np.array(names, dtype=object), return_inverse=True, return_counts=True
    )
    named = [i for i in range(len(unique)) if unique[i] != NO_PART]
    order = sorted(named, key=lambda i: (-int(n_of[i]), unique[i]))[:MOST_NAMES]
    return [
        _measured(str(unique[i]), inverse == i, is_right, groups)
        for i in order
        if n_of[i] >= LEAST_EXAMPLES
    ]


def slices_of_figure(
    values: np.ndarray, is_right: np.ndarray, unit: str, groups: np.ndarray | None = None
) -> list[Slice]:
    """Parts of about equal numbers of examples, from the smallest to the largest figure.

    Examples of one value stay together, and no part has fewer than `LEAST_EXAMPLES`: where many
    have one value there are fewer parts. Those without a value are in none.

    Args:
        values: float64, shape (n_examples,), NaN where not known.
        is_right: bool, shape (n_examples,).
        unit: for the names: "characters".
        groups: as for `find_slices`.
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
        # Bounds that differ by less than is written are one.
        name = say(low) if say(low) == say(high) else f"{say(low)} to {say(high)}"
        mine = (values >= low) & (values <= high)
        found.append(_measured(f"{name} {unit}".strip(), mine, is_right, groups))
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


def _measured(
    name: str, mine: np.ndarray, is_right: np.ndarray, groups: np.ndarray | None
) -> Slice:
    from scipy.stats import fisher_exact

    n, right = int(mine.sum()), int(is_right[mine].sum())
    others, others_right = len(is_right) - n, int(is_right.sum()) - right
    table = [[right, n - right], [others_right, others - others_right]]
    p_value = float(fisher_exact(table).pvalue) if others else 1.0
    if groups is not None:
        p_value = max(p_value, _grouped_p_value(mine, is_right, groups))
    low, high = wilson_limits(right, n)
    return Slice(name, n, Interval(right / n, float(low), float(high)), p_value)


def _grouped_p_value(mine: np.ndarray, is_right: np.ndarray, groups: np.ndarray) -> float:
    """That a part and the rest differ by chance, where whole groups are right or wrong together.

    A score test whose variance is that between groups (Liang and Zeger, 1986): how far being right
    goes with being in the part, summed up within each group.
    """
    from scipy.stats import t

    score = (mine - mine.mean()) * (is_right - is_right.mean())
    of_groups = np.bincount(np.unique(groups, return_inverse=True)[1], score)
    spread = float(np.sqrt((of_groups**2).sum()))
    if spread == 0 or len(of_groups) < 2:
        return 1.0
    return float(2 * t.sf(abs(of_groups.sum()) / spread, len(of_groups) - 1))


def _questions(trait: SlicedTrait, n_examples: int) -> list[float]:
    """The p-values of a trait; of two parts that are each other's rest, the one that they share."""
    values = [part.p_value for part in trait.slices]
    is_one = len(values) == 2 and sum(part.n_examples for part in trait.slices) == n_examples
    return values[:1] if is_one else values


def _judged(traits: list[SlicedTrait], is_right: np.ndarray) -> list[SlicedTrait]:
    """Holm, 1979: the k-th smallest of m p-values is held against 5 % by m - k."""
    overall = float(is_right.mean()) if len(is_right) else 0.0
    ordered = sorted(p for trait in traits for p in _questions(trait, len(is_right)))
    n_certain = next(
        (k for k, p in enumerate(ordered) if p > LEVEL / (len(ordered) - k)), len(ordered)
    )
    highest = ordered[n_certain - 1] if n_certain else -1.0

    def judged(part: Slice) -> Slice:
        if part.p_value > highest:
            return part
        return replace(part, verdict="worse" if part.accuracy.value < overall else "better")

    return [replace(trait, slices=tuple(map(judged, trait.slices))) for trait in traits]
