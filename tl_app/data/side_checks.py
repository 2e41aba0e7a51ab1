"""What a reader of the figures should know about a split: leaks and missing classes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

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
        same_content: whether one example's copy is on another side (else: same group).
    """

    sides: tuple[Side, ...]
    paths: tuple[str, ...]
    n_examples: int
    same_content: bool


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
        contents = [{example.content for example in on[side]} for side in sides]
        n_distinct = len(set().union(*contents))
        found.append(
            Leak(
                sides=sides,
                paths=tuple(min(example.path for example in on[side]) for side in sides),
                n_examples=len(indices),
                same_content=n_distinct < sum(len(distinct) for distinct in contents),
            )
        )
    return sorted(found, key=lambda leak: leak.paths)


def describe_leaks(found: list[Leak], wording: Wording = PICTURES) -> str | None:
    """A warning for people, or None if there is nothing to warn of."""
    if not found:
        return None
    n_same = sum(leak.same_content for leak in found)
    what = []
    if n_same:
        what.append(f"{counted(n_same, wording.noun)} on more than one side, {wording.alike}")
    if len(found) > n_same:
        what.append(f"{counted(len(found) - n_same, 'group')} spread over more than one side")
    examples = named((" = ".join(leak.paths) for leak in found), n=3)
    return (
        f"The sides leak: {' and '.join(what)} ({examples}). They are kept as they were given "
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
