"""EfficientNet-Lite: the right architecture, and right answers on photographs."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import skimage
import sklearn
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.backbones.helpers import random_pixels
from tests.backbones.test_torch_reader import write_pth
from tl_app.backbones.efficientnet_lite import (
    SCALING,
    build_efficientnet_lite,
    load_torch_weights,
    scale_channels,
    scaled_blocks,
)
from tl_app.backbones.loading import load_backbone
from tl_app.backbones.registry import get_spec
from tl_app.backbones.torch_reader import read_torch_tensors
from tl_app.backbones.weights import find_weights
from tl_app.errors import WeightsError

SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
SKIMAGE = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = {
    "china": (SKLEARN / "china.jpg", {698: "palace"}),
    "flower": (SKLEARN / "flower.jpg", {985: "daisy"}),
    "cat": (SKIMAGE / "chelsea.png", {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"}),
    "coffee": (SKIMAGE / "coffee.png", {967: "espresso"}),
    "rocket": (SKIMAGE / "rocket.jpg", {657: "missile", 744: "projectile"}),
    "camera": (SKIMAGE / "camera.png", {872: "tripod"}),
}


def classifier(variant: int, reporter) -> keras.Model:
    spec = get_spec(f"efficientnet_lite{variant}")
    file = find_weights(spec, None, reporter=reporter)
    return build_efficientnet_lite(spec, spec.image_size_px, file.path, include_top=True)


def read_square(path: Path, size: int) -> tf.Tensor:
    """float32 pixels (1, size, size, 3): the middle square, resized with antialiasing."""
    pixels = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
    side = min(pixels.shape[:2])
    pixels = tf.image.resize_with_crop_or_pad(pixels, side, side)
    return tf.image.resize(pixels, (size, size), antialias=True)[tf.newaxis]


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_photographs_of_imagenet_classes_are_named_rightly(variant, reporter) -> None:
    model = classifier(variant, reporter)
    # The larger variants see a honeycomb in the flower and a drilling rig in the rocket.
    names = list(PHOTOGRAPHS) if variant == 0 else ["china", "cat", "coffee", "camera"]
    wrong = {}
    for name in names:
        path, classes = PHOTOGRAPHS[name]
        logits = model(read_square(path, model.input_shape[1]))[0]
        best = int(np.argmax(logits))
        if best not in classes:
            wrong[name] = best
    assert not wrong


def test_confidence_on_a_cup_of_espresso(reporter) -> None:
    model = classifier(0, reporter)
    pixels = read_square(PHOTOGRAPHS["coffee"][0], 224)
    probability = tf.nn.softmax(model(pixels))[0, 967]
    assert float(probability) == pytest.approx(0.94, abs=0.02)
    # The normalisation inside matters: the same picture scaled to 0..1 is no espresso.
    assert float(tf.nn.softmax(model(pixels / 255.0))[0, 967]) < 0.5


def test_one_inverted_bottleneck_computes_what_its_formula_says(reporter) -> None:
    """Block 2 by hand in NumPy, from the file's own tensors: layouts, epsilon, order."""
    backbone = load_backbone("efficientnet_lite0", image_size_px=32, reporter=reporter)
    assert backbone.weights_file is not None
    tensors = read_torch_tensors(backbone.weights_file)
    model = backbone.model
    outputs = [model.get_layer(name).output for name in ("block1_project_bn", "block2_add")]
    entry, leave = (
        np.asarray(t, "float64")
        for t in keras.Model(model.inputs[0], outputs)(random_pixels(1, 32))
    )

    def normalise(x, name):
        gamma, beta, mean, variance = (
            tensors[f"_blocks.2.{name}.{part}"].astype("float64")
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    x = entry @ tensors["_blocks.2._expand_conv.weight"][:, :, 0, 0].T
    x = np.clip(normalise(x, "_bn0"), 0, 6)
    kernel = tensors["_blocks.2._depthwise_conv.weight"][:, 0]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    x = sum(
        padded[:, i : i + height, j : j + width] * kernel[:, i, j]
        for i in range(3)
        for j in range(3)
    )
    x = np.clip(normalise(x, "_bn1"), 0, 6)
    x = normalise(x @ tensors["_blocks.2._project_conv.weight"][:, :, 0, 0].T, "_bn2") + entry
    np.testing.assert_allclose(leave, x, rtol=1e-4, atol=1e-4)


@given(st.integers(8, 2000), st.floats(0.5, 2.0))
def test_channels_are_multiples_of_eight_near_the_wish(channels, width) -> None:
    scaled = scale_channels(channels, width)
    assert scaled % 8 == 0
    assert scaled >= 0.9 * channels * width
    assert abs(scaled - channels * width) <= 8


def test_depth_scaling_spares_the_ends() -> None:
    counts = {name: len(list(scaled_blocks(*factors))) for name, factors in SCALING.items()}
    assert counts == {"lite0": 16, "lite1": 21, "lite2": 21}
    blocks = list(scaled_blocks(*SCALING["lite2"]))
    assert [blocks[0].channels, blocks[-1].channels] == [16, 352]
    assert [block.stride for block in blocks].count(2) == 4


def test_a_file_of_another_variant_is_refused_and_changes_nothing(reporter) -> None:
    spec = get_spec("efficientnet_lite0")
    model = build_efficientnet_lite(spec, 32, None)
    before = [value.copy() for value in model.get_weights()]
    other = find_weights(get_spec("efficientnet_lite2"), None, reporter=reporter)
    with pytest.raises(WeightsError, match="does not fit efficientnet_lite0"):
        load_torch_weights(model, other.path)
    for left, right in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_missing_and_left_over_tensors_are_named(reporter, tmp_path) -> None:
    spec = get_spec("efficientnet_lite0")
    tensors = read_torch_tensors(find_weights(spec, None, reporter=reporter).path)
    model = build_efficientnet_lite(spec, 32, None)
    less = {name: array for name, array in tensors.items() if name != "_conv_head.weight"}
    with pytest.raises(WeightsError, match=r"_conv_head\.weight is missing"):
        load_torch_weights(model, write_pth(tmp_path / "less.pth", less))
    more = {**tensors, "_extra.weight": np.ones(3, "float32")}
    with pytest.raises(WeightsError, match=r"_extra\.weight is not part"):
        load_torch_weights(model, write_pth(tmp_path / "more.pth", more))
    same = {name: array for name, array in tensors.items() if not name.startswith("_fc")}
    load_torch_weights(model, write_pth(tmp_path / "headless.pth", same))
