"""Which examples belong together: the same pixels or text, or the same `group`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tl_app.records import AnyExample


def tokens_of(example: AnyExample) -> tuple[str, ...]:
    """What ties an example to others; the token of its content comes first."""
    if example.given_group is None:
        return (example.content,)
    return (example.content, f"group:{example.given_group}")


@dataclass(frozen=True, slots=True)
class Group:
    """Examples that are linked by tokens, directly or through others.

    Attributes:
        members: positions in the Dataset, ascending.
        tokens: all tokens of the members.
        labels: of the members.
        label: the rarest of them, the one in the fewest groups (ties: the smallest): a class of
            few groups must find a place on every side, one of many does so anyway.
    """

    members: tuple[int, ...]
    tokens: frozenset[str]
    labels: frozenset[int]
    label: int

    @property
    def key(self) -> str:
        """The same for the same examples, wherever they lie and in whatever order they came."""
        return min(self.tokens)


def find_groups(examples: Sequence[AnyExample]) -> list[Group]:
    """Connected components of examples over shared tokens, by their first member (union-find)."""
    parent = list(range(len(examples)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_with: dict[str, int] = {}
    for i, example in enumerate(examples):
        for token in tokens_of(example):
            a, b = find(first_with.setdefault(token, i)), find(i)
            if a != b:
                parent[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = {}
    for i in range(len(examples)):
        members.setdefault(find(i), []).append(i)
    labels_of = [frozenset(examples[i].label for i in c) for c in members.values()]
    n_groups = Counter(label for labels in labels_of for label in labels)
    return [
        Group(
            members=tuple(component),
            tokens=frozenset(t for i in component for t in tokens_of(examples[i])),
            labels=labels,
            label=min(labels, key=lambda label: (n_groups[label], label)),
        )
        for component, labels in zip(members.values(), labels_of, strict=True)
    ]
