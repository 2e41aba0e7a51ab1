"""Two real runs through `tl-app compare`: what they recorded, and what they say of new pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.command_line import tl_app, tl_app_afresh, tl_app_json
from tests.end_to_end.photos import HOSTILE_CLASS, TRAIN_FAST, draw
from tl_app.evaluation.metrics import log_loss
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow

KINDS = ("stripes", "checks", HOSTILE_CLASS)


@pytest.fixture(scope="module")
def second(
    photos: Path, workplace: Path, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A run with a poorer head and the same test part; its pictures lie elsewhere."""
    elsewhere = tmp_path_factory.mktemp("moved") / "copied"
    shutil.copytree(photos, elsewhere)
    head = elsewhere.parent / "head.toml"
    head.write_text('[[phases]]\nname = "head"\nl2 = 1000.0\n')
    more = ("--split-from", "first", "--name", "second", "--config", head, "--backbone", "small")
    return tl_app_json("train", elsewhere, *more, *TRAIN_FAST[:2], cwd=workplace)["run"]


def scene(kind: int, seed: int) -> Image.Image:
    """A picture before a background of its own: no near copy of any other."""
    blobs = np.random.default_rng([kind, seed]).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    shape = Image.fromarray(draw(kind, seed))
    background = Image.fromarray(blobs).resize(shape.size, Image.Resampling.BICUBIC)
    return Image.blend(shape, background, 0.6)


@pytest.fixture(scope="module")
def new_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight new pictures a class, one of them twice."""
    folder = tmp_path_factory.mktemp("new") / "photos"
    for kind, name in enumerate(KINDS):
        (folder / name).mkdir(parents=True)
        for i in range(8):
            scene(kind, 500 + i).save(folder / name / f"{i}.png")
    shutil.copy(folder / "checks" / "0.png", folder / "checks" / "copy.png")
    return folder


def test_the_gate_on_recorded_predictions(trained, second, workplace):
    done = tl_app("compare", trained["run"], second, "--json", cwd=workplace)
    assert done.returncode == 5, done.stderr  # so few pictures cannot show it
    document = json.loads(done.stdout)
    assert document["passes"] is False
    runs = [RunFolder.open(workplace / run, workplace) for run in (trained["run"], second)]
    recorded = [run.read_predictions("test") for run in runs]
    assert document["n_examples"] == len(recorded[0].paths)
    metrics = {metric["name"]: metric for metric in document["metrics"]}
    for key, predictions in zip(("value_a", "value_b"), recorded, strict=True):
        accuracy = float((predictions.y_pred == predictions.y_true).mean())
        loss = log_loss(predictions.y_true, predictions.probabilities)
        assert metrics["accuracy"][key] == pytest.approx(accuracy)
        assert metrics["log_loss"][key] == pytest.approx(loss, rel=1e-6)
    # The penalty makes another model of it.
    assert metrics["log_loss"]["value_a"] != metrics["log_loss"]["value_b"]
    assert "TensorFlow" not in done.stderr
    shown = tl_app("compare", "first", "second", cwd=workplace)
    assert shown.returncode == 5
    assert "cannot be told" in shown.stdout


def test_both_models_are_asked_about_new_pictures(trained, second, workplace, new_photos):
    done = tl_app_afresh("compare", trained["run"], second, new_photos, "--json", cwd=workplace)
    assert done.returncode in (0, 5), done.stderr
    assert "InitializeLog" not in done.stderr  # TensorFlow, loaded late, is as quiet as elsewhere
    document = json.loads(done.stdout)
    assert (document["n_examples"], document["n_groups"]) == (25, 24)
    assert document["left_out"] == {"seen_by_a": 0, "seen_by_b": 0, "not_told": 0}
    assert {example["path"].split("/")[0] for example in document["lost"]} <= set(KINDS)
    told = tl_app_json("predict", second, new_photos, cwd=workplace)["predictions"]
    right = [row["label"] == Path(row["path"]).parent.name for row in told]
    assert document["metrics"][0]["value_b"] == pytest.approx(np.mean(right))


def test_a_gate_that_is_passed(trained, workplace, new_photos):
    """The run against itself, with a margin that two dozen pictures can show."""
    done = tl_app("compare", "first", "first", new_photos, "--margin", "0.3", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert "B is not worse than A by more than 30 points: its accuracy is the same" in done.stdout


def test_pictures_that_were_trained_on_are_left_out(trained, second, workplace, photos):
    done = tl_app("compare", trained["run"], second, photos, "--json", cwd=workplace)
    assert done.returncode in (0, 5), done.stderr
    document = json.loads(done.stdout)
    run = RunFolder.open(workplace / trained["run"], workplace)
    split = run.read_split()
    n_test = len(split.indices("test"))
    n_seen = len(split.indices("train")) + len(split.indices("validation"))
    assert document["n_examples"] == n_test
    assert document["left_out"]["seen_by_a"] == document["left_out"]["seen_by_b"] == n_seen
    assert f"{n_seen} of {n_seen + n_test} pictures left out: A was trained on them" in done.stderr
    # The same pictures as those that both recorded.
    recorded = json.loads(tl_app("compare", trained["run"], second, "--json", cwd=workplace).stdout)
    for here, there in zip(document["metrics"], recorded["metrics"], strict=True):
        assert here["value_b"] == pytest.approx(there["value_b"], abs=1e-4)


def test_nothing_is_left_to_compare_on(trained, second, workplace, photos, tmp_path):
    run = RunFolder.open(workplace / trained["run"], workplace)
    dataset, split = run.read_dataset(), run.read_split()
    for i in split.indices("train"):
        path = dataset.examples[i].path
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / path, tmp_path / path)
    done = tl_app("compare", trained["run"], second, tmp_path, cwd=workplace)
    assert done.returncode == 3
    assert "no picture here that counts" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_examples_than_the_runs_tell(trained, second, workplace, tmp_path):
    (tmp_path / "mail.csv").write_text("text,label\nhello,stripes\n")
    done = tl_app("compare", trained["run"], second, tmp_path / "mail.csv", cwd=workplace)
    assert done.returncode == 3
    assert "takes pictures, and these are texts" in done.stderr
