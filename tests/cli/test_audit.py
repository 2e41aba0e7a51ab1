"""`tl-app audit`: what it hands over, and what it says of hostile names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import make_audit
from tl_app.audit.stripping import Stripped
from tl_app.cli.main import main
from tl_app.data.source import Source
from tl_app.findings import Audit


def test_an_audit_hands_over_what_was_asked(app: Any) -> None:
    argv = ["audit", "photos", "--backbone", "resnet50", "--image-size", "96", "--strip", "clean"]
    assert main([*argv, "--table", "t.csv", "--output", "out", "--set", "seed=3"]) == 0
    [(verb, (source,), kwargs)] = app.calls
    assert (verb, source) == ("audit", Source("photos", table=Path("t.csv")))
    config = kwargs["config"]
    assert (config.backbone, config.data.image_size_px, config.seed) == ("resnet50", 96, 3)
    assert (kwargs["output"], kwargs["strip_to"]) == (Path("out"), Path("clean"))


def test_findings_as_text_keep_hostile_names_in_their_line(app: Any, capfd: Any) -> None:
    app.stripped = Stripped(("a.jpg",), {"x.tif": "TIFF"})
    assert main(["audit", "photos", "--strip", "clean"]) == 0
    shown = capfd.readouterr().out
    assert "20 pictures audited: 1 FAIL, 1 note" in shown
    assert "FAIL  dog/\\x1b[2J<b>\\n\\u202e.jpg is a copy." in shown
    assert "cat/0.jpg = dog/\\x1b[2J<b>\\n\\u202e.jpg, same bytes" in shown
    assert "and 2 more" in shown
    assert "not looked at: outliers (there are too few)" in shown
    assert "1 copy in clean" in shown
    assert "not x.tif: TIFF" in shown
    assert "moves 1 file to quarantine" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_findings_as_json_are_the_record(app: Any, capfd: Any) -> None:
    assert main(["audit", "photos", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert Audit.from_dict(document) == make_audit()
    assert document["fixes"].endswith("reports/a/fixes.csv")
    assert document["stripped"] is None


def test_fixes_are_applied_and_undone(app: Any, capfd: Any) -> None:
    assert main(["audit", "--apply", "fixes.csv"]) == 0
    shown = capfd.readouterr().out
    assert "1 file moved to quarantine" in shown
    assert "left: b.jpg: it has changed" in shown
    assert app.calls[-1][:2] == ("audit_apply", (Path("fixes.csv"), None))
    assert main(["audit", "photos", "--apply", "fixes.csv", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["moved"] == ["a\n.jpg"]
    assert app.calls[-1][1] == (Path("fixes.csv"), Path("photos"))
    assert main(["audit", "photos", "--undo"]) == 0
    assert "2 files put back" in capfd.readouterr().out
    assert app.calls[-1][:2] == ("audit_undo", (Path("photos"),))


@pytest.mark.parametrize(
    "argv",
    [
        ["audit"],
        ["audit", "--undo"],
        ["audit", "photos", "--undo", "--apply", "fixes.csv"],
        ["audit", "photos", "--strip", "d", "--apply", "fixes.csv"],
        ["audit", "photos", "--strip", "d", "--undo"],
    ],
)
def test_what_does_not_go_together_is_refused(app: Any, capfd: Any, argv: list[str]) -> None:
    assert main(argv) == 2
    assert "next:" in capfd.readouterr().err
    assert not app.calls
