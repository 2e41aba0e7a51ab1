"""The recipe's two variants, on a backbone small enough for a test."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks import peer_recipe

SIZE = 32


class Maker(ModuleType):
    """Stands for a user's module; remembers the backbone that it made."""

    model: keras.Model

    def make(self) -> tuple[keras.Model, Any]:
        pixels = keras.Input((SIZE, SIZE, 3))
        x = keras.layers.Conv2D(4, 3, strides=4, name="stem_conv")(pixels)
        x = keras.layers.BatchNormalization(name="stem_bn")(x)
        x = keras.layers.Conv2D(8, 3, name="top_conv")(x)
        x = keras.layers.BatchNormalization(name="top_bn")(x)
        self.model = keras.Model(pixels, keras.layers.ReLU(name="top_relu")(x))
        self.before = {layer.name: layer.get_weights() for layer in self.model.layers}
        return self.model, lambda x: x / 255.0

    def moved(self) -> dict[str, list[bool]]:
        """Layer name -> which of its weights are not as they were."""
        return {
            name: [
                not np.array_equal(a, b)
                for a, b in zip(old, self.model.get_layer(name).get_weights(), strict=True)
            ]
            for name, old in self.before.items()
            if old
        }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for side, n in (("train", 12), ("test", 3)):
        for name, low in (("dark", 0), ("light", 100)):
            (tmp_path / side / name).mkdir(parents=True)
            for i in range(n):
                pixels = generator.integers(low, low + 120, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / side / name / f"{i}.png")
    return tmp_path


def run(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[Maker, dict[str, Any]]:
    maker = Maker("maker_of_backbones")
    monkeypatch.setitem(sys.modules, maker.__name__, maker)
    command = ["peer_recipe.py", str(photos / "train"), str(photos / "test")]
    command += ["--backbone", f"{maker.__name__}:make", "--predictions", str(photos / "p.npz")]
    command += ["--size", str(SIZE), "--batch-size", "8", "--head-epochs", "1"]
    monkeypatch.setattr(sys, "argv", [*command, "--tune-epochs", "2", *more])
    peer_recipe.main()
    return maker, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
def test_published_moves_the_averages(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    maker, document = run(photos, monkeypatch, capsys)
    moved = maker.moved()
    assert all(map(all, moved.values()))
    assert len(moved["stem_bn"]) == 4
    assert [len(document["epoch_seconds"][phase]) for phase in ("head", "tune")] == [1, 2]
    assert document["total_seconds"] == pytest.approx(sum(document["seconds"].values()), abs=0.5)
    with np.load(photos / "p.npz") as arrays:
        names = sorted(path.decode() for path in arrays["paths"].tolist())
        accuracy = (arrays["logits"].argmax(axis=1) == arrays["y_true"]).mean()
    assert names == [f"{name}/{i}.png" for name in ("dark", "light") for i in range(3)]
    assert document["test_accuracy"] == pytest.approx(accuracy)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
def test_repaired_trains_the_top_alone(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--variant", "repaired", "--unfreeze", "top_conv")
    maker, _ = run(photos, monkeypatch, capsys, *more)
    moved = maker.moved()
    assert all(moved.pop("top_conv"))
    assert moved.keys() == {"stem_conv", "stem_bn", "top_bn"}
    assert not any(map(any, moved.values()))


def test_repaired_needs_a_layer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "peer_recipe.py a b --backbone m:f --predictions p.npz --variant repaired"
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit):
        peer_recipe.parse()
    assert "--unfreeze" in capsys.readouterr().err
