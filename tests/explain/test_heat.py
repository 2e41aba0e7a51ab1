"""Heat maps: they lie where the answer comes from, and tell when they say nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from scipy.stats import spearmanr

from tl_app.backbones.loading import build_backbone
from tl_app.backbones.registry import get_spec
from tl_app.config import Config
from tl_app.explain.grad_cam import heat_maps
from tl_app.explain.heat import (
    OCCLUSION_CELLS,
    HeatMaps,
    mean_alike,
    occlude,
    occlusion_map,
    to_unit,
)
from tl_app.training.classifier import Classifier

SIDE = 56
RED, GREEN = 0, 1


def classifier(*, is_map: bool, hidden: bool = False) -> keras.Model:
    """Red against green, by how much of each there is; built as the app's classifiers are."""
    pixels = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.AveragePooling2D(8)(pixels)
    x = keras.layers.Rescaling(1 / 255)(x)
    kernel = keras.ops.reshape([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], (1, 1, 3, 3))
    conv = keras.layers.Conv2D(3, 1, activation="relu")
    x = conv(x)
    if is_map:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    else:
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Activation("linear", name="pool")(x)
    conv.set_weights([ops.convert_to_numpy(kernel).swapaxes(2, 3), np.zeros(3)])
    features = keras.Input((3,))
    h = features
    if hidden:
        dense = keras.layers.Dense(3, activation="relu")
        h = dense(h)
        dense.set_weights([np.eye(3), np.zeros(3)])
    logits_layer = keras.layers.Dense(2, name="logits")
    head = keras.Model(features, logits_layer(h), name="head")
    logits_layer.set_weights([np.array([[9.0, -9.0], [-9.0, 9.0], [0.0, 0.0]]), np.zeros(2)])
    return keras.Model(pixels, keras.layers.Softmax(name="probabilities")(head(x)))


def two_patches() -> np.ndarray:
    """Red above on the left, green below on the right, grey between."""
    picture = np.full((SIDE, SIDE, 3), 100.0, np.float32)
    picture[8:16, 8:16] = (255, 0, 0)
    picture[40:48, 40:48] = (0, 255, 0)
    return picture


@pytest.mark.parametrize("is_map", [True, False], ids=["grad_cam", "occlusion"])
@pytest.mark.parametrize("hidden", [False, True], ids=["linear", "hidden"])
def test_the_heat_is_where_the_answer_comes_from(is_map, hidden):
    pictures = np.stack([two_patches()] * 2)
    found = heat_maps(
        classifier(is_map=is_map, hidden=hidden), ["a", "b"], pictures, np.array([RED, GREEN])
    )
    assert found.method == ("grad_cam" if is_map else "occlusion")
    for path, place in (("a", (1, 1)), ("b", (5, 5))):
        heat = found.maps[path]
        assert heat.shape == (7, 7)
        assert heat.dtype == np.float32
        assert divmod(int(heat.argmax()), 7) == place
        assert heat.max() == 1
        assert heat[3, 3] < 0.05


def test_of_a_linear_head_the_heat_is_the_class_activation_map():
    model = classifier(is_map=True)
    rng = np.random.default_rng(0)
    pictures = rng.uniform(0, 255, (40, SIDE, SIDE, 3)).astype(np.float32)
    columns = rng.integers(0, 2, 40)
    found = heat_maps(model, [str(i) for i in range(40)], pictures, columns)
    activations = keras.Model(model.input, model.get_layer("pool").input)(pictures).numpy()
    kernel = model.get_layer("head").get_layer("logits").get_weights()[0]
    expected = to_unit(np.einsum("nhwc,cn->nhw", activations, kernel[:, columns]))
    np.testing.assert_allclose(np.stack(list(found.maps.values())), expected, atol=1e-5)


def test_the_weights_of_the_model_stay_as_they_are():
    model = classifier(is_map=True)
    before = [weight.copy() for weight in model.get_weights()]
    heat_maps(model, ["a"], two_patches()[np.newaxis], np.array([RED]))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_maps_that_no_weight_changes_are_all_alike():
    """A head whose weights are all the same gives the same map in every order."""
    model = classifier(is_map=True)
    logits = model.get_layer("head").get_layer("logits")
    logits.set_weights([np.ones((3, 2)), np.zeros(2)])
    found = heat_maps(model, ["a"], two_patches()[np.newaxis], np.array([RED]))
    assert found.alike == pytest.approx(1.0)
    logits.set_weights([np.zeros((3, 2)), np.zeros(2)])
    empty = heat_maps(model, ["a"], two_patches()[np.newaxis], np.array([RED]))
    assert empty.alike is None
    assert not empty.maps["a"].any()


@given(st.integers(0, 2**32 - 1))
def test_how_alike_maps_are_is_spearmans_correlation(seed):
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 5, (3, 4, 4)).astype(np.float32)
    others = rng.integers(0, 5, (2, 3, 4, 4)).astype(np.float32)
    expected = [
        spearmanr(mine.ravel(), theirs.ravel()).statistic
        for other in others
        for mine, theirs in zip(maps, other, strict=True)
    ]
    assert mean_alike(maps, others) == pytest.approx(np.mean(np.abs(expected)))


def test_every_part_is_covered_once():
    picture = two_patches()
    covered = occlude(picture)
    assert covered.shape == (OCCLUSION_CELLS**2, SIDE, SIDE, 3)
    differs = (covered != picture).any(axis=-1)
    assert differs.any(axis=0).all()
    assert differs.mean(axis=(1, 2)).max() < 0.1
    np.testing.assert_allclose(covered[0][0, 0], picture.mean(axis=(0, 1)), rtol=1e-6)


def test_without_a_part_that_speaks_against_the_answer_it_is_surer():
    covered = np.full(OCCLUSION_CELLS**2, 0.6, np.float32)
    covered[0], covered[1] = 0.2, 0.9
    heat = to_unit(occlusion_map(0.6, covered)[np.newaxis])[0]
    assert heat[0, 0] == 1
    assert heat[0, 1] == 0


def test_heat_maps_are_read_back_as_they_were_written():
    maps = HeatMaps("occlusion", {"a/ü.jpg": np.array([[0, 0.1234], [1, 0.5]], np.float32)}, None)
    again = HeatMaps.from_dict(maps.to_dict())
    assert again.to_dict() == maps.to_dict()
    np.testing.assert_allclose(again.maps["a/ü.jpg"], maps.maps["a/ü.jpg"], atol=5e-4)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3_small", "convnext_tiny"])
def test_backbones_of_the_registry_have_maps(name):
    spec = get_spec(name)
    config = Config(backbone=name, head_hidden_units=(4,))
    classifier = Classifier(build_backbone(spec, image_size_px=96), 3, config)
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    found = heat_maps(classifier.probabilities(), ["a", "b"], pictures, np.array([0, 2]))
    assert found.method == "grad_cam"
    assert {heat.shape for heat in found.maps.values()} == {(3, 3)}
    assert all(np.isfinite(heat).all() for heat in found.maps.values())
