"""Bad input through the whole command line: one clear message, the right code, nothing left."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.command_line import in_own_mounts, tl_app
from tests.end_to_end.photos import TRAIN_SMALL, draw
from tl_app.cli.main import main
from tl_app.errors import WeightsError
from tl_app.run import RUN_FORMAT


def fill(folder: Path, n: int = 5, kind: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(draw(kind, i, size=24)).save(folder / f"{i}.png")
    return folder


def two_classes(root: Path) -> Path:
    fill(root / "a", kind=0)
    fill(root / "b", kind=1)
    return root


def empty_folder(root: Path) -> list[str]:
    root.mkdir()
    return [str(root)]


def one_class(root: Path) -> list[str]:
    fill(root / "only")
    return [str(root)]


def a_class_with_two_pictures(root: Path) -> list[str]:
    two_classes(root)
    fill(root / "few", 2, kind=2)
    return [str(root)]


def a_file(root: Path) -> list[str]:
    root.write_bytes(b"x")
    return [str(root)]


def a_missing_table(root: Path) -> list[str]:
    return [str(root / "mail.csv")]


def a_pipe(root: Path) -> list[str]:
    root.mkdir()
    os.mkfifo(root / "x.csv")
    return [str(root / "x.csv")]


def loose_texts(root: Path) -> list[str]:
    root.mkdir()
    (root / "a.txt").write_text("text")
    return [str(root)]


def settings_of_texts(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--set", "phases.1.recompute=true"]


def a_folder_of_tables(root: Path) -> list[str]:
    root.mkdir()
    for name in ("one.csv", "two.csv"):
        (root / name).write_text("a,b\n1,2\n")
    return [str(root)]


def a_table_of_missing_files(root: Path) -> list[str]:
    root.mkdir()
    (root / "labels.csv").write_text("path,label\nno/1.png,a\nno/2.png,b\n")
    return [str(root), "--table", str(root / "labels.csv")]


def a_thousand_classes_with_one_picture(root: Path) -> list[str]:
    for i in range(1000):
        fill(root / f"class {i}", 1, kind=i % 3)
    return [str(root)]


def no_test_part(root: Path) -> list[str]:
    two_classes(root / "train")
    two_classes(root / "val")
    return [str(root)]


def three_mistakes(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--set", "phases.0.epoch=3", "--set", "batch_size=0", "--set", "sed=1"]


def no_such_backbone(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--backbone", "resnet5"]


def backbone_without_weights(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--backbone", "vgg16"]


def too_many_blocks(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--set", "phases.1.unfreeze=99"]


def missing_config_file(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--config", str(root / "no.toml")]


def unknown_device(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--set", 'devices=["GPU:7"]']


def missing_run_to_split_from(root: Path) -> list[str]:
    two_classes(root)
    return [str(root), "--split-from", "nothing"]


CASES = {
    empty_folder: (3, "The folder is empty"),
    one_class: (3, "one class"),
    a_class_with_two_pictures: (3, "few"),
    a_file: (3, "file"),
    a_missing_table: (3, "no such table"),
    a_pipe: (3, "no regular file"),
    loose_texts: (3, "put texts into"),
    settings_of_texts: (2, "for texts do not fit pictures"),
    a_folder_of_tables: (3, "csv"),
    a_table_of_missing_files: (3, "no/1.png"),
    a_thousand_classes_with_one_picture: (3, "more"),
    no_test_part: (3, "--no-test"),
    three_mistakes: (2, "3 problems"),
    no_such_backbone: (2, "Did you mean 'resnet50'"),
    backbone_without_weights: (1, "efficientnet_lite0"),
    too_many_blocks: (2, "0 to 18"),
    missing_config_file: (2, "cannot be read"),
    unknown_device: (2, "CPU:0"),
    missing_run_to_split_from: (1, "no run"),
}


def no_network(url: str, *_, **__) -> None:
    raise WeightsError("no network.", received=url)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_one_message_and_nothing_left(case, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("TL_APP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("tl_app.backbones.weights.download", no_network)
    code, words = CASES[case]
    output = tmp_path / "out"
    found = main(["train", *case(tmp_path / "data"), "--output", str(output)])
    text = capfd.readouterr()
    assert found == code, text.err
    assert words.casefold() in text.err.casefold()
    assert "Traceback" not in text.err
    assert text.out == ""
    assert not list(output.glob("models/*"))
    assert not list(output.glob("reports/*"))
    assert len(text.err) < 3000


@pytest.mark.parametrize(
    "names",
    [("Cat", "cat"), tuple(unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))],
    ids=["letter case", "Unicode form"],
)
def test_names_that_look_alike_are_warned_of_and_kept(names, tmp_path, capfd):
    root = tmp_path / "data"
    for kind, name in enumerate(names):
        fill(root / name, kind=kind)
    fill(root / "few", 1, kind=2)  # ends this run early, after the names were looked at
    assert main(["train", str(root), "--output", str(tmp_path / "out")]) == 3
    text = capfd.readouterr().err
    assert "kept apart" in text
    assert names[0] in text
    assert "--merge-classes" in text


def test_a_run_of_a_newer_version(tmp_path, capfd):
    run = tmp_path / "models" / "new"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"format": RUN_FORMAT + 1, "status": "complete"}))
    for arguments in (
        ["evaluate", str(run)],
        ["train", "--resume", str(run)],
        ["report", str(run)],
    ):
        assert main(arguments) == 1
        text = capfd.readouterr().err
        assert "newer tl_app" in text
        assert "pip install --upgrade" in text


def test_predict_what_is_not_there(tmp_path, capfd):
    assert main(["predict", str(tmp_path / "model"), str(tmp_path / "x.jpg")]) in (1, 3)
    assert "Traceback" not in capfd.readouterr().err


READ_ONLY = """
import subprocess, sys
output, photos = sys.argv[1:3]
subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", output], check=True)
from tl_app.cli.main import main
sys.exit(main(["train", photos, "--output", output, "--image-size", "64"]))
"""


@pytest.mark.slow
def test_a_read_only_output_folder(tmp_path):
    two_classes(tmp_path / "photos")
    output = tmp_path / "closed"
    output.mkdir()
    done = in_own_mounts(READ_ONLY, output, tmp_path / "photos")
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr
    assert "--output" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_thousand_classes_work(tmp_path):
    """From the folder to the report; the matrix folds into the worst pairs."""
    random = np.random.default_rng(0)
    root = tmp_path / "data"
    for label in range(1000):
        folder = root / f"class {label:04}"
        folder.mkdir(parents=True)
        base = random.integers(0, 256, (8, 8, 3))
        for i in range(3):
            pixels = np.clip(base + random.integers(-5, 6, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(folder / f"{i}.png")
    done = tl_app(
        "train",
        root,
        *TRAIN_SMALL,
        "--image-size",
        "32",
        "--set",
        'phases=[{name="head", l2=1.0}]',
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["test"]["accuracy"]["value"] > 0.01
