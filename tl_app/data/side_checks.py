"""What a reader of the figures should know about a split: leaks and missing classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tl_app.data.listing import counted, named
from tl_app.data.wording import PICTURES, Wording
from tl_app.records import SIDES, AnyExample, Dataset, ExampleT, Side, Split


@dataclass(frozen=True, slots=True)
class Leak:
    """Examples of one group on more than one side; only sides given by the user can do that.

    Attributes:
        sides: the sides involved, in the order train, validation, test.
        paths: one example of each side in that order, for people to look at.
        n_examples: members of the group.
        why: what the sides share: the "content" of an example, else a given "group", else
            "near" copies.
    """

    sides: tuple[Side, ...]
    paths: tuple[str, ...]
    n_examples: int
    why: Literal["content", "group", "near"]


def leaks(dataset: Dataset[ExampleT], split: Split) -> list[Leak]:
    """Groups that lie on more than one side, by their first path."""
    members: dict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(split.groups):
        members[group].append(i)
    found = []
    for indices in members.values():
        on: dict[Side, list[AnyExample]] = defaultdict(list)
        for i in indices:
            if (side := split.sides[i]) is not None:
                on[side].append(dataset.examples[i])
        sides = tuple(side for side in SIDES if side in on)
        if len(sides) < 2:
            continue
        found.append(
            Leak(
                sides=sides,
                paths=tuple(min(example.path for example in on[side]) for side in sides),
                n_examples=len(indices),
                why=_what_is_shared([on[side] for side in sides]),
            )
        )
    return sorted(found, key=lambda leak: leak.paths)


def _what_is_shared(sides: Sequence[Sequence[AnyExample]]) -> Literal["content", "group", "near"]:
    def is_shared(values: Sequence[set[str]]) -> bool:
        return len(set().union(*values)) < sum(map(len, values))

    if is_shared([{example.content for example in side} for side in sides]):
        return "content"
    given = [{e.given_group for e in side if e.given_group is not None} for side in sides]
    return "group" if is_shared(given) else "near"


def describe_leaks(found: list[Leak], wording: Wording = PICTURES) -> str | None:
    """A warning for people, or None if there is nothing to warn of."""
    if not found:
        return None
    n = Counter(leak.why for leak in found)
    what = []
    if n["content"]:
        what.append(f"{counted(n['content'], wording.noun)} on more than one side, {wording.alike}")
    if n["group"]:
        what.append(f"{counted(n['group'], 'group')} spread over more than one side")
    if n["near"]:
        what.append(f"near copies of {counted(n['near'], wording.noun)} on more than one side")
    examples = named((" = ".join(leak.paths) for leak in found), n=3)
    return (
        f"The sides leak: {', '.join(what)} ({examples}). They are kept as they were given "
        "or recorded; the test figures may look better than they are."
    )


def classes_missing(dataset: Dataset[ExampleT], split: Split) -> dict[Side, tuple[str, ...]]:
    """Names of classes that have examples, but none on a side that has others; by side."""
    on: dict[Side, set[int]] = defaultdict(set)
    present = set()
    for example, side in zip(dataset.examples, split.sides, strict=True):
        if side is not None:
            on[side].add(example.label)
            present.add(example.label)
    return {
        side: tuple(dataset.class_names[label] for label in sorted(present - on[side]))
        for side in SIDES
        if side in on and present - on[side]
    }
