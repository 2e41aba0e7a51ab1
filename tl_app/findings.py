"""What an audit of the data has to say, as frozen records that are also JSON.

`tl_app.audit` makes them; a run keeps them, and the command line and the report show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tl_app.records import Modality

Severity = Literal["fail", "warn", "note"]
SEVERITIES: tuple[Severity, ...] = ("fail", "warn", "note")
"""The worst first: figures that cannot be believed, data to look at, things worth knowing."""

Action = Literal["quarantine", "review"]
ACTIONS: tuple[Action, ...] = ("quarantine", "review")
"""`quarantine` is carried out by `tl-app audit --apply`; `review` is left to a person."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One case of a finding.

    Attributes:
        paths: examples that belong together in it (copies of one picture, say), or none where
            the case is about all of the data.
        figures: what was measured of it, by name.
    """

    paths: tuple[str, ...] = ()
    figures: Mapping[str, float | int | str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"paths": list(self.paths), "figures": dict(self.figures)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evidence:
        return cls(tuple(values["paths"]), dict(values["figures"]))


@dataclass(frozen=True, slots=True)
class Fix:
    """What is proposed for one example.

    Attributes:
        path: as in the Dataset.
        problem: for people, in a few words.
        action: see `ACTIONS`.
    """

    path: str
    problem: str
    action: Action

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fix:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        kind: a word for programs, such as "wrong_label".
        severity: see `SEVERITIES`.
        title: one sentence, what was found.
        advice: what to do about it.
        evidence: the cases, the most telling first.
        fixes: proposed, one an example.
    """

    kind: str
    severity: Severity
    title: str
    advice: str
    evidence: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity,
            "title": self.title,
            "advice": self.advice,
            "evidence": [case.to_dict() for case in self.evidence],
            "fixes": [fix.to_dict() for fix in self.fixes],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        return cls(
            kind=values["kind"],
            severity=values["severity"],
            title=values["title"],
            advice=values["advice"],
            evidence=tuple(map(Evidence.from_dict, values["evidence"])),
            fixes=tuple(map(Fix.from_dict, values["fixes"])),
        )


@dataclass(frozen=True, slots=True)
class NotRun:
    """A check that could not be made, and why."""

    check: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NotRun:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings about one data set, the worst first.

    Attributes:
        root: folder that the paths are relative to.
        source: what the user named.
        modality: of the examples.
        n_examples: that were looked at.
        findings: of all checks.
        not_run: checks that could not be made.
    """

    root: str
    source: str
    modality: Modality
    n_examples: int
    findings: tuple[Finding, ...] = ()
    not_run: tuple[NotRun, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "source": self.source,
            "modality": self.modality,
            "n_examples": self.n_examples,
            "findings": [finding.to_dict() for finding in self.findings],
            "not_run": [check.to_dict() for check in self.not_run],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Audit:
        return cls(
            root=values["root"],
            source=values["source"],
            modality=values["modality"],
            n_examples=values["n_examples"],
            findings=tuple(map(Finding.from_dict, values["findings"])),
            not_run=tuple(map(NotRun.from_dict, values["not_run"])),
        )


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by severity, otherwise in their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
