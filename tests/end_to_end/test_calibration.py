"""The temperature is in the model: in what a run records, in its export, and nowhere twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

from tests.end_to_end.command_line import tl_app_json
from tests.end_to_end.photos import draw
from tl_app.evaluation.calibration import fit_temperature, tempered
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow

SETTINGS = (
    "backbone=small",
    "data.validation_fraction=0.45",
    "engine=folded",
    "phases.1.epochs=1",
    "audit=false",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """240 pictures, too small to be told for sure; 108 of them validate."""
    folder = tmp_path_factory.mktemp("calibrated")
    for kind in range(3):
        (folder / "photos" / f"kind{kind}").mkdir(parents=True)
        for i in range(80):
            noise = np.random.default_rng([kind, i]).integers(-120, 120, (40, 40, 3))
            pixels = np.clip(draw(kind, i, size=40).astype(int) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / f"kind{kind}" / f"{i}.png")
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    tl_app_json("train", "photos", "--name", "r", "--image-size", "32", *options, cwd=folder)
    return RunFolder.open("r", folder)


def test_the_part_held_apart_chose_the_temperature_and_not_the_weights(run):
    found = json.loads(run.calibration_file.read_text())
    split, dataset = run.read_split(), run.read_dataset()
    assert (found["method"], found["n_examples"]) == ("held_apart", len(split.calibration))
    assert 50 <= len(split.calibration) <= 54
    temperature = found["temperature"]
    assert temperature != 1.0
    validation = run.read_predictions("validation")
    rows = split.indices("validation")
    apart = np.isin(rows, split.calibration)
    again = fit_temperature(
        tempered(validation.probabilities[apart], 1 / temperature), validation.y_true[apart]
    )
    assert again == pytest.approx(temperature, rel=1e-3)
    # Without the temperature, the others have the log-loss by which the weights were chosen.
    plain = tempered(validation.probabilities[~apart], 1 / temperature).astype(np.float64)
    told = log_softmax(np.log(plain), axis=1)[np.arange((~apart).sum()), validation.y_true[~apart]]
    history = json.loads(run.history_file.read_text())
    kept = [record for record in history if record["is_best"]][-1]
    assert -told.mean() == pytest.approx(kept["validation_log_loss"], abs=2e-3)
    assert len(dataset.examples) == 240


def test_predict_says_what_the_run_recorded(run):
    told = tl_app_json("predict", run.path, Path("photos"), cwd=run.output)["predictions"]
    by_path = {row["path"].removeprefix("photos/"): row for row in told}
    recorded = run.read_predictions("test")
    for path, label, probabilities in zip(
        recorded.paths, recorded.labels, recorded.probabilities, strict=True
    ):
        row = by_path[path]
        assert row["label"] == label
        assert row["probability"] == pytest.approx(float(probabilities.max()), abs=1e-4)


def test_the_evaluation_holds_the_promises_and_the_page_tells_them(run):
    trust = json.loads(run.evaluation_file.read_text())["trust"]
    assert trust["n_chosen_on"] == len(run.read_split().calibration)
    assert trust["conformal"]["nominal"] == 0.9
    page = run.report.read_text()
    assert "Can its probabilities be trusted?" in page
    assert "What can be automated?" in page
