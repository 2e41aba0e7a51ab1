"""LiteRT and ONNX files of a run: what they say, what is refused, what needs no TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.command_line import tl_app, tl_app_json
from tests.end_to_end.photos import TRAIN_SMALL, make_photos
from tl_app.export.small_model import SmallModel, small_formats
from tl_app.inputs.files import read_encoded
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow

WITHOUT_TENSORFLOW = """
import json, sys
from pathlib import Path
for name in ("tensorflow", "keras", "scipy", "sklearn"):
    sys.modules[name] = None
from tl_app.export.small_model import SmallModel
from tl_app.inputs.files import read_encoded
model = SmallModel(Path(sys.argv[1]), sys.argv[2])
pictures = [read_encoded(Path(path), max_pixels=10**6) for path in sys.argv[3:]]
print(json.dumps([row.tolist() for row in model.answer_each(pictures)]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs of its own, which tests may spoil, and a run on them."""
    folder = tmp_path_factory.mktemp("small_formats")
    make_photos(folder / "photos", n_per_class=60)
    tl_app_json("train", folder / "photos", "--name", "run", *TRAIN_SMALL, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return RunFolder.open("run", place)


def files_of(run: RunFolder) -> list[Path]:
    root = Path(run.read_dataset().root)
    return [root / path for path in run.read_predictions("test").paths]


def export(place: Path, *arguments: object) -> dict[str, Any]:
    return tl_app_json("export", "run", *arguments, cwd=place)


@pytest.mark.parametrize(
    ("name", "precision", "limit"),
    [
        ("litert", "float32", 1e-4),
        ("litert", "float16", 0.02),
        ("litert", "dynamic-int8", 0.2),
        ("litert", "int8", 0.3),
        ("onnx", "float32", 1e-4),
    ],
)
def test_a_format_says_what_the_run_recorded(name, precision, limit, place, run):
    destination = f"served-{name}-{precision}"
    done = export(
        place, destination, "--format", name, "--precision", precision, "--max-accuracy-drop", "0.2"
    )
    version = place / done["version_folder"]
    assert version == place / destination / "1"
    assert done["saved_model"] is None
    assert small_formats(version) == (name,)
    assert not (version.parent / "serving").exists()
    recorded = run.read_predictions("test")
    (found,) = done["small_formats"]
    assert (found["format"], found["precision"]) == (name, precision)
    assert done["n_examples"] == found["n_examples"] == len(recorded.paths)
    assert found["n_bytes"] == sum(
        path.stat().st_size for path in version.iterdir() if path.is_file()
    )
    assert set(found["latency_ms"]) == {"1", "32"}
    model = SmallModel(version, name)
    pictures = [read_encoded(file, max_pixels=10**6) for file in files_of(run)]
    told = np.stack([row for row in model.answer_each(pictures) if isinstance(row, np.ndarray)])
    difference = np.abs(told - recorded.probabilities).max()
    assert difference <= limit
    assert found["largest_difference"] == pytest.approx(difference, abs=1e-6)
    assert found["accuracy"] == pytest.approx((told.argmax(axis=1) == recorded.y_true).mean())
    assert model.class_names == recorded.class_names
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=2e-3)


def test_the_report_has_a_row_for_each(place, run):
    export(place, "first", "--format", "litert")
    export(place, "second", "--format", "litert", "--format", "onnx")
    kept = json.loads(run.small_formats_file.read_text())
    assert len({(row["format"], row["precision"]) for row in kept}) == len(kept)
    page = run.report.read_text(encoding="utf-8")
    assert page.count("LiteRT, float32") == 1
    assert page.count("ONNX, float32") == 1
    assert "Small formats" in page


def test_one_version_holds_them_all_for_servers_of_both_kinds(place, run):
    done = export(place, "all", "--format", "savedmodel", "--format", "onnx", "--format", "litert")
    version = place / done["version_folder"]
    assert {"saved_model.pb", "model.tflite", "model.onnx"} <= {p.name for p in version.iterdir()}
    assert done["saved_model"] == done["version_folder"]
    assert (version.parent / "serving" / "models.config").exists()
    told = tl_app_json("predict", version, *files_of(run), cwd=place)
    assert len(told["predictions"]) == len(files_of(run))
    again = export(place, "all", "--format", "litert")
    assert Path(again["version_folder"]).name == "2"


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_it_is_asked_without_tensorflow(name, place, run):
    version = place / export(place, f"light-{name}", "--format", name)["version_folder"]
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, version, name, *files_of(run)]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    recorded = run.read_predictions("test").probabilities
    np.testing.assert_allclose(json.loads(done.stdout), recorded, atol=1e-4)


def refused(place: Path, *arguments: object) -> tuple[int, str]:
    before = sorted(place.rglob("*"))
    done = tl_app("export", "run", "refused", *arguments, cwd=place)
    assert "Traceback" not in done.stderr
    assert not (place / "refused").exists()
    assert sorted(place.rglob("*")) == before
    return done.returncode, " ".join(done.stderr.split())


def test_what_loses_more_accuracy_than_is_allowed_is_refused(place, monkeypatch):
    """The weights are spoiled on their way into the file."""
    from tl_app.app import exporting

    def spoiled(model, **options):
        layer = next(part for part in model._flatten_layers() if part.name == "logits")
        kernel, bias = layer.get_weights()
        layer.set_weights([-kernel, bias])
        return to_litert(model, **options)

    to_litert = exporting.to_litert
    monkeypatch.setattr(exporting, "to_litert", spoiled)
    code, said = refused(place, "--format", "litert", "--precision", "float16")
    assert code == 1
    assert "tells fewer examples rightly" in said
    assert "--max-accuracy-drop" in said
    code, said = refused(
        place, "--format", "litert", "--max-accuracy-drop", "1"
    )  # float32 has to say the same, whatever is allowed
    assert code == 1
    assert "does not say what the run recorded" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "onnx", "--precision", "int8"), "belongs to litert"),
        (("--precision", "float16"), "belongs to litert"),
        (("--format", "litert", "--max-accuracy-drop", "7"), "0 to 1"),
        (("--format", "tflite"), "invalid choice"),
    ],
)
def test_what_cannot_be_had_is_told(arguments, words, place):
    code, said = refused(place, *arguments)
    assert code == 2
    assert words in said


def test_a_changed_or_lost_picture_is_told(place, run):
    file = next(file for file in files_of(run) if file.suffix == ".png")
    content = file.read_bytes()
    try:
        Image.new("RGB", (80, 80), "red").save(file)
        code, said = refused(place, "--format", "litert")
        assert code == 3
        assert "not as the run read" in said
        file.unlink()
        code, said = refused(place, "--format", "onnx")
        assert code == 3
        assert "cannot be used" in said
    finally:
        file.write_bytes(content)


def test_without_the_converter_of_onnx_it_is_told(place, monkeypatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == "tf2onnx"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    code, said = refused(place, "--format", "onnx")
    assert code == 2
    assert "pip install 'tl_app[onnx]'" in said
