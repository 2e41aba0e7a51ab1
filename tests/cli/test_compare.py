"""`tl-app compare`: its call, its text, its JSON, and the exit code that a gate waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import make_comparison
from tl_app.cli.main import main
from tl_app.data.source import Source

Capture = pytest.CaptureFixture[str]


def run(capfd: Capture, *argv: str) -> tuple[int, str]:
    code = main(["compare", *argv])
    return code, capfd.readouterr().out


def test_the_call(app: Any, capfd: Capture) -> None:
    code, _ = run(capfd, "old", "new", "--output", "out")
    assert code == 5  # what the invented comparison says
    code, _ = run(capfd, "old", "new", "mail.csv", "--margin", "0.02", "--text-column", "body")
    for call, source, margin in zip(
        app.calls, (None, Source("mail.csv", text_column="body")), (0.01, 0.02), strict=True
    ):
        verb, arguments, options = call
        assert (verb, arguments) == ("compare", ("old", "new", source))
        assert options["margin"] == margin
    assert app.calls[0][2]["output"] == Path("out")


@pytest.mark.parametrize(
    ("n", "n_only_a", "n_only_b", "verdict", "code"),
    [
        (400, 30, 2, "worse", 5),
        (400, 30, 25, "cannot tell", 5),
        (2000, 1, 1, "not worse", 0),
        (400, 2, 30, "better", 0),
    ],
)
def test_the_exit_code_follows_the_verdict(
    app: Any, capfd: Capture, n: int, n_only_a: int, n_only_b: int, verdict: str, code: int
) -> None:
    app.comparison = make_comparison(n, n_only_a, n_only_b)
    given, shown = run(capfd, "old", "new", "--json")
    document = json.loads(shown)
    assert (given, document["verdict"]) == (code, verdict)
    assert document["passes"] == (code == 0)
    assert main(["compare", "old", "new"]) == code


def test_json_has_everything(app: Any, capfd: Capture) -> None:
    _, shown = run(capfd, "old", "new", "other", "--json")
    document = json.loads(shown)
    assert (document["run_a"], document["run_b"], document["source"]) == ("old", "new", "other")
    assert document["sentences"][0].startswith("B is worse than A: its accuracy is 7 points lower")
    assert "A alone tells 30 rightly and B alone 2" in document["sentences"][1]
    assert len(document["lost"]) == 30
    assert document["lost"][0]["path"] == "line\nbreak\x1b[2J 0.jpg"
    assert [change["name"] for change in document["per_class"]] == ["cat", "<b>\x1b[31mdog\n"]
    assert document["metrics"][0]["difference"]["value"] == pytest.approx(-0.07)


def test_text_says_the_verdict_first_and_cannot_drive_the_terminal(
    app: Any, capfd: Capture
) -> None:
    _, shown = run(capfd, "old\x1b[2J", "new", "--quiet")
    assert "\x1b" not in shown
    parts = shown.split("\n\n")
    assert parts[0] == "A  old\\x1b[2J\nB  new"
    assert parts[1].startswith("B is worse than A")
    rows = {line.split("  ")[0]: line for line in parts[2].splitlines()}
    assert list(rows) == ["400 pictures", "Accuracy", "Balanced accuracy", "Macro-F1", "Log-loss"]
    assert "-0.070" in rows["Accuracy"]
    assert "+0.1" in rows["Log-loss"]  # a loss that rose
    assert parts[3].startswith("Of 400 pictures, A alone tells 30 rightly")
    assert "2 of 2 classes changed beyond chance" in parts[4]
    lost = parts[5].splitlines()
    assert lost[0] == ("30 pictures that A tells rightly and B wrongly; the other way round 2.")
    assert len(lost) == 1 + 1 + 20 + 1
    assert r"line\nbreak\x1b[2J 0.jpg" in lost[2]
    assert lost[-1] == "and 10 more; --json has all."
    assert parts[6].strip() == "The figures rest on 400 pictures."


def test_nothing_lost(app: Any, capfd: Capture) -> None:
    app.comparison = make_comparison(400, 0, 30)
    code, shown = run(capfd, "old", "new")
    assert code == 0
    assert "0 pictures that A tells rightly and B wrongly; the other way round 30." in shown


@pytest.mark.parametrize("value", ["much", "", "1%"])
def test_a_margin_that_is_no_number(app: Any, capfd: Capture, value: str) -> None:
    assert main(["compare", "old", "new", "--margin", value]) == 2
    assert f"--margin {value}".strip() in capfd.readouterr().err
    assert app.calls == []


def test_two_runs_are_needed(app: Any, capfd: Capture) -> None:
    assert main(["compare", "old"]) == 2
    assert app.calls == []
