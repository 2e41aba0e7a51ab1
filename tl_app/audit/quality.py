"""Poor pictures: dark, bright, flat, blurred, tiny, of odd shape, with little on them.

A rule is one row. Limits are absolute, so that a set of poor pictures does not hide that it is
one; they were set so that fewer than one in a hundred of 1,399 ordinary photographs trips each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_app.audit.inputs import AuditInputs
from tl_app.audit.measure import Measurements
from tl_app.data.listing import counted
from tl_app.findings import Evidence, Finding, Fix
from tl_app.records import Example

MANY_SHARE = 0.05
"""From here on a rule's pictures are a trait of the set, and worth a warning."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to be poor.

    Attributes:
        kind: of the finding.
        figure: name of the measured figure.
        limit: beyond which a picture is poor.
        is_low: whether poor is below the limit.
        words: "is ..." of a picture, for people.
        advice: what to do.
    """

    kind: str
    figure: str
    limit: float
    is_low: bool
    words: str
    advice: str


RULES: tuple[Rule, ...] = (
    Rule("dark", "brightness", 35.0, True, "very dark", "Look whether anything can be seen."),
    Rule("bright", "brightness", 225.0, False, "very bright", "Look whether anything can be seen."),
    Rule("flat", "contrast", 18.0, True, "almost without contrast", "Look what is on them."),
    Rule(
        "blurred",
        "sharpness",
        0.004,
        True,
        "blurred",
        "Keep them only where pictures in use will be blurred, too.",
    ),
    Rule(
        "little_information",
        "entropy",
        4.0,
        True,
        "almost of one colour",
        "Look whether they are blank pages or placeholders.",
    ),
    Rule(
        "tiny",
        "shorter_side_px",
        64.0,
        True,
        "tiny",
        "Bring larger ones: they are blown up before the network sees them.",
    ),
    Rule(
        "odd_shape",
        "aspect",
        3.0,
        False,
        "over three times as long as wide",
        "See what data.aspect (crop, pad, squash) makes of them.",
    ),
)


def poor_pictures(inputs: AuditInputs) -> list[Finding]:
    """One finding a rule that some pictures break."""
    figures = picture_figures(inputs)
    findings = []
    for rule in RULES:
        values = figures[rule.figure]
        beyond = values < rule.limit if rule.is_low else values > rule.limit
        poor = np.flatnonzero(beyond)  # unmeasured figures are NaN, which is beyond nothing
        if not len(poor):
            continue
        poor = poor[np.argsort(values[poor] if rule.is_low else -values[poor], kind="stable")]
        many = len(poor) >= MANY_SHARE * len(values)
        findings.append(
            Finding(
                kind=rule.kind,
                severity="warn" if many else "note",
                title=f"{counted(len(poor), 'picture is', 'pictures are')} {rule.words}.",
                advice=rule.advice,
                evidence=tuple(
                    Evidence(
                        (inputs.path(i),),
                        {rule.figure: round(float(values[i]), 4), "limit": rule.limit},
                    )
                    for i in poor.tolist()
                ),
                fixes=tuple(Fix(inputs.path(i), rule.words, "review") for i in poor.tolist()),
            )
        )
    return findings


def picture_figures(inputs: AuditInputs) -> dict[str, np.ndarray]:
    """`figures_of` the audited pictures."""
    return figures_of(inputs.dataset.examples, inputs.required("measurements"))


def figures_of(examples: Sequence[Example], measurements: Measurements) -> dict[str, np.ndarray]:
    """float64, shape (n_examples,), by name; NaN where a picture could not be measured."""
    figures = {
        name: np.where(measurements.known, measurements.rows[name].astype(np.float64), np.nan)
        for name in ("brightness", "contrast", "sharpness", "entropy")
    }
    width = np.array([example.width_px for example in examples], dtype=np.float64)
    height = np.array([example.height_px for example in examples], dtype=np.float64)
    n_bytes = np.array([example.n_bytes for example in examples], dtype=np.float64)
    return {
        **figures,
        "width_px": width,
        "height_px": height,
        "shorter_side_px": np.minimum(width, height),
        "aspect": np.maximum(width, height) / np.minimum(width, height),
        "width_by_height": width / height,
        "bytes_per_pixel": n_bytes / (width * height),
    }
