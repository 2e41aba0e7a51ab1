"""The section on the data's faults: what the audit found, the worst first."""

from __future__ import annotations

from collections import Counter

from tl_app.findings import SEVERITIES, Evidence
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render

MOST_CASES = 12
"""Of a finding; fixes.csv in the run's folder has them all."""

SEVERITY_WORDS = {"fail": "fail", "warn": "look at", "note": "note"}


def audit(contents: ReportContents) -> Fragment | None:
    """Findings with their advice and first cases; None of a run without an audit."""
    found = contents.audit
    if found is None:
        return None
    counts = Counter(finding.severity for finding in found.findings)
    body = render(
        "audit.html",
        findings=[
            {
                "finding": finding,
                "word": SEVERITY_WORDS[finding.severity],
                "cases": [_words(case) for case in finding.evidence[:MOST_CASES]],
                "n_more": max(len(finding.evidence) - MOST_CASES, 0),
            }
            for finding in found.findings
        ],
        counts=[(counts[s], SEVERITY_WORDS[s]) for s in SEVERITIES if counts[s]],
        not_run=found.not_run,
        has_fixes=any(finding.fixes for finding in found.findings),
    )
    return Fragment("audit", "Faults of the data", body)


def _words(case: Evidence) -> tuple[tuple[str, ...], str]:
    figures = (f"{name.replace('_', ' ')} {value}" for name, value in case.figures.items())
    return case.paths[:3], ", ".join(figures)
