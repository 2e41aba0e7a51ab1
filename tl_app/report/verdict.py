"""The verdict at the top of the page: can it be used, and what to do first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tl_app.evaluation.scoring import format_figure
from tl_app.evaluation.worst import wrong_rows
from tl_app.report.contents import ReportContents
from tl_app.report.probe_sections import size_sentence
from tl_app.report.text import shorten

Status = Literal["fail", "warn", "pass"]

WIDE = 0.1
"""An interval of the accuracy that is wider tells little."""

MOST_ACTIONS = 3

FIT_ADVICE = {
    "overfitting": "Bring more training {nouns}, or train less: it knows its own {nouns} much "
    "better than others.",
    "underfitting": "Unfreeze more blocks, train longer or take a larger backbone: it does not "
    "even know its own {nouns}.",
    "too_short": "Train longer: the validation loss was still falling.",
    "unstable": "Lower the learning rate: the validation loss jumps.",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One reason for the verdict, and what to do about it.

    Attributes:
        status: "fail" or "warn".
        reason: one sentence.
        action: one sentence; empty where there is nothing to do.
    """

    status: Status
    reason: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the figures allow to use the model.

    Attributes:
        status: the worst of the remarks; "pass" without any.
        remarks: the worst first.
        actions: the first few that are to be done.
        not_run: (check, why) of what nobody looked at.
    """

    status: Status
    remarks: tuple[Remark, ...]
    actions: tuple[str, ...]
    not_run: tuple[tuple[str, str], ...]


def verdict(contents: ReportContents) -> Verdict:
    """From the figures, the learning curves and the audit."""
    remarks = [
        *_on_the_gate(contents),
        *_on_the_figures(contents),
        *_on_the_data(contents),
        *_on_the_fit(contents),
        *_on_parts(contents),
        *_on_size(contents),
    ]
    remarks.sort(key=lambda remark: remark.status != "fail")
    actions = list(dict.fromkeys(remark.action for remark in remarks if remark.action))
    return Verdict(
        status=remarks[0].status if remarks else "pass",
        remarks=tuple(remarks),
        actions=tuple(actions[:MOST_ACTIONS]),
        not_run=_not_run(contents),
    )


def _on_the_gate(contents: ReportContents) -> list[Remark]:
    least = contents.config.get("min_accuracy")
    accuracy = contents.evaluation.headline["accuracy"]
    if least is None:
        return []
    low = accuracy.value if accuracy.low is None else accuracy.low
    if low >= least:
        return []
    gate = format_figure(least, "percent")
    reason = (
        f"The accuracy is {format_figure(accuracy.value, 'percent')}, and may be as low as "
        f"{format_figure(low, 'percent')}; the gate is {gate}."
    )
    action = "Mend the data or the model; where only the doubt is too large, test on more."
    return [Remark("fail", reason, action)]


def _on_the_figures(contents: ReportContents) -> list[Remark]:
    evaluation, nouns = contents.evaluation, contents.wording.nouns
    accuracy = evaluation.headline["accuracy"]
    remarks = []
    if accuracy.low is not None and accuracy.low <= evaluation.baseline["accuracy"]:
        remarks.append(
            Remark(
                "fail",
                "It is not clearly better than always answering the most common class.",
                f"See the worst errors: wrong labels, classes that overlap, {nouns} that do not "
                "show what is asked.",
            )
        )
    if evaluation.side != "test":
        remarks.append(
            Remark(
                "warn",
                f"Nothing was tested on {nouns} that had no say in the weights.",
                "Train without --no-test, or evaluate on other labelled examples.",
            )
        )
    elif accuracy.low is not None and accuracy.high is not None:
        width = accuracy.high - accuracy.low
        if width > WIDE and not (contents.probes and contents.probes.leads):
            remarks.append(
                Remark(
                    "warn",
                    f"The accuracy is known to {100 * width:.0f} points only: the test part is "
                    "small.",
                    f"Test on more {nouns}, or cross-validate (--cv 5).",
                )
            )
    if evaluation.n_leaked:
        remarks.append(
            Remark(
                "warn",
                f"{evaluation.n_leaked:,} of the tested {nouns} have a copy on the side of "
                "training.",
                "Take the copies out, or let tl-app split.",
            )
        )
    return remarks


def _on_the_data(contents: ReportContents) -> list[Remark]:
    if contents.audit is None:
        return []
    return [
        # The advice speaks of what the title names, and stands by itself among the actions.
        Remark(finding.severity, finding.title, f"{finding.title} {finding.advice}")
        for finding in contents.audit.findings
        if finding.severity in ("fail", "warn")
    ]


def _on_the_fit(contents: ReportContents) -> list[Remark]:
    advice = FIT_ADVICE.get(contents.verdict.kind)
    if advice is None:
        return []
    action = advice.format(nouns=contents.wording.nouns)
    return [Remark("warn", contents.verdict.sentence, action)]


def _on_parts(contents: ReportContents) -> list[Remark]:
    """The part of the evaluated side that is worst beyond chance."""
    worse = [
        (part.accuracy.value, trait.title, part.name)
        for trait in contents.slices
        for part in trait.slices
        if part.verdict == "worse"
    ]
    if not worse:
        return []
    accuracy, trait, name = min(worse)
    whole = contents.evaluation.headline["accuracy"].value
    nouns = contents.wording.nouns
    return [
        Remark(
            "warn",
            f"It does worse on a part of the {nouns} (by {trait}: {shorten(name, 60)}): "
            f"{format_figure(accuracy, 'percent')} against {format_figure(whole, 'percent')}.",
            f"Look at this part under Slices, and bring more {nouns} like it.",
        )
    ]


def _on_size(contents: ReportContents) -> list[Remark]:
    """Only an action: a model that more examples would improve is not the worse for it."""
    probes = contents.probes
    if probes is None or probes.by_size is None or probes.by_size.verdict != "more":
        return []
    nouns = contents.wording.nouns
    return [Remark("warn", size_sentence(probes, nouns), f"Bring more labelled {nouns}.")]


def _not_run(contents: ReportContents) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    if contents.audit is None:
        found.append(("the audit of the data", "this run was made without"))
    else:
        found += [(check.check, check.why) for check in contents.audit.not_run]
    if contents.probes is None:
        found.append(("cross-validation and plainer models", "this run was made without"))
    else:
        found += list(contents.probes.not_run.items())
    if contents.trust is None:
        found.append(("calibration", "this run was made without"))
    else:
        if contents.trust.calibration.method == "none":
            found.append(("calibration", contents.trust.calibration.reason))
        found += list(contents.trust.not_run.items())
    if not any(trait.slices for trait in contents.slices):
        found.append(("slices", "this run was made without, or too few were evaluated"))
    if contents.has_pictures and contents.heat is None and _has_wrong_pictures(contents):
        found.append(("heat maps", "this run was made without"))
    return tuple(found)


def _has_wrong_pictures(contents: ReportContents) -> bool:
    return contents.dataset.modality == "image" and len(wrong_rows(contents.predictions)) > 0
