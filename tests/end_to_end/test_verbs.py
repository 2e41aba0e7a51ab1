"""One real run through the command line, and every verb on it."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.command_line import tl_app, tl_app_json
from tests.end_to_end.photos import HOSTILE_CLASS, HOSTILE_FILE, TRAIN_FAST, TRAIN_SMALL, draw
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(trained: dict[str, Any], workplace: Path) -> RunFolder:
    return RunFolder.open(workplace / trained["run"], workplace)


def test_json_of_train(trained, workplace):
    assert Path(trained["run"]).name == "first"
    assert (workplace / trained["report"]).is_file()
    assert (workplace / trained["saved_model"] / "saved_model.pb").is_file()
    assert set(trained["test"]) == {"accuracy", "macro_f1", "log_loss"}
    for figure in trained["test"].values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert all(seconds >= 0 for seconds in trained["seconds"].values())
    # Three plain patterns: a model that has learnt nothing would get a third.
    assert trained["test"]["accuracy"]["value"] > 0.6


def test_everything_of_the_run_is_there(run):
    assert run.read_info()["status"] == "complete"
    config = json.loads(run.config_file.read_text())
    assert config["phases"][1]["epochs"] == 2
    dataset, split = run.read_dataset(), run.read_split()
    assert set(dataset.class_names) == {"stripes", "checks", HOSTILE_CLASS}
    kinds = Counter(entry.kind for entry in dataset.set_aside)
    assert kinds == {"truncated": 1, "empty": 1, "not_an_image": 1}
    assert all(len(split.indices(side)) for side in ("train", "validation", "test"))
    for label in range(3):
        assert {
            s for s, e in zip(split.sides, dataset.examples, strict=True) if e.label == label
        } == {
            "train",
            "validation",
            "test",
        }
    environment = json.loads(run.environment_file.read_text())
    assert environment["packages"]["tensorflow"]
    assert json.loads(run.history_file.read_text())[0]["phase"] == "head"
    assert run.keras_model.is_file()
    assert list(run.tensorboard.glob("events.out.tfevents.*"))
    assert list(run.checkpoints.glob("best-*.npz"))


def test_recorded_probabilities_come_from_the_files(run):
    """The Keras model on the original files gives what the run recorded."""
    from tl_app.inputs.pictures import iterate_pictures
    from tl_app.training.classifier import load_model

    recorded = run.read_predictions("test")
    files = [Path(run.read_dataset().root) / path for path in recorded.paths]
    model = load_model(run.keras_model)
    found = [model(b, training=False) for b in iterate_pictures(files, run.read_processing(), 32)]
    np.testing.assert_allclose(np.concatenate(found), recorded.probabilities, atol=1e-5)


def test_the_report_shows_hostile_names_as_text(trained, workplace):
    page = (workplace / trained["report"]).read_text(encoding="utf-8")
    assert "&lt;img src=x" in page
    assert "<img src=x" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "truncated" in page


def test_predict_reproduces_the_record(run, workplace, tmp_path):
    recorded = run.read_predictions("test")
    root = Path(run.read_dataset().root)
    table = tmp_path / "out.csv"
    done = tl_app(
        "predict", "first", *(root / path for path in recorded.paths), "--csv", table, cwd=workplace
    )
    assert done.returncode == 0, done.stderr
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["path", "label", "probability"]
    assert [row["path"] for row in rows] == [str(root / path) for path in recorded.paths]
    told = np.array([float(row["probability"]) for row in rows])
    np.testing.assert_allclose(told, recorded.probabilities.max(axis=1), atol=1e-5)


def test_predict_lists_what_is_no_picture_by_its_name_alone(trained, workplace, tmp_path):
    Image.fromarray(draw(0, 1)).save(tmp_path / "a.png")
    (tmp_path / "b.jp2").write_bytes(b"x")
    (tmp_path / "c.png").symlink_to(tmp_path / "gone.png")
    answer = tl_app_json("predict", trained["saved_model"], tmp_path, cwd=workplace)
    assert [Path(row["path"]).name for row in answer["predictions"]] == ["a.png"]
    assert {Path(e["path"]).name: e["kind"] for e in answer["set_aside"]} == {
        "b.jp2": "unsupported",
        "c.png": "missing",
    }


def test_predict_a_folder_with_bad_files_by_the_saved_model(trained, photos, workplace):
    answer = tl_app_json("predict", trained["saved_model"], photos / "stripes", cwd=workplace)
    assert len(answer["predictions"]) == 14
    assert {entry["kind"] for entry in answer["set_aside"]} == {
        "truncated",
        "empty",
        "not_an_image",
    }


def test_evaluate(trained, photos, workplace):
    again = tl_app_json("evaluate", "first", cwd=workplace)
    assert again["test"] == trained["test"]
    done = tl_app("evaluate", "first", photos, "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["n_examples"] == 43
    assert "trained on" in done.stderr


def test_report_is_written_again(run, workplace):
    def without_seconds(page: str) -> str:
        # The first edition is written before its own seconds are known.
        return re.sub(r"<details[^>]*>\s*<summary>Time by stage.*?</details>", "", page, flags=re.S)

    before = run.report.read_text()
    run.report.unlink()
    assert tl_app("report", "first", cwd=workplace).returncode == 0
    assert without_seconds(run.report.read_text()) == without_seconds(before)


LOAD_ALONE = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
data = [open(path, "rb").read() for path in sys.argv[2:]]
answer = model.signatures["serving_default"](image_bytes=tf.constant(data))
pixels = model.signatures["predict_tensor"].structured_input_signature[1]["pixels"].shape
assert "tl_app" not in sys.modules
print(json.dumps([[row[0].decode() for row in answer["labels"].numpy()],
                  [float(row[0]) for row in answer["probabilities"].numpy()], list(pixels)]))
"""


