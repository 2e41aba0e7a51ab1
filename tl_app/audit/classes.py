"""Classes too small or too unequal, and files that cannot be used."""

from __future__ import annotations

import numpy as np

from tl_app.audit.inputs import AuditInputs
from tl_app.data.checking import counts_by_kind
from tl_app.data.listing import counted, named
from tl_app.findings import Evidence, Finding, Fix

FEW_EXAMPLES = 30
"""Split 80/10/10, a smaller class is tested on three examples at most."""

UNEQUAL = 10.0
"""The largest class by the smallest: from here on accuracy hides what happens to the small one."""


def class_sizes(inputs: AuditInputs) -> list[Finding]:
    """By the number of different examples: copies teach nothing."""
    names, labels = inputs.dataset.class_names, inputs.dataset.labels
    groups = inputs.duplicates.groups
    counts = [len(np.unique(groups[labels == label])) for label in range(len(names))]
    order = sorted(range(len(names)), key=lambda label: counts[label])
    noun = inputs.wording.noun
    findings = []
    few = [label for label in order if counts[label] < FEW_EXAMPLES]
    if few:
        findings.append(
            Finding(
                kind="small_class",
                severity="warn",
                title=f"{counted(len(few), 'class has', 'classes have')} fewer than "
                f"{FEW_EXAMPLES} different {noun}s: {named([names[i] for i in few], n=5)}.",
                advice=f"Bring more {noun}s of them, or merge them with classes like them.",
                evidence=tuple(_size(names[label], counts[label]) for label in few),
            )
        )
    smallest, largest = order[0], order[-1]
    ratio = counts[largest] / max(counts[smallest], 1)
    if ratio >= UNEQUAL:
        findings.append(
            Finding(
                kind="unequal_classes",
                severity="warn",
                title=f"The largest class has {ratio:,.0f} times as many {noun}s as the smallest.",
                advice="Judge by macro-F1 and the table by class rather than by accuracy; bring "
                f"more {noun}s of the small classes.",
                evidence=tuple(_size(names[label], counts[label]) for label in (largest, smallest)),
            )
        )
    return findings


def _size(name: str, n_examples: int) -> Evidence:
    return Evidence((), {"class": name, "n_examples": n_examples})


def unusable(inputs: AuditInputs) -> list[Finding]:
    """What the scan set aside."""
    entries = inputs.dataset.set_aside
    if not entries:
        return []
    return [
        Finding(
            kind="unusable",
            severity="note",
            title=f"{counted(len(entries), 'file or line', 'files or lines')} cannot be used: "
            f"{counts_by_kind(entries)}.",
            advice="Copy or export them again, or take them away; training passes them over.",
            evidence=tuple(Evidence((e.path,), {"why": e.reason}) for e in entries),
            fixes=tuple(Fix(e.path, e.reason, "review") for e in entries),
        )
    ]
