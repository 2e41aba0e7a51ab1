"""Folded batch normalisation: what is folded, what is left, and that it says the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tests.backbones.helpers import enliven, random_pixels, write_feature_vector
from tests.engines.makers import largest_difference, outputs_of, small_model
from tl_app.backbones.layers import BatchNormalization
from tl_app.backbones.loading import build_backbone, load_backbone
from tl_app.backbones.registry import all_specs, get_spec
from tl_app.engines.fold import fold_batch_normalization
from tl_app.progress import SilentReporter

# Batch normalisation layers that stay: ahead of an activation, or of several readers.
LEFT = {"ResNetV2": 17, "DenseNet": 62, "NASNet": 4}
QUICK = ("efficientnet_lite0", "resnet50_v2", "mobilenet_v3_small")
# Too much like another family to be worth the time.
ALIKE = ("Inception-ResNet", "EfficientNetV2")
FIRST = {spec.family: spec.name for spec in reversed(all_specs()) if spec.family not in ALIKE}


def normalisations(model: keras.Model) -> int:
    return sum(isinstance(x, layers.BatchNormalization) for x in model._flatten_layers())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in FIRST.values()
    ],
)
def test_every_family_says_the_same_folded(name) -> None:
    spec = get_spec(name)
    size = max(64, spec.min_image_size_px)
    model = build_backbone(spec, image_size_px=size).model
    enliven(model)
    folded = fold_batch_normalization(model)
    assert normalisations(folded) == LEFT.get(spec.family, 0)
    assert (folded is model) == (normalisations(model) == 0)
    if folded is model:
        return
    pixels = random_pixels(2, size)
    (ours,), (theirs,) = outputs_of(folded, pixels), outputs_of(model, pixels)
    assert theirs.std() > 1e-3
    # Random weights make more of a rounding than trained ones.
    assert largest_difference(ours, theirs) < 1e-4


def conv(**values):
    return layers.Conv2D(6, 3, **values)


def chain(*parts) -> Callable:
    def build(x):
        for part in parts:
            x = part(x)
        return x

    return build


def read_twice(x):
    x = conv()(x)
    return layers.Add()([layers.BatchNormalization()(x), x])


def called_twice(x):
    shared = layers.Conv2D(3, 3, padding="same")
    return layers.BatchNormalization()(shared(shared(x)))


def shared_normalisation(x):
    shared = layers.BatchNormalization()
    return shared(layers.Conv2D(6, 3, padding="same")(shared(conv(padding="same")(x))))


def also_an_output(x):
    x = conv()(x)
    return [layers.BatchNormalization()(x), x]


def nested(x):
    entry = keras.Input(x.shape[1:])
    inner = keras.Model(entry, layers.BatchNormalization()(conv()(entry)))
    return layers.ReLU()(inner(x))


FOLDED = {
    "convolution": chain(conv(use_bias=False), layers.BatchNormalization()),
    "its bias": chain(conv(), layers.BatchNormalization()),
    "frozen for good": chain(conv(), BatchNormalization()),
    "padding": chain(conv(padding="same", strides=2), layers.BatchNormalization()),
    "groups": chain(layers.Conv2D(6, 3, groups=3), layers.BatchNormalization()),
    "no scale": chain(conv(), layers.BatchNormalization(scale=False)),
    "no offset": chain(conv(), layers.BatchNormalization(center=False)),
    "depthwise": chain(layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()),
    "separable": chain(layers.SeparableConv2D(6, 3), layers.BatchNormalization()),
    "dense": chain(layers.Flatten(), layers.Dense(5), layers.BatchNormalization()),
    "inference asked for": lambda x: layers.BatchNormalization()(conv()(x), training=False),
    "inside a nested model": nested,
    "two in a row": chain(conv(), layers.BatchNormalization(), conv(), layers.BatchNormalization()),
}
KEPT = {
    "activation": chain(conv(activation="relu"), layers.BatchNormalization()),
    "first": chain(layers.BatchNormalization(), conv()),
    "read twice": read_twice,
    "called twice": called_twice,
    "shared": shared_normalisation,
    "an output": also_an_output,
    "half precision": chain(
        conv(dtype="mixed_bfloat16"), layers.BatchNormalization(dtype="mixed_bfloat16")
    ),
    "another axis": chain(conv(), layers.BatchNormalization(axis=1)),
}


@pytest.mark.parametrize("case", [*FOLDED, *KEPT])
def test_what_is_folded_and_what_stays(case) -> None:
    pixels = keras.Input((9, 9, 3))
    model = keras.Model(pixels, {**FOLDED, **KEPT}[case](pixels))
    enliven(model)
    folded = fold_batch_normalization(model)
    assert normalisations(model) >= 1
    assert normalisations(folded) == (0 if case in FOLDED else normalisations(model))
    assert (folded is model) == (case in KEPT)
    values = random_pixels(4, 9) / 255
    expected = outputs_of(model, values)
    for ours, theirs in zip(outputs_of(folded, values), expected, strict=True):
        assert largest_difference(ours, theirs) < 2e-6


def test_two_normalisations_in_a_row_fold_one() -> None:
    pixels = keras.Input((9, 9, 3))
    x = layers.BatchNormalization()(conv()(pixels))
    model = keras.Model(pixels, layers.BatchNormalization()(x))
    enliven(model)
    folded = fold_batch_normalization(model)
    assert normalisations(folded) == 1
    values = random_pixels(2, 9)
    (ours,), (theirs,) = outputs_of(folded, values), outputs_of(model, values)
    assert largest_difference(ours, theirs) < 2e-6


def test_the_model_knows_nothing_of_its_folded_twin() -> None:
    model = small_model(n_outputs=2)
    before = [value.copy() for value in model.get_weights()]
    calls = [len(operation._inbound_nodes) for operation in model.operations]
    folded = fold_batch_normalization(model)
    assert [len(operation._inbound_nodes) for operation in model.operations] == calls
    for left, right in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert model.operations[-1].output is model.operations[-1]._inbound_nodes[0].outputs[0]
    kernel = weakref.ref(next(x for x in folded.layers if isinstance(x, layers.Conv2D)))
    del folded
    gc.collect()
    assert kernel() is None


def test_layers_that_are_not_folded_share_their_variables() -> None:
    pixels = keras.Input((9, 9, 3))
    x = layers.ReLU()(layers.BatchNormalization()(conv()(pixels)))
    model = keras.Model(pixels, layers.Dense(2, name="logits")(layers.Flatten()(x)))
    folded = fold_batch_normalization(model)
    assert folded.get_layer("logits").kernel is model.get_layer("logits").kernel
    model.get_layer("logits").kernel.assign(np.zeros((294, 2), np.float32))
    assert not np.asarray(folded(random_pixels(1, 9))).any()


def test_a_folded_model_can_be_saved_cut_and_folded_again(tmp_path: Path) -> None:
    model = small_model(n_outputs=2)
    folded = fold_batch_normalization(model)
    assert fold_batch_normalization(folded) is folded
    pixels = random_pixels(2, 16)
    expected = outputs_of(folded, pixels)
    folded.save(tmp_path / "folded.keras")
    for again in (
        keras.saving.load_model(tmp_path / "folded.keras"),
        keras.Model(folded.input, folded.outputs),
    ):
        for ours, theirs in zip(outputs_of(again, pixels), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_folded_model_traces_into_a_saved_model(tmp_path: Path) -> None:
    folded = fold_batch_normalization(small_model())
    module = tf.Module()
    module.model = folded
    module.run = tf.function(
        lambda pixels: folded(pixels, training=False),
        input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32)],
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    pixels = random_pixels(2, 16)
    np.testing.assert_allclose(loaded.run(pixels), folded(pixels), rtol=1e-6)


def test_a_hub_backbone_has_nothing_to_fold(tmp_path: Path) -> None:
    folder = write_feature_vector(tmp_path / "vector")
    backbone = load_backbone(f"hub:{folder}", image_size_px=32, reporter=SilentReporter())
    assert fold_batch_normalization(backbone.model) is backbone.model
