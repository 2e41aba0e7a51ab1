"""Texts through the command line: one real run with the real encoder, and every verb on it."""

from __future__ import annotations

import csv
import json
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.end_to_end.command_line import start_forked, tl_app, tl_app_json
from tests.end_to_end.interrupting import assert_same_run, epochs_done, stop, wait_for_epochs
from tl_app.app.text_material import language_warning
from tl_app.cli.main import main
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow

N_EPOCHS = 4
FAST = (
    "--set",
    f"phases.1.epochs={N_EPOCHS}",
    "--set",
    "phases.1.unfreeze=1",
    "--set",
    "phases.1.lora_rank=2",
)
HOSTILE = '<script>alert("1")</script> it was dreadful, truly awful & bad'
GOOD = ("wonderful", "lovely", "great", "delightful", "excellent", "superb")
BAD = ("awful", "dreadful", "terrible", "boring", "disgusting", "horrible")
THINGS = ("film", "meal", "book", "hotel", "phone", "concert", "game", "journey")


def sentences(n: int) -> list[tuple[str, str]]:
    """Texts of a plain kind with their labels, of several lengths, none twice."""
    chance = random.Random(0)
    rows: dict[str, str] = {}
    while len(rows) < n:
        label = ("praise", "blame")[len(rows) % 2]
        word = chance.choice(GOOD if label == "praise" else BAD)
        thing = chance.choice(THINGS)
        tail = " ".join(chance.choice(THINGS) for _ in range(chance.randrange(0, 40)))
        rows[f"The {thing} was {word}. {tail}".strip()] = label
    return list(rows.items())


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "mail.csv"
    rows = [*sentences(90), (HOSTILE, "blame"), ("", "blame"), ("nul \0 byte", "praise")]
    with file.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    return file


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text_workplace")


@pytest.fixture(scope="module")
def trained(table: Path, workplace: Path) -> dict[str, Any]:
    return tl_app_json("train", table, "--name", "first", *FAST, cwd=workplace)


@pytest.fixture(scope="module")
def run(trained: dict[str, Any], workplace: Path) -> RunFolder:
    return RunFolder.open(workplace / trained["run"], workplace)


def test_a_table_is_trained_evaluated_and_exported(trained, run):
    assert trained["test"]["accuracy"]["value"] >= 0.8  # half by chance
    assert trained["set_aside"]["by_kind"] == {"empty": 1, "nul_bytes": 1}
    dataset = run.read_dataset()
    assert dataset.modality == "text"
    assert len(dataset.examples) == 91
    assert run.read_config().backbone == "minilm-l6"
    assert {e.path for e in dataset.set_aside} == {"mail.csv:93", "mail.csv:94"}


def test_the_report_speaks_of_texts_and_runs_no_markup_of_theirs(trained, workplace):
    page = (workplace / trained["report"]).read_text(encoding="utf-8")
    assert "Text classification report" in page
    assert page.count("<script") == 1
    assert "picture" not in page.split("How to reproduce it")[-2]
    assert "Scripts" in page
    assert "Latin" in page


def test_predictions_of_a_text_a_table_and_files_agree(trained, workplace, run):
    given = ["The meal was superb.", "The hotel was disgusting."]
    files = workplace / "new"
    files.mkdir()
    for number, text in enumerate(given):
        (files / f"{number}.txt").write_text(text, encoding="utf-8")
    (files / "empty.txt").write_text("")
    lines = workplace / "new.jsonl"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in given))
    told = []
    for arguments in (("--text", given[0], "--text", given[1]), (files,), (lines,)):
        document = tl_app_json("predict", trained["run"], *arguments, cwd=workplace)
        assert [row["label"] for row in document["predictions"]] == ["praise", "blame"]
        assert [row["text"] for row in document["predictions"]] == given
        told.append([row["probability"] for row in document["predictions"]])
    np.testing.assert_allclose(told[1:], [told[0]] * 2, atol=1e-6)


def test_the_export_is_the_run(trained, workplace, run):
    done = tl_app_json("export", trained["run"], "served", cwd=workplace)
    assert done["largest_difference"] <= 1e-5
    recorded = run.read_predictions("test")
    assert done["n_examples"] == len(recorded.paths)
    texts = {example.path: example.text for example in run.read_dataset().examples}
    given = [part for path in recorded.paths for part in ("--text", texts[path])]
    document = tl_app_json("predict", "served", *given, cwd=workplace)
    said = [
        [row["probabilities"][n] for n in recorded.class_names] for row in document["predictions"]
    ]
    np.testing.assert_allclose(said, recorded.probabilities, atol=1e-5)


