"""The verdict, the tags of errors and the model card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.test_probe_sections import probes_of
from tests.report.test_trust_sections import trust_of
from tl_app.evaluation.calibration import Calibration
from tl_app.evaluation.learning import FitVerdict
from tl_app.evaluation.slices import Slice, SlicedTrait
from tl_app.explain.heat import HeatMaps
from tl_app.findings import Audit, Evidence, Finding, Fix, NotRun
from tl_app.records import Interval
from tl_app.report.build import render_report
from tl_app.report.error_tags import HARD, POOR, SUSPECT, UNLIKE, counts, error_tags
from tl_app.report.model_card import TO_FILL_IN, escaped, render_card
from tl_app.report.verdict import MOST_ACTIONS, verdict

GOOD = FitVerdict("good", "A sound fit.")


def audit_of(*findings: Finding, not_run: tuple[NotRun, ...] = ()) -> Audit:
    return Audit("/d", "d", "image", 10, tuple(findings), not_run)


def finding(kind: str, severity: str, *paths: str) -> Finding:
    return Finding(
        kind,
        severity,  # type: ignore[arg-type]
        f"{kind} found.",
        f"Mend {kind}.",
        tuple(Evidence((path,)) for path in paths),
    )


@pytest.fixture
def sound(make_contents):
    """A run of which nothing bad is known."""
    contents = make_contents(n_test=400, accuracy=0.98, verdict=GOOD)
    return replace(
        contents,
        audit=audit_of(),
        trust=trust_of(contents, Calibration(1.0, "held_apart", 70)),
        probes=probes_of(contents.dataset, by_size=None),
    )


def test_nothing_bad_is_a_pass(sound):
    found = verdict(sound)
    assert (found.status, found.remarks, found.actions) == ("pass", (), ())
    assert 'class="badge good">Pass' in render_report(sound)


def test_the_worst_stands_first_and_three_actions_at_most(sound):
    audit = audit_of(
        *(finding(f"odd{i}", "warn") for i in range(4)),
        finding("leakage", "fail"),
        finding("small", "note"),
        not_run=(NotRun("outliers", "there are <few>"),),
    )
    found = verdict(replace(sound, audit=audit))
    assert found.status == "fail"
    assert found.remarks[0].reason == "leakage found."
    assert len(found.remarks) == 5  # a note is no reason
    assert found.actions[0] == "leakage found. Mend leakage."
    assert len(found.actions) == MOST_ACTIONS
    assert ("outliers", "there are <few>") in found.not_run
    page = render_report(replace(sound, audit=audit))
    assert "Not to be used as it is." in page
    assert "there are &lt;few&gt;" in page


def test_the_part_that_does_worst_is_named(sound):
    low, high = Interval(0.71, 0.5, 0.8), Interval(0.6, 0.4, 0.7)
    parts = (
        Slice("dark", 40, low, 0.001, "worse"),
        Slice("<darker>", 40, high, 0.0001, "worse"),
        Slice("bright", 40, low, 0.001, "better"),
    )
    found = verdict(replace(sound, slices=(SlicedTrait("brightness", parts),)))
    assert found.status == "warn"
    [remark] = found.remarks
    assert "by brightness: <darker>" in remark.reason
    assert "60.0" in remark.reason
    page = render_report(replace(sound, slices=(SlicedTrait("brightness", parts),)))
    assert "by brightness: &lt;darker&gt;" in page


def test_looks_that_were_not_taken_are_told(sound):
    names = {name for name, _ in verdict(sound).not_run}
    assert {"slices", "heat maps"} <= names
    known = replace(
        sound,
        slices=(SlicedTrait("brightness", (Slice("dark", 9, Interval(1, 0.7, 1), 1.0),)),),
        heat=HeatMaps("grad_cam", {}, None),
    )
    assert not {"slices", "heat maps"} & {name for name, _ in verdict(known).not_run}


def test_the_gate_goes_by_the_lower_limit(sound):
    low, value = (
        sound.evaluation.headline["accuracy"].low,
        sound.evaluation.headline["accuracy"].value,
    )
    between = (low + value) / 2
    gated = replace(sound, config={**sound.config, "min_accuracy": between})
    assert verdict(gated).status == "fail"
    passed = replace(sound, config={**sound.config, "min_accuracy": low - 0.01})
    assert verdict(passed).status == "pass"


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"accuracy": 0.2, "n_test": 60}, "fail", "not clearly better"),
        ({"accuracy": 0.9, "n_test": 30}, "warn", "points only"),
        ({"verdict": FitVerdict("overfitting", "It overfits.")}, "warn", "It overfits."),
    ],
)
def test_what_the_figures_say(make_contents, changes, status, word):
    found = verdict(make_contents(**{"n_test": 400, "accuracy": 0.98, "verdict": GOOD, **changes}))
    assert found.status == status
    assert any(word in remark.reason for remark in found.remarks)


def test_untested_and_leaked(sound):
    untested = replace(sound, evaluation=replace(sound.evaluation, side="validation"))
    assert verdict(untested).status == "warn"
    leaked = verdict(replace(sound, evaluation=replace(sound.evaluation, n_leaked=3)))
    assert "3 of the tested pictures have a copy" in leaked.remarks[0].reason


def test_what_nobody_looked_at(make_contents):
    checks = [check for check, _ in verdict(make_contents()).not_run]
    assert checks == [
        "the audit of the data",
        "cross-validation and plainer models",
        "calibration",
        "slices",
        "heat maps",
    ]


def test_tags_by_what_the_audit_knows():
    audit = audit_of(
        finding("wrong_label", "warn", "a", "b"),
        finding("dark", "note", "b", "c"),
        finding("outlier", "note", "c", "d"),
        finding("private_metadata", "note", "e"),
        replace(finding("tiny", "note"), fixes=(Fix("f", "tiny", "review"),)),
    )
    tags = error_tags(audit, "abcdefg")
    assert tags == {
        "a": SUSPECT,
        "b": SUSPECT,
        "c": POOR,
        "d": UNLIKE,
        "e": HARD,
        "f": POOR,
        "g": HARD,
    }
    assert counts(tags.values()) == [(SUSPECT, 2), (POOR, 2), (UNLIKE, 1), (HARD, 2)]
    assert error_tags(None, "ab") == {}


def test_errors_on_the_page_carry_their_tag(sound, make_contents):
    contents = make_contents(accuracy=0.8)
    wrong = contents.predictions.paths[
        int((contents.predictions.y_pred != contents.predictions.y_true).argmax())
    ]
    page = render_report(replace(contents, audit=audit_of(finding("wrong_label", "warn", wrong))))
    assert f'<span class="tag">{SUSPECT}</span>' in page
    assert "what the audit of the data knows" not in render_report(contents)


def test_without_pictures(make_contents):
    contents = make_contents(accuracy=0.8)
    assert "data:image" in render_report(contents)
    page = render_report(replace(contents, has_pictures=False, thumbnail=lambda path: None))
    assert "data:image" not in page
    assert "left out" in page


# --- the model card --------------------------------------------------------------------------


def test_the_card_says_what_the_run_knows(sound):
    card = render_card(sound, licence="Apache-2.0")
    for words in (
        "# Model card:",
        "**Verdict: pass.**",
        "Apache-2.0",
        "| Accuracy |",
        "cross-validated in 4 folds",
        "temperature of 1",
        "ab" * 32,
        TO_FILL_IN,
    ):
        assert words in card, words


def test_hostile_names_are_text_in_the_card(make_contents):
    names = ("<script>alert(1)</script>", "[a](javascript:b)", "new\nline\u202e", "| x | # *y*")
    contents = make_contents(class_names=names, run_name="# `run`")
    card = render_card(contents, licence="x")
    assert "<script" not in card
    assert "[a](" not in card
    assert "\u202e" not in card
    assert "\\u202e" not in card.replace("\\\\u202e", "")
    assert not any(line.startswith("line") for line in card.splitlines())


def test_escaping():
    assert escaped("a_b<c>&*") == "a\\_b&lt;c\\>&amp;\\*"
