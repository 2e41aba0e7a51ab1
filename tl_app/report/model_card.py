"""A model card: what the model is, what it was made of and how far it goes, in Markdown.

Its headings are those of Mitchell et al., 2019, "Model Cards for Model Reporting". What only people
know (who is to use it, and for what) is left to them.
"""

from __future__ import annotations

import re

from tl_app.evaluation.scoring import text_summary
from tl_app.records import SIDES
from tl_app.report.contents import ReportContents
from tl_app.report.model_sections import reproduction_facts
from tl_app.report.probe_sections import size_sentence
from tl_app.report.text import visible
from tl_app.report.training_text import phase_facts
from tl_app.report.trust_sections import automation_sentence, calibration_sentence
from tl_app.report.verdict import verdict

_SPECIAL = re.compile(r"([\\`*_\[\]#!|~>$])")
TO_FILL_IN = "*To be filled in by whoever puts the model to use.*"
MOST_CLASSES = 100


def escaped(value: object) -> str:
    """Text that Markdown shows as it is: no mark-up, no HTML, on one line."""
    plain = visible(value).replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(r"\\\1", plain)


def render_card(contents: ReportContents, *, licence: str) -> str:
    """The card as Markdown; every name from outside shows as text.

    Args:
        contents: as for the report.
        licence: of the backbone's weights.
    """
    wording, dataset = contents.wording, contents.dataset
    found = verdict(contents)
    lines = [
        f"# Model card: {escaped(contents.run_name)}",
        "",
        f"**Verdict: {found.status}.** " + " ".join(escaped(r.reason) for r in found.remarks),
        "",
        "## Model",
        "",
        f"- classifies {wording.nouns} into {len(dataset.class_names):,} classes: "
        + ", ".join(escaped(name) for name in dataset.class_names[:MOST_CLASSES])
        + (", ..." if len(dataset.class_names) > MOST_CLASSES else ""),
        f"- licence of the backbone's weights: {escaped(licence)}",
        *(f"- {key}: {escaped(value)}" for key, value in reproduction_facts(contents)),
        "",
        "## Intended use",
        "",
        TO_FILL_IN,
        "",
        "## Data",
        "",
        f"- source: {escaped(dataset.source)}",
        f"- {len(dataset.examples):,} {wording.nouns}: "
        + ", ".join(f"{len(contents.split.indices(side)):,} {side}" for side in SIDES),
        f"- {len(dataset.set_aside):,} set aside",
        *_findings(contents),
        "",
        "## Training",
        "",
        *_phases(contents),
        "",
        "## Figures",
        "",
        f"On {contents.evaluation.n_examples:,} {wording.nouns} of the "
        f"{contents.evaluation.side or 'evaluated'} part:",
        "",
        "| figure | value | 95 % interval | baseline |",
        "|---|---|---|---|",
        *(
            f"| {row.title} | {row.value} | {row.interval} | {row.baseline} |"
            for row in text_summary(contents.evaluation)
        ),
        "",
        *_cross_validated(contents),
        *_trust(contents),
        "## Limits",
        "",
        *(f"- {escaped(note)}" for note in contents.evaluation.notes),
        *_on_size(contents),
        *(f"- not looked at: {escaped(check)} ({escaped(why)})" for check, why in found.not_run),
        "",
        "## Ethical considerations",
        "",
        TO_FILL_IN,
        "",
    ]
    return "\n".join(lines)


def _findings(contents: ReportContents) -> list[str]:
    if contents.audit is None:
        return ["- the data were not audited"]
    return [f"- {f.severity}: {escaped(f.title)}" for f in contents.audit.findings]


def _phases(contents: ReportContents) -> list[str]:
    found = []
    for phase in contents.config.get("phases", ()):
        facts = "; ".join(phase_facts(phase, contents.config))
        found.append(f"- phase {escaped(phase.get('name', ''))}: {escaped(facts)}")
    return found


def _cross_validated(contents: ReportContents) -> list[str]:
    probes = contents.probes
    if probes is None or probes.cross_validation is None:
        return []
    found = probes.cross_validation
    told = "; ".join(
        f"{row.title} {row.value} ({row.interval})" for row in text_summary(found.evaluation)
    )
    return [
        f"The linear head on the frozen backbone, cross-validated in {len(found.folds)} folds on "
        f"{found.evaluation.n_examples:,} {contents.wording.nouns}: {escaped(told)}.",
        "",
    ]


def _trust(contents: ReportContents) -> list[str]:
    trust = contents.trust
    if trust is None:
        return []
    nouns = contents.wording.nouns
    return [
        escaped(calibration_sentence(trust, nouns)),
        "",
        escaped(automation_sentence(trust, nouns)),
        "",
    ]


def _on_size(contents: ReportContents) -> list[str]:
    if contents.probes is None or contents.probes.by_size is None:
        return []
    return [f"- {escaped(size_sentence(contents.probes, contents.wording.nouns))}"]
