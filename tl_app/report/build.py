"""The report: one HTML page that needs nothing else, no network.

A section is one function from `ReportContents` to a `Fragment`, or None where it has nothing
to say; `SECTIONS` lists them in their order on the page.
"""

from __future__ import annotations

from collections.abc import Callable

from tl_app import __version__
from tl_app.report import (
    audit_section,
    confusion_section,
    data_sections,
    error_section,
    format_section,
    model_sections,
    probe_sections,
    result_sections,
    slice_section,
    trust_sections,
)
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render, script, script_hash, style_sheet

__all__ = ["SECTIONS", "Fragment", "ReportContents", "render_report"]

Section = Callable[[ReportContents], Fragment | None]

SECTIONS: tuple[Section, ...] = (
    result_sections.verdict_strip,
    probe_sections.cross_validation,
    result_sections.headline,
    probe_sections.rivals,
    model_sections.learning,
    probe_sections.by_size,
    confusion_section.confusion,
    result_sections.per_class,
    error_section.worst_errors,
    slice_section.slices,
    trust_sections.calibration,
    trust_sections.automation,
    audit_section.audit,
    data_sections.data,
    data_sections.set_aside,
    model_sections.cost,
    format_section.small_formats,
    model_sections.training,
    model_sections.reproduce,
)


def render_report(contents: ReportContents) -> str:
    """The whole page as text; the same contents give the same text.

    Everything from outside (class names, paths, configuration) is escaped. The page forbids
    itself requests, and all scripts but its own, by its Content-Security-Policy.
    """
    fragments = [fragment for section in SECTIONS if (fragment := section(contents)) is not None]
    return str(
        render(
            "page.html",
            contents=contents,
            fragments=fragments,
            style=style_sheet(),
            script=script(),
            script_hash=script_hash(),
            version=__version__,
        )
    )
