"""The section on the data's faults."""

from __future__ import annotations

from tl_app.findings import Audit, Evidence, Finding, Fix, NotRun
from tl_app.report.audit_section import audit
from tl_app.report.build import render_report

HOSTILE = "dog/<script>alert(1)</script>\n\u202e.jpg"


def test_findings_are_shown_with_hostile_names_as_text(make_contents):
    cases = tuple(Evidence((f"cat/{i}.jpg", HOSTILE), {"same": "bytes"}) for i in range(30))
    found = Audit(
        "/x",
        "x",
        "image",
        40,
        (
            Finding("copies", "fail", f"{HOSTILE} is a copy.", "Keep one.", cases, (
                Fix(HOSTILE, "a copy", "quarantine"),
            )),
            Finding("small_class", "note", "A class is small.", "Bring more."),
        ),
        (NotRun("outliers", "there are too few"),),
    )  # fmt: skip
    page = render_report(make_contents(audit=found))
    assert "Faults of the data" in page
    assert "1 fail, 1 note." in page
    assert "30 cases" in page
    assert "and 18 more" in page
    assert "outliers: there are too few" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_nothing_found_and_nobody_looked(make_contents):
    fragment = audit(make_contents(audit=Audit("/x", "x", "image", 40)))
    assert fragment is not None
    assert "Nothing was found" in fragment.body
    assert audit(make_contents()) is None
