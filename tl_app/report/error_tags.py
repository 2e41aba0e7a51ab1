"""Why an example may have been told wrongly, as far as the audit knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tl_app.audit.quality import RULES
from tl_app.findings import Audit

SUSPECT, POOR, UNLIKE, HARD = "label suspect", "poor picture", "unlike the training data", "hard"
TAGS = (SUSPECT, POOR, UNLIKE, HARD)
"""The first that applies is taken."""

KINDS = {
    "wrong_label": SUSPECT,
    "conflicting_labels": SUSPECT,
    "near_copies_under_several_labels": SUSPECT,
    **{rule.kind: POOR for rule in RULES},
    "outlier": UNLIKE,
}
"""Kinds of findings, and what they make of an error."""


def error_tags(audit: Audit | None, paths: Iterable[str]) -> dict[str, str]:
    """Path -> its tag; empty where nobody looked at the data."""
    if audit is None:
        return {}
    known: dict[str, str] = {}
    for finding in audit.findings:
        tag = KINDS.get(finding.kind)
        if tag is None:
            continue
        named = [path for case in finding.evidence for path in case.paths]
        for path in [*named, *(fix.path for fix in finding.fixes)]:
            known[path] = min(known.get(path, HARD), tag, key=TAGS.index)
    return {path: known.get(path, HARD) for path in paths}


def counts(tags: Iterable[str]) -> list[tuple[str, int]]:
    """How many errors have each tag, in the order of `TAGS`."""
    n = Counter(tags)
    return [(tag, n[tag]) for tag in TAGS if n[tag]]