def test_evaluate_on_another_table_warns_of_texts_that_were_trained_on(trained, workplace, table):
    done = tl_app("evaluate", trained["run"], table, "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "texts were trained on" in done.stderr
    document = json.loads(done.stdout)
    assert document["n_examples"] == 91
    assert document["side"] is None
    assert not any("test part" in note for note in document["notes"])


def test_two_runs_are_compared_on_recorded_and_on_other_texts(trained, workplace, run, tmp_path):
    """The run against itself: nothing differs, and so few texts cannot show that it never will."""
    done = tl_app("compare", "first", trained["run"], "--json", cwd=workplace)
    assert done.returncode == 5, done.stderr
    document = json.loads(done.stdout)
    assert document["n_examples"] == len(run.read_split().indices("test"))
    assert document["verdict"] == "cannot tell"
    seen = next(iter(run.read_dataset().examples[i] for i in run.read_split().indices("train")))
    other = tmp_path / "other.csv"
    rows = [*((f"{text} Indeed.", label) for text, label in sentences(20)), (seen.text, "blame")]
    with other.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    done = tl_app("compare", "first", "first", other, "--json", cwd=workplace)
    assert done.returncode == 5, done.stderr
    document = json.loads(done.stdout)
    assert (document["n_examples"], document["modality"]) == (20, "text")
    assert document["left_out"]["seen_by_a"] == 1
    assert all(metric["difference"]["value"] == 0 for metric in document["metrics"])
    assert "1 of 21 texts left out" in done.stderr


def test_what_does_not_fit_is_told_before_anything_is_written(
    workplace, table, photos, trained, capfd
):
    wrong = {
        ("train", table, "--backbone", "efficientnet_lite0"): "made for pictures",
        ("train", photos, "--backbone", "minilm-l6"): "made for texts",
        ("train", table, "--set", "engine=litert"): "differ in length",
        ("train", table, "--weights", "w.h5"): "do not fit texts",
        ("train", table, "--image-size", "96"): "data.image_size_px",
        ("train", table, "--text-column", "bdy"): "no column bdy",
        ("train", table, "--set", "phases.1.lora_rank=-1"): "lora_rank",
        ("train", table, "--set", "phases.0.lora_rank=8"): "unfreeze 1 or more",
        (
            "train",
            table,
            "--set",
            "phases.1.lora_rank=0",
            "--set",
            "phases.1.base_weights=int8",
        ): "lora_rank 1 or more",
        ("train", table, "--set", "phases.1.mixup_alpha=0.2"): "do not fit texts",
        ("evaluate", workplace / trained["run"], photos): "takes texts",
        ("predict", workplace / trained["run"]): "nothing to predict",
        ("predict", workplace / trained["run"], "--text", " "): "can be used",
        ("evaluate", workplace / trained["run"], workplace / "gone.csv"): "no such",
        ("predict", workplace / trained["run"], photos / "stripes" / "000.png"): "can be used",
    }
    before = sorted(workplace.rglob("*"))
    for arguments, words in wrong.items():
        code = main([*map(str, arguments), "--output", str(workplace)])
        said = " ".join(capfd.readouterr().err.split())
        assert code in (2, 3), (arguments, said)
        assert words in said, (arguments, said)
        assert "Traceback" not in said
    assert sorted(workplace.rglob("*")) == before


def test_killed_and_resumed_is_the_same_bit_for_bit(table, workplace, run):
    streams = workplace / "killed.log"
    streams.mkdir()
    process = start_forked(
        "train", table, "--name", "killed", *FAST, "--set", "export=false",
        cwd=workplace, streams=streams,
    )  # fmt: skip
    killed = workplace / "models" / "killed"
    wait_for_epochs(process, killed, 2)
    assert stop(process, signal.SIGKILL) == -signal.SIGKILL
    assert 2 <= epochs_done(killed) < N_EPOCHS
    done = tl_app("train", "--resume", "killed", cwd=workplace)
    assert done.returncode == 0, done.stderr
    resumed = RunFolder.open("killed", workplace)
    assert_same_run(run, resumed)
    adapters = [each.adapter_file("fine_tune") for each in (run, resumed)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_texts_in_another_language_are_warned_of():
    things = ("phim", "sách", "khách sạn", "điện thoại", "bữa ăn", "trò chơi")
    vietnamese = [
        f"Tôi nghĩ rằng {thing} này thật sự {word}, số {number}"
        for number, thing in enumerate(things * 4)
        for word in ("tuyệt vời và đáng nhớ", "kinh khủng và nhàm chán")
    ]
    warning = language_warning("minilm-l6", vietnamese)
    assert warning is not None
    assert "languages that minilm-l6 does not know (vi 100%)" in warning
    english = [text for text, _ in sentences(100)]
    assert language_warning("minilm-l6", english) is None
    assert language_warning("minilm-l6", [*english, *vietnamese[:5]]) is None
    assert language_warning("hub:some/encoder", vietnamese) is None
