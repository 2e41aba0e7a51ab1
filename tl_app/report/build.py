"""The report: one HTML page that needs nothing else, no network, no script.

A section is one function from `ReportContents` to a `Fragment`, or None where it has nothing
to say; `SECTIONS` lists them in their order on the page.
"""

from __future__ import annotations

from collections.abc import Callable

from tl_app import __version__
from tl_app.report import (
    audit_section,
    data_sections,
    model_sections,
    probe_sections,
    result_sections,
    trust_sections,
)
from tl_app.report.contents import Fragment, ReportContents
from tl_app.report.page import render, style_sheet

__all__ = ["SECTIONS", "Fragment", "ReportContents", "render_report"]

Section = Callable[[ReportContents], Fragment | None]

SECTIONS: tuple[Section, ...] = (
    result_sections.verdict_strip,
    probe_sections.cross_validation,
    result_sections.headline,
    probe_sections.rivals,
    result_sections.per_class,
    result_sections.confusion,
    result_sections.worst_errors,
    result_sections.slices,
    trust_sections.calibration,
    trust_sections.automation,
    model_sections.learning,
    probe_sections.by_size,
    model_sections.training,
    data_sections.data,
    audit_section.audit,
    data_sections.set_aside,
    model_sections.cost,
    model_sections.reproduce,
)


def render_report(contents: ReportContents) -> str:
    """The whole page as text; the same contents give the same text.

    Everything from outside (class names, paths, configuration) is escaped. The page forbids
    itself scripts and requests by its Content-Security-Policy.
    """
    fragments = [fragment for section in SECTIONS if (fragment := section(contents)) is not None]
    return str(
        render(
            "page.html",
            contents=contents,
            fragments=fragments,
            style=style_sheet(),
            version=__version__,
        )
    )
