"""Engines that are not installed or cannot run a model, and what is said about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.helpers import write_feature_vector
from tests.engines.makers import (
    SIZE,
    largest_difference,
    outputs_of,
    photographs,
    small_model,
    small_pictures,
)
from tl_app.backbones.loading import load_backbone
from tl_app.engines import conversion
from tl_app.engines.base import CONVERTED
from tl_app.engines.build import ENGINES, build_engine
from tl_app.errors import ConfigError, EngineUnavailable
from tl_app.libraries import NOISE
from tl_app.progress import SilentReporter


class IncompleteBeta(keras.layers.Layer):
    """Computes what neither LiteRT nor ONNX has a kernel for."""

    def call(self, x):
        positive = tf.abs(x) + 1.0
        return tf.raw_ops.Betainc(a=positive, b=positive, x=tf.sigmoid(x))

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype="float32")


def strange_model() -> keras.Model:
    pixels = keras.Input((SIZE, SIZE, 3))
    return keras.Model(pixels, IncompleteBeta()(keras.layers.Conv2D(2, 3)(pixels)))


def test_an_unknown_engine_is_told_with_its_neighbour() -> None:
    with pytest.raises(EngineUnavailable, match="Did you mean 'litert'") as caught:
        build_engine("lite", small_model(), batch_size=4)
    assert caught.value.allowed == ", ".join(ENGINES)
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("name", "library", "command"),
    [
        ("litert", "ai_edge_litert", "pip install ai-edge-litert"),
        ("onnxruntime", "onnxruntime", "pip install 'tl_app[onnx]'"),
        ("onnxruntime", "tf2onnx", "pip install 'tl_app[onnx]'"),
    ],
)
def test_a_library_that_is_not_installed_is_told(name, library, command, monkeypatch) -> None:
    for module in [m for m in sys.modules if m.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(EngineUnavailable, match=f"{name} is not installed: .*{library}") as caught:
        build_engine(name, small_model(), batch_size=4)
    assert caught.value.next_step == command
    assert name not in str(caught.value.allowed)


@pytest.mark.parametrize("name", CONVERTED)
def test_an_operation_without_kernel_is_named_and_nothing_else_said(name, capfd) -> None:
    model = strange_model()
    capfd.readouterr()
    with pytest.raises(EngineUnavailable, match="Betainc"):
        build_engine(name, model, batch_size=4)
    said = capfd.readouterr().err.encode().splitlines()
    assert [line for line in said if not NOISE.match(line)] == []
    assert build_engine("folded", model, batch_size=4)(small_pictures())[0].shape == (5, 14, 14, 2)


@pytest.mark.parametrize("name", CONVERTED)
def test_half_precision_is_refused(name) -> None:
    with pytest.raises(EngineUnavailable, match="computes in bfloat16"):
        build_engine(name, small_model(dtype="mixed_bfloat16"), batch_size=4)


@pytest.mark.parametrize("name", CONVERTED)
def test_weights_that_no_protocol_buffer_holds_are_refused(name, monkeypatch) -> None:
    monkeypatch.setattr(conversion, "MAX_WEIGHT_BYTES", 1000)
    with pytest.raises(EngineUnavailable, match="weights take"):
        build_engine(name, small_model(), batch_size=4)


@pytest.mark.parametrize("name", ENGINES)
def test_a_hub_backbone_runs_in_every_engine(name, tmp_path: Path) -> None:
    folder = write_feature_vector(tmp_path / "vector")
    model = load_backbone(f"hub:{folder}", image_size_px=32, reporter=SilentReporter()).model
    (answer,) = build_engine(name, model, batch_size=4)(photographs(32))
    assert largest_difference(answer, outputs_of(model, photographs(32))[0]) <= 1e-5


def test_a_model_without_variables_runs() -> None:
    pixels = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))
    (answer,) = build_engine("folded", model, batch_size=2)(small_pictures(3))
    np.testing.assert_allclose(answer, small_pictures(3).mean(axis=(1, 2)), rtol=1e-6)


def test_no_engine_is_loaded_before_it_is_asked_for() -> None:
    code = (
        "import tl_app, tl_app.engines, tl_app.engines.base, sys; print(*sys.modules);"
        "import tl_app.engines.build; tl_app.engines.build.ENGINES; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"tensorflow", "keras", "ai_edge_litert", "onnxruntime", "tf2onnx"})
