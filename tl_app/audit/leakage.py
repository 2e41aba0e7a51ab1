"""Leakage: what is tested was seen in training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

from tl_app.audit.inputs import AuditInputs, CheckNotRun
from tl_app.data.listing import counted
from tl_app.findings import Evidence, Finding, Fix
from tl_app.records import SIDES


def leakage(inputs: AuditInputs) -> list[Finding]:
    """Copies, exact and near, and given groups that lie on two sides."""
    if len({side for side in inputs.sides if side is not None}) < 2:
        raise CheckNotRun("the data have no sides; tl-app train looks again at those it makes")
    copies = _across(inputs, inputs.duplicates.groups.tolist())
    in_copies = {i for members in copies for i in members}
    given = [
        members
        for members in _across(inputs, [e.given_group for e in inputs.dataset.examples])
        if not in_copies.issuperset(members)
    ]
    findings = []
    if copies:
        # A split that was made here keeps together what was tied before: near copies that only
        # features found, or that would have left a class too few groups, are left.
        advice = (
            "Training anew would change nothing: write these into the column 'group' of a table, "
            "and train on that."
            if inputs.is_own_split
            else "Take the copies out of the training part, or let tl-app train split anew: a test "
            "of what was trained on promises too much."
        )
        tested = sum(any(inputs.sides[i] == "test" for i in members) for members in copies)
        noun = inputs.wording.noun
        findings.append(
            Finding(
                kind="leakage",
                severity="fail" if tested and not inputs.is_own_split else "warn",
                title=f"{counted(len(copies), noun)} or near copies of "
                f"{'it' if len(copies) == 1 else 'them'} lie on more than one side; "
                f"{counted(tested, 'of them is', 'of them are')} on the test side.",
                advice=advice,
                evidence=tuple(_case(inputs, members) for members in copies),
                fixes=_fixes(inputs, copies),
            )
        )
    if given:
        findings.append(
            Finding(
                kind="groups_on_several_sides",
                severity="warn",
                title=f"{counted(len(given), 'given group')} "
                f"{'lies' if len(given) == 1 else 'lie'} on more than one side.",
                advice="Give every example of a group (patient, author, product) one side.",
                evidence=tuple(_case(inputs, members) for members in given),
            )
        )
    return findings


def _across(inputs: AuditInputs, keys: Iterable[Hashable]) -> list[list[int]]:
    """Members of each key that lie on several sides; None is no key."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        if key is not None and inputs.sides[i] is not None:
            members[key].append(i)
    return [found for found in members.values() if len({inputs.sides[i] for i in found}) > 1]


def _case(inputs: AuditInputs, members: list[int]) -> Evidence:
    ordered = inputs.kept_first(members)
    on = {side: sum(inputs.sides[i] == side for i in members) for side in SIDES}
    return Evidence(
        tuple(inputs.path(i) for i in ordered),
        {side: n for side, n in on.items() if n},
    )


def _fixes(inputs: AuditInputs, groups: list[list[int]]) -> tuple[Fix, ...]:
    """The side that is kept first keeps its copies; the others lose theirs.

    What is a copy of a copy, and none of a kept one itself, is only to be looked at.
    """
    examples = inputs.dataset.examples
    near: dict[str, set[str]] = defaultdict(set)
    for i, j in inputs.duplicates.ties.pairs.tolist():
        near[examples[i].content].add(examples[j].content)
        near[examples[j].content].add(examples[i].content)
    fixes = []
    for members in groups:
        first, *others = inputs.kept_first(members)
        kept_side = inputs.sides[first]
        kept = [i for i in members if inputs.sides[i] == kept_side]
        kept_of = {examples[i].content: i for i in reversed(kept)}
        for i in others:
            if i in kept or not inputs.may_go(i, kept):
                continue
            content = examples[i].content
            like = sorted(kept_of[one] for one in {content, *near[content]} if one in kept_of)
            is_copy = bool(like)
            fixes.append(
                Fix(
                    inputs.path(i),
                    f"{'a copy' if is_copy else 'a copy of a copy'} of "
                    f"{inputs.path(like[0] if is_copy else first)} ({kept_side})",
                    "quarantine" if is_copy and not inputs.is_own_split else "review",
                )
            )
    return tuple(fixes)