def test_export_is_versioned_and_loads_with_tensorflow_alone(run, workplace, tmp_path):
    destination = tmp_path / "exported"
    first = tl_app_json("export", "first", destination, cwd=workplace)
    second = tl_app_json("export", "first", destination, cwd=workplace)
    assert sorted(p.name for p in destination.iterdir()) == ["1", "2", "serving"]
    assert "exported" in (destination / "serving" / "models.config").read_text()
    assert first["largest_difference"] <= 1e-5
    assert Path(second["saved_model"]).name == "2"
    recorded = run.read_predictions("test")
    root = Path(run.read_dataset().root)
    # TIFF is for the app, which converts it; a server receives what its decoder knows.
    chosen = [i for i, path in enumerate(recorded.paths) if not path.endswith(".tif")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALONE, destination / "1"]
        + [root / recorded.paths[i] for i in chosen],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    labels, probabilities, shape = json.loads(done.stdout.splitlines()[-1])
    names = recorded.class_names
    assert labels == [names[recorded.y_pred[i]] for i in chosen]
    np.testing.assert_allclose(probabilities, recorded.probabilities.max(axis=1)[chosen], atol=1e-5)
    assert shape[1:] == [64, 64, 3]


def test_export_fails_when_the_record_is_not_reproduced(run, workplace, tmp_path):
    copied = tmp_path / "models" / "first"
    shutil.copytree(run.path, copied)
    broken = RunFolder(copied, tmp_path)
    recorded = broken.read_predictions("test")
    recorded.probabilities[0] = np.roll(recorded.probabilities[0], 1)
    broken.write_predictions("test", recorded)
    done = tl_app("export", copied, tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert recorded.paths[0].split("/")[-1].split(".")[0] in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_existing_name_is_never_overwritten(photos, run, workplace):
    before = run.info_file.read_bytes()
    done = tl_app("train", photos, "--name", "first", *TRAIN_FAST, cwd=workplace)
    assert done.returncode == 1
    assert "never overwritten" in done.stderr
    assert run.info_file.read_bytes() == before


def test_a_later_run_keeps_the_recorded_split(photos, run, workplace, tmp_path):
    """New pictures arrive: what was on a side stays there, a copy joins its original."""
    grown = tmp_path / "grown"
    shutil.copytree(photos, grown)
    for i in range(200, 206):
        Image.fromarray(draw(0, i)).save(grown / "stripes" / f"{i}.png")
    recorded, split = run.read_dataset(), run.read_split()
    side_of = {e.path: s for e, s in zip(recorded.examples, split.sides, strict=True)}
    original = next(p for p, s in side_of.items() if s == "test" and p.endswith(".png"))
    (grown / original).with_name("copy.png").write_bytes((grown / original).read_bytes())
    answer = tl_app_json(
        "train", grown, "--split-from", "first", "--seed", "7", *TRAIN_SMALL, cwd=workplace
    )
    assert answer["saved_model"] is None
    second = RunFolder.open(workplace / answer["run"], workplace)
    dataset, sides = second.read_dataset(), second.read_split().sides
    now = {e.path: s for e, s in zip(dataset.examples, sides, strict=True)}
    assert {path: now[path] for path in side_of} == side_of
    copy = str(Path(original).with_name("copy.png"))
    assert now[copy] == "test"
    assert dataset.class_names == recorded.class_names
    assert {now[f"stripes/{i}.png"] for i in range(200, 206)} <= {"train", "validation", "test"}


def test_a_run_without_an_export_is_exported_when_it_is_wanted(photos, workplace, tmp_path):
    tl_app_json("train", photos, "--name", "bare", *TRAIN_SMALL, cwd=workplace)
    bare = RunFolder.open("bare", workplace)
    assert not bare.saved_model.exists()
    assert "SavedModel on disk" not in bare.report.read_text()
    picture = photos / HOSTILE_CLASS / HOSTILE_FILE
    refused = tl_app("predict", "bare", picture, cwd=workplace)
    assert refused.returncode == 1
    assert "no SavedModel" in refused.stderr
    assert "tl-app export" in refused.stderr
    done = tl_app_json("export", "bare", tmp_path / "out", cwd=workplace)
    assert done["largest_difference"] <= 1e-5
    assert done["n_examples"] == len(bare.read_predictions("test").paths)
    told = tl_app_json("predict", tmp_path / "out", picture, cwd=workplace)
    assert set(told["predictions"][0]["probabilities"]) == set(bare.read_dataset().class_names)


def test_python_api(photos, tmp_path):
    import tl_app

    run = tl_app.train(
        photos,
        backbone="small",
        output=tmp_path,
        data={"image_size_px": 64, "test_fraction": 0.0},
        phases=[{"name": "head", "l2": "auto"}],
    )
    assert run.evaluation is None
    assert run.report.is_file()
    predictions, set_aside = run.predict([photos / HOSTILE_CLASS / HOSTILE_FILE])
    assert predictions.probabilities.shape == (1, 3)
    assert set_aside == []


def test_a_hub_model_is_fine_tuned_and_exported_without_its_folder(photos, tmp_path):
    """A SavedModel has one block: the second phase streams pictures through all of it."""
    import tl_app
    from tests.backbones.helpers import write_feature_vector
    from tl_app.training.decisions import Decisions

    folder = tmp_path / "feature_vector"
    write_feature_vector(folder)
    run = tl_app.train(photos, backbone=f"hub:{folder}", output=tmp_path)
    assert Decisions(run.folder).read()["phase fine_tune"]["source"] == "streamed"
    shutil.rmtree(folder)
    recorded = run.folder.read_predictions("test")
    root = Path(run.folder.read_dataset().root)
    predictions, _ = run.predict([root / path for path in recorded.paths])
    np.testing.assert_allclose(predictions.probabilities, recorded.probabilities, atol=1e-5)
