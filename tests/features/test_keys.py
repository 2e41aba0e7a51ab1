"""A key changes with everything that decides a feature, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.small_model import build_backbone
from tl_app.backbones.blocks import cut
from tl_app.config import Augmentation
from tl_app.features.extract import PLAIN, View, view_seeds
from tl_app.features.keys import code_fingerprint, model_fingerprint, picture_key, pictures_key
from tl_app.features.store import digest
from tl_app.records import Preprocessing


def build(*, units: int = 3, activation: str = "relu", name: str = "a", swap: bool = False):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    left = keras.layers.Dense(units, activation=activation, name=f"{name}_left")(inputs)
    right = keras.layers.Dense(units, name=f"{name}_right")(inputs)
    pair = [right, left] if swap else [left, right]
    return keras.Model(inputs, keras.layers.Concatenate(name=f"{name}_both")(pair))


def test_names_do_not_matter_and_weights_and_wiring_do() -> None:
    same = [model_fingerprint(build()), model_fingerprint(build(name="b"))]
    assert same[0] == same[1]
    changed = build()
    changed.layers[1].kernel.assign_add(np.full((4, 3), 1e-7))
    others = [
        model_fingerprint(other)
        for other in (changed, build(units=4), build(activation="gelu"), build(swap=True))
    ]
    assert len({same[0], *others}) == 5


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (lambda x: x * 2.0, lambda x: x * 3.0),
        (lambda x: x - 1.0, lambda x: 1.0 - x),
        (lambda x: keras.ops.reshape(x, (-1, 2, 2)), lambda x: keras.ops.reshape(x, (-1, 4, 1))),
        (lambda x: x[:, :2], lambda x: x[:, 2:]),
        (lambda x: keras.ops.clip(x, 0, 6), lambda x: keras.ops.clip(x, 0, 7)),
        (lambda x: x + np.ones(4, np.float32), lambda x: x + np.zeros(4, np.float32)),
    ],
)
def test_constants_and_order_of_operations_matter(left, right) -> None:
    found = []
    for operation in (left, right, left):
        inputs = keras.Input((4,))
        found.append(model_fingerprint(keras.Model(inputs, operation(inputs))))
    assert found[0] != found[1]
    assert found[0] == found[2]


def test_every_boundary_has_a_fingerprint_of_its_own_that_building_does_not_change() -> None:
    backbone = build_backbone()
    pool = keras.layers.GlobalAveragePooling2D()

    def fingerprints() -> list[str]:
        pooled = keras.Model(backbone.model.input, pool(backbone.model.output))
        return [model_fingerprint(cut(backbone, n)[0]) for n in (1, 2)] + [
            model_fingerprint(pooled)
        ]

    first = fingerprints()
    assert len(set(first)) == 3
    keras.Model(backbone.model.input, keras.layers.Flatten()(backbone.model.output))
    assert fingerprints() == first


def test_weights_above_a_boundary_do_not_matter_to_it() -> None:
    backbone = build_backbone()
    below = model_fingerprint(cut(backbone, 1)[0])
    whole = model_fingerprint(backbone.model)
    kernel = backbone.model.get_layer("block2_conv").kernel
    kernel.assign(kernel * 2)
    assert model_fingerprint(cut(backbone, 1)[0]) == below
    assert model_fingerprint(backbone.model) != whole


FINGERPRINT = """
import keras
keras.layers.Dense(2)(keras.Input((3,)))  # moves Keras's counters of names
from tests.training.small_model import build_backbone
from tl_app.features.keys import code_fingerprint, model_fingerprint
print(model_fingerprint(build_backbone().model), code_fingerprint())
"""


@pytest.mark.slow
def test_another_process_finds_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    expected = [model_fingerprint(build_backbone().model), code_fingerprint()]
    assert done.stdout.split() == expected


def test_preprocessing_decides_and_the_limit_of_pixels_does_not() -> None:
    base = Preprocessing(32, "squash", (0, 4095), 10**6)
    key = digest(pictures_key(base))
    others = (replace(base, image_size_px=64), replace(base, aspect="pad"))
    assert len({key, *(digest(pictures_key(other)) for other in others)}) == 3
    for alike in (replace(base, max_pixels=10**7), replace(base, window=(0, 255))):
        assert digest(pictures_key(alike)) == key


def test_the_window_decides_deep_pictures_alone() -> None:
    pixel_hash = "ab" * 32
    wide, narrow = (0, 65535), (0, 4095)
    assert picture_key(pixel_hash, 8, wide) == picture_key(pixel_hash, 8, narrow)
    deep = {picture_key(pixel_hash, 16, window) for window in (wide, narrow, (1, 4095))}
    assert len(deep | {bytes.fromhex(pixel_hash)}) == 4
    assert {len(key) for key in deep} == {32}


def test_a_view_is_drawn_from_the_pixels_and_its_number() -> None:
    keys = [bytes([i]) * 32 for i in range(3)]
    seeds = view_seeds(keys, 0)
    assert seeds.shape == (3, 2)
    assert seeds.dtype == np.int32
    np.testing.assert_array_equal(view_seeds(keys[1:2], 0)[0], seeds[1])
    everything = {
        tuple(row)
        for number in range(4)
        for salt in range(3)
        for row in view_seeds(keys, number, salt).tolist()
    }
    assert len(everything) == 3 * 4 * 3


def test_views_have_keys_of_their_own() -> None:
    flip, crop = Augmentation(flip_horizontal=True), Augmentation(crop_min_area=0.7)
    views = [PLAIN, View(flip, 0), View(flip, 1), View(crop, 0)]
    assert len({digest(view.key()) for view in views}) == 4
