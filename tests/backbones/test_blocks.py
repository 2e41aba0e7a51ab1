"""Cuts and frozen layers, on real models; BatchNormalization above all."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backbones.helpers import enliven, random_pixels
from tl_app.backbones.blocks import (
    Backbone,
    boundary_layers,
    cut,
    find_blocks,
    layer_depths,
    set_trainable,
)
from tl_app.backbones.loading import build_backbone, load_backbone
from tl_app.backbones.registry import get_spec
from tl_app.errors import ConfigError
from tl_app.progress import SilentReporter

SIZE = 32


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return load_backbone("efficientnet_lite0", image_size_px=SIZE, reporter=SilentReporter())


def averages(model: keras.Model) -> dict[str, np.ndarray]:
    """Moving means and variances of every BatchNormalization, by path."""
    found = {}
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            found[f"{layer.name} mean"] = layer.moving_mean.numpy()
            found[f"{layer.name} variance"] = layer.moving_variance.numpy()
    return found


def classifier(backbone: Backbone) -> keras.Model:
    """Pixels to three classes, around the backbone as a nested model."""
    pixels = keras.Input((SIZE, SIZE, 3))
    x = backbone.model(pixels)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(x))


def train(model: keras.Model, *, eagerly: bool = True) -> None:
    """One step; in a graph it takes seconds to trace."""
    model.compile(
        keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", run_eagerly=eagerly
    )
    model.fit(random_pixels(3, SIZE), np.arange(3), batch_size=3, verbose=0)


def assert_same(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> None:
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_every_cut_of_lite0_gives_the_whole_again(lite0) -> None:
    assert [block.name for block in lite0.blocks] == [
        "stem",
        *(f"block{i}" for i in range(16)),
        "top",
    ]
    pixels = random_pixels(2, SIZE)
    expected = lite0.model(pixels)
    for n in (*range(len(lite0.blocks) + 1), "all"):
        below, above = cut(lite0, n)
        np.testing.assert_array_equal(above(below(pixels)), expected, err_msg=str(n))


def test_the_boundary_under_the_top_three_is_after_block_13(lite0) -> None:
    below, above = cut(lite0, 3)
    assert below.output_shape == above.input_shape == (None, 1, 1, 192)
    assert below.layers[-1].name == "block13_add"


def test_training_the_upper_part_trains_the_backbone(lite0) -> None:
    set_trainable(lite0, 1)
    below, above = cut(lite0, 1)
    kept = below.predict(random_pixels(8, SIZE), verbose=0)
    inner = lite0.model.get_layer("top_conv")
    assert above.get_layer("top_conv") is inner
    before = inner.kernel.numpy().copy()
    above.compile(keras.optimizers.SGD(0.01), "mse")
    above.fit(kept, np.ones((8, *above.output_shape[1:])), verbose=0)
    assert not np.array_equal(before, inner.kernel.numpy())
    pixels = random_pixels(2, SIZE)
    np.testing.assert_array_equal(above(below(pixels)), lite0.model(pixels))
    set_trainable(lite0, 0)


@pytest.mark.parametrize("n", [0, 1, 3, 17, 18, "all"])
def test_only_the_top_blocks_train(lite0, n) -> None:
    set_trainable(lite0, n)
    count = len(lite0.blocks) if n == "all" else n
    names = {
        name for block in lite0.blocks[len(lite0.blocks) - count :] for name in block.layer_names
    }
    expected = {
        f"{layer.name}/{variable.name}"
        for layer in lite0.model.layers
        if layer.name in names and not isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.weights
    }
    trained = {"/".join(v.path.split("/")[-2:]) for v in lite0.model.trainable_variables}
    assert trained == expected
    assert bool(expected) == (n != 0)
    set_trainable(lite0, 0)
    assert lite0.model.trainable_variables == []
    assert not lite0.model.trainable


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v2"])
def test_moving_averages_stand_still_in_every_phase(name, tmp_path) -> None:
    backbone = build_backbone(get_spec(name), image_size_px=SIZE)
    enliven(backbone.model)
    model = classifier(backbone)
    before = averages(model)
    assert len(before) > 90
    n_blocks = len(backbone.blocks)
    for n in (*range(0, n_blocks + 1, 3), "all"):
        set_trainable(backbone, n)
        kernels = {v.path: v.numpy().copy() for v in backbone.model.trainable_variables}
        assert bool(kernels) == (n != 0)
        train(model)
        assert_same(before, averages(model))
        moved = [not np.array_equal(kernels[v.path], v) for v in backbone.model.trainable_variables]
        assert n == 0 or np.mean(moved) > 0.5
    train(model, eagerly=False)
    assert_same(before, averages(model))
    pixels = random_pixels(3, SIZE)
    np.testing.assert_allclose(
        backbone.model(pixels, training=True), backbone.model(pixels), rtol=1e-4, atol=1e-4
    )

    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(before, averages(reloaded))
    reloaded.trainable = True
    train(reloaded)
    assert_same(before, averages(reloaded))
    assert not any("/gamma" in v.path or "/beta" in v.path for v in reloaded.trainable_variables)


def test_the_trap_is_real_with_keras_own_layer() -> None:
    """Without the frozen layer the averages do move, even when called with training=False."""
    entry = keras.Input((4,))
    inner = keras.Model(entry, keras.layers.BatchNormalization()(entry))
    outer_entry = keras.Input((4,))
    outer = keras.Model(outer_entry, keras.layers.Dense(1)(inner(outer_entry, training=False)))
    before = averages(outer)
    outer.compile("sgd", "mse")
    outer.fit(np.random.default_rng(0).normal(5, 1, (8, 4)), np.ones((8, 1)), verbose=0)
    after = averages(outer)
    assert any(not np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("wrong", [19, 100, -1, "some", 1.5, True, None])
def test_impossible_numbers_of_blocks_are_refused(lite0, wrong) -> None:
    for function in (cut, set_trainable):
        with pytest.raises(ConfigError) as caught:
            function(lite0, wrong)
        assert "0 to 18" in str(caught.value)


def test_depths_count_from_the_top(lite0) -> None:
    depths = layer_depths(lite0)
    assert depths["top_conv"] == 0
    assert depths["block15_project_conv"] == 1
    assert depths["stem_conv"] == 17
    assert set(depths) == {layer.name for layer in lite0.model.layers}


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_boundaries_are_found_in_any_graph(data) -> None:
    """Against the definition: a layer is a boundary if removing it parts input from output."""
    entry = keras.Input((2,), name="l0")
    tensors = [entry]
    parents: dict[int, list[int]] = {0: []}
    for index in range(1, data.draw(st.integers(2, 9))):
        chosen = data.draw(st.sets(st.integers(0, index - 1), min_size=1, max_size=2))
        parents[index] = sorted(chosen)
        inputs = [tensors[i] for i in parents[index]]
        layer = keras.layers.Dense(2) if len(inputs) == 1 else keras.layers.Add()
        layer.name = f"l{index}"
        tensors.append(layer(inputs[0] if len(inputs) == 1 else inputs))
    last = len(tensors) - 1
    model = keras.Model(entry, tensors[last])

    def reaches(removed: int) -> bool:
        """Whether the output still hangs on the input without `removed`."""
        open_, seen = [last], set()
        while open_:
            node = open_.pop()
            if node == removed or node in seen:
                continue
            if node == 0:
                return True
            seen.add(node)
            open_.extend(parents[node])
        return False

    expected = {f"l{i}" for i in range(last + 1) if not reaches(i)}
    assert set(boundary_layers(model)) == expected
    blocks = find_blocks(model, ".*")
    names = [name for block in blocks for name in block.layer_names]
    assert names == [operation.name for operation in model.operations]
    assert {block.layer_names[-1] for block in blocks} <= expected


def test_a_saved_backbone_needs_only_the_layers_module(lite0, tmp_path) -> None:
    import subprocess
    import sys

    set_trainable(lite0, "all")
    lite0.model.save(tmp_path / "model.keras")
    set_trainable(lite0, 0)
    code = (
        "import sys, keras, tl_app.backbones.layers; m = keras.saving.load_model(sys.argv[1]); "
        "print(m.output_shape, 'tensorflow_hub' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(None, 1, 1, 1280) False", done.stderr[-2000:]
