"""Every check, as data; a new one is one function and one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tl_app.audit import (
    classes,
    copies,
    labels,
    leakage,
    metadata,
    outliers,
    patches,
    quality,
    shortcuts,
)
from tl_app.audit.inputs import AuditInputs, CheckNotRun
from tl_app.data.listing import counted
from tl_app.findings import Audit, Finding, NotRun, worst_first
from tl_app.records import Modality


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: what people call it.
        run: a pure function; raises CheckNotRun where the data do not allow it.
        needs: fields of `AuditInputs` that it cannot do without.
        modalities: that it applies to.
    """

    name: str
    run: Callable[[AuditInputs], list[Finding]]
    needs: tuple[str, ...] = ()
    modalities: tuple[Modality, ...] = ("image", "text")


_PICTURES: tuple[Modality, ...] = ("image",)
_TEXTS: tuple[Modality, ...] = ("text",)

CHECKS: tuple[Check, ...] = (
    Check("leakage between sides", leakage.leakage),
    Check("copies under several labels", copies.conflicting_labels),
    Check("exact copies", copies.exact_copies),
    Check("near copies", copies.near_copies, ("measurements",), _PICTURES),
    Check("texts of the same words", copies.near_copies, modalities=_TEXTS),
    Check("likely wrong labels", labels.wrong_labels, ("probabilities",)),
    Check("shortcuts by facts of the file", shortcuts.shortcuts, ("measurements",), _PICTURES),
    Check("shortcuts by a patch", patches.patches, ("measurements",), _PICTURES),
    Check("private metadata", metadata.private_metadata, ("measurements",), _PICTURES),
    Check("classes", classes.class_sizes),
    Check("poor pictures", quality.poor_pictures, ("measurements",), _PICTURES),
    Check("outliers", outliers.outliers, ("features",)),
    Check("files that cannot be used", classes.unusable),
)


def checks_of(modality: Modality) -> tuple[Check, ...]:
    """Those that apply to pictures, or to texts."""
    return tuple(check for check in CHECKS if modality in check.modalities)


def run_checks(inputs: AuditInputs, done: Callable[[], object] = lambda: None) -> Audit:
    """All checks that apply to the data; what could not be looked at is told.

    Args:
        inputs: the data, and what was measured of them.
        done: is called after each check.
    """
    dataset = inputs.dataset
    findings: list[Finding] = []
    not_run: list[NotRun] = []
    if inputs.measurements is not None and not inputs.measurements.known.all():
        unknown = counted(int((~inputs.measurements.known).sum()), "picture")
        not_run.append(
            NotRun(f"measuring {unknown}", "Pillow cannot read them, or they changed meanwhile")
        )
    for check in checks_of(dataset.modality):
        try:
            for name in check.needs:
                inputs.required(name)
            findings += check.run(inputs)
        except CheckNotRun as reason:
            not_run.append(NotRun(check.name, str(reason)))
        except (ArithmeticError, ValueError, MemoryError) as error:
            # A look at the data must not end the training that asked for it; it is told.
            not_run.append(NotRun(check.name, f"it failed: {type(error).__name__}: {error}"))
        done()
    return Audit(
        root=dataset.root,
        source=dataset.source,
        modality=dataset.modality,
        n_examples=len(dataset.examples),
        findings=worst_first(findings),
        not_run=tuple(not_run),
    )
