"""Copies: the same bytes, the same pixels or words, nearly the same pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

import numpy as np

from tl_app.audit.inputs import AuditInputs
from tl_app.audit.near_duplicates import NearDuplicates
from tl_app.data.listing import counted
from tl_app.findings import Evidence, Finding, Fix
from tl_app.records import Example


def exact_copies(inputs: AuditInputs) -> list[Finding]:
    """Examples that say nothing new."""
    examples = inputs.dataset.examples
    cases: list[Evidence] = []
    fixes: list[Fix] = []
    for members in _several(example.content for example in examples):
        if len({examples[i].label for i in members}) > 1:
            continue  # `conflicting_labels` has them
        kept, *others = inputs.kept_first(members)
        cases.append(_case(inputs, [kept, *others]))
        problem = f"a copy of {examples[kept].path}"
        fixes += [
            Fix(examples[i].path, problem, "quarantine") for i in others if inputs.may_go(i, [kept])
        ]
    if not cases:
        return []
    wording = inputs.wording
    n_others = sum(len(case.paths) - 1 for case in cases)
    return [
        Finding(
            kind="exact_copies",
            severity="warn",
            title=f"{counted(n_others, wording.noun)} are exact copies of "
            f"{counted(len(cases), 'other')}, {wording.alike}.",
            advice="Keep one of each: copies count twice in training and in every figure.",
            evidence=tuple(cases),
            fixes=tuple(fixes),
        )
    ]


def conflicting_labels(inputs: AuditInputs) -> list[Finding]:
    """One picture or text under two labels: one of them is wrong."""
    examples = inputs.dataset.examples
    cases: list[Evidence] = []
    fixes: list[Fix] = []
    for members in _several(example.content for example in examples):
        names = sorted({inputs.dataset.class_names[examples[i].label] for i in members})
        if len(names) < 2:
            continue
        cases.append(_case(inputs, members, labels=", ".join(names)))
        problem = f"the same under the labels {', '.join(names)}"
        fixes += [Fix(examples[i].path, problem, "quarantine") for i in members]
    if not cases:
        return []
    wording = inputs.wording
    return [
        Finding(
            kind="conflicting_labels",
            severity="fail",
            title=f"{counted(len(cases), wording.noun)} "
            f"{'stands' if len(cases) == 1 else 'stand'} under several labels, {wording.alike}.",
            advice="Decide which label is right and take the others away. As proposed, all copies "
            "go to quarantine: strike out the row of the right one.",
            evidence=tuple(cases),
            fixes=tuple(fixes),
        )
    ]


def near_copies(inputs: AuditInputs) -> list[Finding]:
    """Pictures that are one, resized, coded anew, mirrored, turned or cropped a little; texts of
    the same words."""
    examples, wording = inputs.dataset.examples, inputs.wording
    lowest = _lowest_correlations(inputs.duplicates)
    groups = [
        members
        for members in _several(inputs.duplicates.groups.tolist())
        if len({examples[i].content for i in members}) > 1
    ]
    alike = [g for g in groups if len({examples[i].label for i in g}) == 1]
    unlike = [g for g in groups if len({examples[i].label for i in g}) > 1]
    findings = []
    if unlike:
        findings.append(
            Finding(
                kind="near_copies_under_several_labels",
                severity="warn",
                title=f"{counted(len(unlike), 'group')} of nearly the same {wording.nouns} "
                f"{'has' if len(unlike) == 1 else 'have'} several labels.",
                advice="Look at them: at least one label is likely wrong"
                + (
                    "; or mirroring and turning change what is shown (letters, arrows, left and "
                    "right in medicine): then train with --no-flip."
                    if inputs.dataset.modality == "image"
                    else "."
                ),
                evidence=tuple(_near_case(inputs, members, lowest) for members in unlike),
                fixes=_review(
                    inputs, unlike, f"nearly the same as a {wording.noun} of another label"
                ),
            )
        )
    if alike:
        n_alike = sum(map(len, alike))
        findings.append(
            Finding(
                kind="near_copies",
                severity="note",
                title=f"{counted(n_alike, wording.noun)} in {counted(len(alike), 'group')} are "
                f"nearly the same ({wording.nearly}).",
                advice="They add little, and must not stand on two sides of a split; see leakage.",
                evidence=tuple(_near_case(inputs, members, lowest) for members in alike),
                fixes=_review(inputs, alike, f"nearly the same as another {wording.noun}"),
            )
        )
    return findings


def _several(keys: Iterable[Hashable]) -> list[list[int]]:
    """Positions that share a key with others, by their first."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        found[key].append(i)
    return [members for members in found.values() if len(members) > 1]


def _case(inputs: AuditInputs, members: list[int], **figures: str) -> Evidence:
    examples = [inputs.dataset.examples[i] for i in members]
    if isinstance(examples[0], Example):
        same_bytes = len({example.file_hash for example in examples}) == 1
        figures = {"same": "bytes" if same_bytes else "pixels", **figures}
    return Evidence(tuple(example.path for example in examples), figures)


def _lowest_correlations(duplicates: NearDuplicates) -> np.ndarray:
    """float32, shape (n_examples,): of the pairs of each group, by the group's number."""
    lowest = np.ones(len(duplicates.groups), np.float32)
    ties = duplicates.ties
    np.minimum.at(lowest, duplicates.groups[ties.pairs[:, 0]], ties.likeness)
    return lowest


def _near_case(inputs: AuditInputs, members: list[int], lowest: np.ndarray) -> Evidence:
    paths = tuple(inputs.path(i) for i in inputs.kept_first(members))
    if inputs.measurements is None:
        return Evidence(paths)
    group = inputs.duplicates.groups[members[0]]
    return Evidence(paths, {"correlation": round(float(lowest[group]), 4)})


def _review(inputs: AuditInputs, groups: list[list[int]], problem: str) -> tuple[Fix, ...]:
    ordered = [inputs.kept_first(members) for members in groups]
    return tuple(
        Fix(inputs.path(i), f"{problem}: {inputs.path(first)}", "review")
        for first, *others in ordered
        for i in others
    )
