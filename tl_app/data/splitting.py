"""Sides for examples: stratified, seeded, stable, groups whole.

The unit is a group (see `groups`). The order of decisions:

1. A side that the user gave is kept. If no validation side is given, given training
   examples are the pool that validation is taken from.
2. An example that an earlier run recorded keeps its side, whatever else is said of it now.
   So does a copy (pixel for pixel, or the same words whatever the whitespace) that nothing
   else ties to another side. Whatever else is in a group that touches one side joins that side.
3. In a group that touches two sides, examples without a side of their own would bridge
   them: they are withheld. So is one whose given side contradicts its recorded one, and
   a new copy whose own group ties it to examples of another side.
4. The other groups are ranked within their class by a seeded hash of their key and fill
   the test quota, then the validation quota; the rest trains. Quotas are shares of all
   examples of the class, counted in examples. While there are groups to do so, every side
   gets one of each class: train first, then test, then validation.
5. Groups that hold several classes are drawn by the rarest of them. Where another class then
   lacks a side though it has three groups, one that can be spared moves there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from tl_app.data.groups import Group, find_groups, tokens_of
from tl_app.data.listing import by_place
from tl_app.data.quotas import PRIORITY, Quotas
from tl_app.data.ranking import rank
from tl_app.data.side_checks import leaks
from tl_app.data.wording import WORDINGS
from tl_app.errors import ConfigError
from tl_app.records import AnyExample, Dataset, ExampleT, SetAside, Side, Split

__all__ = ["leaks", "make_split"]


def make_split(
    dataset: Dataset[ExampleT],
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    previous: Split | None = None,
    recorded_examples: Iterable[AnyExample] = (),
    ties: Iterable[tuple[int, int]] = (),
) -> tuple[Dataset[ExampleT], Split]:
    """Assign every example to a side.

    Args:
        dataset: what the scan found.
        validation_fraction: share of each class for validation, in (0, 1); of a split
            layout without validation folder, share of what is not given as test.
        test_fraction: share of each class for testing, in [0, 1); 0 makes no test side.
            Ignored where every example has a given side.
        seed: of the ranking.
        previous: the split of an earlier run, whose assignments are kept.
        recorded_examples: what that run had on its sides. Of examples with one content, as
            many as it had are taken for the recorded ones (at the same path first, then of the
            same group); the others are new copies.
        ties: pairs of positions that belong together for another reason, such as near copies.

    Returns:
        The dataset without withheld examples (they are in `set_aside`, kind
        "bridges_sides"), and the split of its examples. The split's tokens include the
        previous ones. A token that given sides put on two sides is not recorded.

    Raises:
        ConfigError: a fraction is out of range.
    """
    _check_fractions(validation_fraction, test_fraction)
    examples = dataset.examples
    nouns = WORDINGS[dataset.modality].nouns
    groups = find_groups(examples, ties)
    recorded: Mapping[str, Side] = previous.tokens if previous else {}
    validation_given = "validation" in dataset.given_sides
    returned = _returned(examples, recorded, recorded_examples)

    sides: list[Side | None] = [None] * len(examples)
    withheld: dict[int, str] = {}
    free: list[Group] = []
    for group in groups:
        here = {token: recorded[token] for token in group.tokens if token in recorded}
        if not here and all(examples[i].given_side is None for i in group.members):
            free.append(group)
            continue
        anchors, reasons = _anchors(group, examples, here, returned, validation_given)
        withheld.update(reasons)
        touched = {*anchors.values(), *here.values()}
        if previous is not None:
            for i in _bridging_copies(anchors, examples, returned):
                del anchors[i]
        if not touched:
            free.append(group)
            continue
        for i in group.members:
            if i in anchors:
                sides[i] = anchors[i]
            elif i not in withheld and len(touched) == 1:
                sides[i] = next(iter(touched))
            elif i not in withheld:
                withheld[i] = f"links {nouns} of {' and '.join(sorted(touched))}"

    quotas = Quotas(validation_fraction=validation_fraction, test_fraction=test_fraction)
    for group in groups:
        for i in group.members:
            if i not in withheld:
                quotas.count(group.label, sides[i], is_given=examples[i].given_side is not None)
    free_by_class: dict[int, list[Group]] = defaultdict(list)
    for group in free:
        free_by_class[group.label].append(group)
    for label in sorted(free_by_class):
        ranked = sorted(free_by_class[label], key=lambda g: (rank(seed, g.key), g.key))
        # Given training examples may go to validation, never to test.
        may_test = [all(examples[i].given_side is None for i in g.members) for g in ranked]
        drawn = quotas.draw(label, [len(g.members) for g in ranked], may_test)
        for group, side in zip(ranked, drawn, strict=True):
            for i in group.members:
                sides[i] = side
    needed = [side for side in PRIORITY if side != "test" or test_fraction > 0]
    _spare_for_lacking(groups, free, examples, sides, needed)
    return _assemble(dataset, groups, sides, withheld, recorded, seed)


def _spare_for_lacking(
    groups: Sequence[Group],
    free: Sequence[Group],
    examples: Sequence[AnyExample],
    sides: list[Side | None],
    needed: Sequence[Side],
) -> None:
    """Move free groups to sides that lack one of their classes, where no class loses a side.

    Only groups of several classes can leave a class of three groups without a side.
    """
    if all(len(group.labels) == 1 for group in free):
        return
    on: Counter[tuple[int, Side]] = Counter()
    n_groups: Counter[int] = Counter()
    for group in groups:
        n_groups.update(group.labels)
        held = {(examples[i].label, side) for i in group.members if (side := sides[i]) is not None}
        on.update(held)

    def is_spared(group: Group, to: Side) -> bool:
        now = sides[group.members[0]]
        if now is None or now == to:
            return False
        if to == "test" and any(examples[i].given_side is not None for i in group.members):
            return False
        return all(
            on[label, now] > 1 or (now != "train" and n_groups[label] < 3) for label in group.labels
        )

    for label in sorted(n_groups, key=lambda label: (n_groups[label], label)):
        if n_groups[label] < 3:
            continue
        for side in needed:
            if on[label, side]:
                continue
            spared = [group for group in free if label in group.labels and is_spared(group, side)]
            if not spared:
                continue
            group = min(spared, key=lambda group: (len(group.members), group.key))
            now = sides[group.members[0]]
            for i in group.members:
                sides[i] = side
            for other in group.labels:
                on[other, side] += 1
                if now is not None:
                    on[other, now] -= 1


def _check_fractions(validation_fraction: float, test_fraction: float) -> None:
    problems = []
    if not 0 < validation_fraction < 1:
        problems.append(f"validation_fraction is {validation_fraction}; allowed: above 0, below 1")
    if not 0 <= test_fraction < 1:
        problems.append(f"test_fraction is {test_fraction}; allowed: from 0, below 1")
    if not problems and validation_fraction + test_fraction >= 1:
        total = validation_fraction + test_fraction
        problems.append(f"validation and test take {total:g} of the data; allowed: below 1")
    if problems:
        raise ConfigError.from_problems(problems, next_step="tl-app train --help")


def _anchors(
    group: Group,
    examples: Sequence[AnyExample],
    recorded: Mapping[str, Side],
    returned: Set[int],
    validation_given: bool,
) -> tuple[dict[int, Side], dict[int, str]]:
    """Members that have a side of their own, and members that contradict the record.

    `recorded` holds the tokens of this group only; `returned` are the recorded examples.

    Given training examples are a pool, not a side, while validation has to come from them;
    in a group with a test example they stay in train all the same, as given.
    """
    anchors: dict[int, Side] = {}
    reasons: dict[int, str] = {}
    pool: list[int] = []
    for i in group.members:
        given = examples[i].given_side
        is_pool = given == "train" and not validation_given
        told, own = _told(examples[i], recorded)
        against = told - ({"train", "validation"} if is_pool else {given})
        if given is not None and against:
            reasons[i] = f"given as {given}, but an earlier run had it on {min(against)}"
        elif given is not None and not is_pool:
            anchors[i] = given
        elif i in returned and not is_pool:
            anchors[i] = recorded[examples[i].content]
        elif own is not None:
            anchors[i] = own
        elif is_pool and told <= {"train"}:
            pool.append(i)
    if "test" in anchors.values() or "test" in recorded.values():
        anchors.update(dict.fromkeys(pool, "train"))
    # What is now settled counts like a record, so that a later run decides the same.
    known = {**_settled(anchors, examples), **recorded}
    for i in group.members:
        if i not in anchors and i not in reasons:
            own = _told(examples[i], known)[1]
            if own is not None:
                anchors[i] = own
    return anchors, reasons


def _returned(
    examples: Sequence[AnyExample],
    recorded: Mapping[str, Side],
    recorded_examples: Iterable[AnyExample],
) -> set[int]:
    """Which examples are those that an earlier run recorded, and not new copies of them.

    One at least where the content is recorded: it may have been away for a run.
    """
    before = {(example.path, example.content): example.given_group for example in recorded_examples}
    n_before = Counter(content for _, content in before)
    groups_before = {(content, group) for (_, content), group in before.items()}
    of_content: dict[str, list[int]] = defaultdict(list)
    for i, example in enumerate(examples):
        if example.content in recorded:
            of_content[example.content].append(i)

    def strangeness(i: int) -> tuple[bool, bool, str]:
        content = examples[i].content
        return (
            (examples[i].path, content) not in before,
            (content, examples[i].given_group) not in groups_before,
            examples[i].path,
        )

    return {
        i
        for content, members in of_content.items()
        for i in sorted(members, key=strangeness)[: max(1, n_before[content])]
    }


def _bridging_copies(
    anchors: Mapping[int, Side], examples: Sequence[AnyExample], returned: Set[int]
) -> list[int]:
    """New copies of settled examples that a token of their own ties to another side.

    What the user gave a side is never among them.
    """
    settled = _settled(anchors, examples)
    return [
        i
        for i in anchors
        if i not in returned
        and examples[i].given_side is None
        and any(token not in settled for token in tokens_of(examples[i]))
    ]


def _told(example: AnyExample, known: Mapping[str, Side]) -> tuple[set[Side], Side | None]:
    """The sides that an example's tokens are on, and the side of the very same content.

    The latter is None if the content is new or its tokens disagree.
    """
    tokens = tokens_of(example)
    told = {known[token] for token in tokens if token in known}
    return told, known.get(tokens[0]) if len(told) == 1 else None


def _settled(sides: Mapping[int, Side | None], examples: Sequence[AnyExample]) -> dict[str, Side]:
    """The side of each token whose examples are all on one side."""
    found: dict[str, set[Side]] = defaultdict(set)
    for i, side in sides.items():
        if side is not None:
            for token in tokens_of(examples[i]):
                found[token].add(side)
    return {token: min(on) for token, on in found.items() if len(on) == 1}


def _assemble(
    dataset: Dataset[ExampleT],
    groups: list[Group],
    sides: list[Side | None],
    withheld: Mapping[int, str],
    recorded: Mapping[str, Side],
    seed: int,
) -> tuple[Dataset[ExampleT], Split]:
    """Leave out what is withheld and record the tokens."""
    examples = dataset.examples
    number_of = {i: number for number, group in enumerate(groups) for i in group.members}
    kept = [i for i in range(len(examples)) if i not in withheld]
    tokens = _settled({i: sides[i] for i in kept}, examples)
    set_aside = [
        SetAside(
            examples[i].path, f"would bridge two sides of the split: {reason}", "bridges_sides"
        )
        for i, reason in withheld.items()
    ]
    renumbered: dict[int, int] = {}
    group_numbers = [renumbered.setdefault(number_of[i], len(renumbered)) for i in kept]
    kept_dataset = replace(
        dataset,
        examples=tuple(examples[i] for i in kept),
        set_aside=tuple(sorted([*dataset.set_aside, *set_aside], key=by_place)),
    )
    split = Split(
        sides=tuple(sides[i] for i in kept),
        groups=tuple(group_numbers),
        tokens={**tokens, **recorded},
        seed=seed,
    )
    return kept_dataset, split
