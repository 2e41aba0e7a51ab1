"""A run on a KerasHub preset with LoRA, through the command line, and what is left of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import keras_hub
import numpy as np
import pytest

from tests.backbones.presets import build_preset
from tests.end_to_end.command_line import script_forked
from tests.end_to_end.test_texts import sentences
from tl_app.cli.main import main
from tl_app.data import calibration_part
from tl_app.run import RunFolder
from tl_app.storage import read_json

pytestmark = pytest.mark.slow

WITHOUT_KERASHUB = """
import sys
assert "keras_hub" not in sys.modules
sys.modules["keras_hub"] = None
from tl_app.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Byte pairs under LoRA, whose updates win."""
    folder = tmp_path_factory.mktemp("kerashub")
    with (folder / "mail.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *sentences(120)])
    preset = build_preset("roberta", folder / "preset")
    settings = {
        "phases.0.l2": "1.0",
        "phases.1.lora_rank": "4",
        "phases.1.learning_rate": "0.02",
        "phases.1.epochs": "4",
    }
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    named = ["--name", "bytes", "--backbone", f"kerashub:{preset}", "--output", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration_part, "LEAST_VALIDATION", 4)
        code = main(["train", str(folder / "mail.csv"), *named, *options])
    assert code == 0
    run = RunFolder.open("bytes", folder)
    # What the temperature does to the run it must do to its updates.
    assert abs(read_json(run.calibration_file)["temperature"] - 1) > 0.01
    return run


def ask(model: Path, texts: list[str]) -> np.ndarray:
    """Probabilities, of a process in which KerasHub cannot be had."""
    options = [word for text in texts for word in ("--text", text)]
    done = script_forked(WITHOUT_KERASHUB, "predict", model, *options, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return np.array([list(row["probabilities"].values()) for row in answer["predictions"]])


def test_the_export_says_what_it_needs_and_serves_without_kerashub(run):
    assert "import tensorflow_text" in (run.saved_model / "1" / "NEEDS.txt").read_text()
    assert run.read_config().backbone.startswith("kerashub:/")
    dataset, told = run.read_dataset(), run.read_predictions("test")
    texts = {example.path: example.text for example in dataset.examples}
    found = ask(run.path, [texts[path] for path in told.paths[:6]])
    np.testing.assert_allclose(found, told.probabilities[:6], atol=1e-5)


def test_the_adapter_alone_is_put_on_its_base(run, tmp_path, capfd):
    adapter = run.adapter_file("fine_tune")
    assert adapter.stat().st_size < 50_000
    # The file names no folder of the machine that it was made on.
    assert str(run.path.parent.parent).encode() not in adapter.read_bytes()
    assert main(["export", str(adapter), str(tmp_path / "served")]) == 2
    assert "Which base" in capfd.readouterr().err
    base = run.read_config().backbone
    assert main(["export", str(adapter), str(tmp_path / "served"), "--backbone", base]) == 0
    capfd.readouterr()
    texts = ["It was superb.", "What a dreadful thing"]
    np.testing.assert_allclose(ask(tmp_path / "served", texts), ask(run.path, texts), atol=1e-5)


def test_an_adapter_whose_base_has_changed_is_refused(run, tmp_path, capfd):
    weights = Path(run.read_config().backbone.removeprefix("kerashub:")) / "model.weights.h5"
    content = weights.read_bytes()
    changed = keras_hub.models.Backbone.from_preset(str(weights.parent))
    changed.variables[0].assign(changed.variables[0] + 1.0)
    changed.save_weights(str(weights), overwrite=True)
    try:
        command = ["export", str(run.adapter_file("fine_tune")), str(tmp_path / "served")]
        assert main([*command, "--backbone", run.read_config().backbone]) == 1
        assert "does not belong to this base" in capfd.readouterr().err
        assert not (tmp_path / "served").exists()
    finally:
        weights.write_bytes(content)
