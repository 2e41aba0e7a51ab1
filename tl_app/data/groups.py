"""Which examples belong together: the same pixels or text, the same `group`, or tied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tl_app.data.components import Components
from tl_app.records import AnyExample


def tokens_of(example: AnyExample) -> tuple[str, ...]:
    """What ties an example to others; the token of its content comes first."""
    if example.given_group is None:
        return (example.content,)
    return (example.content, f"group:{example.given_group}")


@dataclass(frozen=True, slots=True)
class Group:
    """Examples that are linked by tokens or ties, directly or through others.

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


def find_groups(
    examples: Sequence[AnyExample], ties: Iterable[tuple[int, int]] = ()
) -> list[Group]:
    """Connected components of examples over shared tokens and ties, by their first member.

    Args:
        examples: of a Dataset.
        ties: pairs of positions that belong together for another reason.
    """
    joined = Components(len(examples))
    join_by_tokens(joined, examples)
    for i, j in ties:
        joined.join(i, j)
    members: dict[int, list[int]] = {}
    for i in range(len(examples)):
        members.setdefault(joined.find(i), []).append(i)
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


def join_by_tokens(components: Components, examples: Sequence[AnyExample]) -> None:
    """Join examples that share a token."""
    first_with: dict[str, int] = {}
    for i, example in enumerate(examples):
        for token in tokens_of(example):
            components.join(first_with.setdefault(token, i), i)
