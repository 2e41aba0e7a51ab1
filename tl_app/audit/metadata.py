"""Metadata that should not leave the house: counted and listed by kind, never shown."""

from __future__ import annotations

import numpy as np

from tl_app.audit.inputs import AuditInputs
from tl_app.audit.private import PRIVATE, names_of
from tl_app.data.listing import counted
from tl_app.findings import Evidence, Finding, Fix

HARMLESS = ("maker's notes",)
"""May hold a serial number, in a form that only the maker reads."""


def private_metadata(inputs: AuditInputs) -> list[Finding]:
    """Positions, serial numbers and names in EXIF, XMP, IPTC and notes."""
    bits = inputs.required("measurements").rows["private"].astype(np.int64)
    telling = np.flatnonzero(bits)
    if not len(telling):
        return []
    counts = {name: int((bits >> i & 1).sum()) for i, name in enumerate(PRIVATE)}
    listed = ", ".join(f"{name} {n:,}" for name, n in counts.items() if n)
    grave = any(n for name, n in counts.items() if name not in HARMLESS)
    said = {i: ", ".join(names_of(int(bits[i]))) for i in telling.tolist()}
    return [
        Finding(
            kind="private_metadata",
            severity="warn" if grave else "note",
            title=f"{counted(len(telling), 'picture carries', 'pictures carry')} metadata about "
            f"people or places: {listed}.",
            advice="Before they leave the house, write cleaned copies with tl-app audit FOLDER "
            "--strip DIR; the pixels stay as they are.",
            evidence=tuple(Evidence((inputs.path(i),), {"holds": said[i]}) for i in said),
            fixes=tuple(Fix(inputs.path(i), f"holds {said[i]}", "review") for i in said),
        )
    ]
