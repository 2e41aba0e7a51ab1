"""Every entry of keras.applications: structure, normalisation, weights, file names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

from tests.backbones.helpers import enliven, random_pixels
from tl_app.backbones.blocks import boundary_layers, cut
from tl_app.backbones.catalogue_keras import KERAS_SPECS
from tl_app.backbones.layers import PixelNormalization
from tl_app.backbones.loading import build_backbone, load_backbone
from tl_app.backbones.registry import BackboneSpec, all_specs, get_spec
from tl_app.backbones.weights import cache_folder
from tl_app.errors import ConfigError, WeightsError

MODULES = {
    "ResNet": "resnet",
    "ResNetV2": "resnet_v2",
    "DenseNet": "densenet",
    "Inception": "inception_v3",
    "Inception-ResNet": "inception_resnet_v2",
    "Xception": "xception",
    "MobileNet": "mobilenet",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3",
    "EfficientNet": "efficientnet",
    "EfficientNetV2": "efficientnet_v2",
    "NASNet": "nasnet",
    "ConvNeXt": "convnext",
    "VGG": "vgg16",
}
FIRST = {spec.family: spec for spec in reversed(KERAS_SPECS)}
HEAVY = {"inception_resnet_v2", "nasnet_mobile"}


def marked(specs) -> list:
    """One of each family always; the others, and what takes long, in the slow run."""
    firsts = {spec.name for spec in FIRST.values()} - HEAVY
    quick = firsts | {"efficientnet_lite0"}
    return [
        pytest.param(spec, id=spec.name, marks=() if spec.name in quick else pytest.mark.slow)
        for spec in specs
    ]


def small_size(spec: BackboneSpec) -> int:
    return max(64, spec.min_image_size_px)


@contextmanager
def without_values() -> Iterator[None]:
    """Models are built without memory for their weights, in a seventh of the time."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])


def preprocess(spec: BackboneSpec, pixels: np.ndarray) -> np.ndarray:
    module = getattr(keras.applications, MODULES[spec.family])
    return module.preprocess_input(pixels.copy())


@pytest.mark.parametrize("spec", marked(all_specs()))
def test_a_backbone_is_what_the_registry_says(spec) -> None:
    with without_values():
        backbone = build_backbone(spec, image_size_px=small_size(spec))
        model = backbone.model
        below, above = cut(backbone, len(backbone.blocks) // 2)
    assert model.input_shape == (None, small_size(spec), small_size(spec), 3)
    assert model.output_shape[-1] == spec.n_features
    assert len(model.output_shape) == 4
    assert model.count_params() == spec.n_parameters
    assert model.trainable_variables == []
    parts = model._flatten_layers()
    plain = [p for p in parts if type(p) is keras.layers.BatchNormalization]
    assert not plain

    names = [name for block in backbone.blocks for name in block.layer_names]
    assert names == [operation.name for operation in model.operations]
    assert len({block.name for block in backbone.blocks}) == len(backbone.blocks) >= 2
    ends = boundary_layers(model)
    assert all(block.layer_names[-1] in ends for block in backbone.blocks)
    for block in backbone.blocks:
        layers = [
            operation for operation in model.operations if operation.name in block.layer_names
        ]
        kernels = [
            v
            for layer in layers
            if isinstance(layer, keras.layers.Layer)
            and not isinstance(layer, keras.layers.BatchNormalization)
            for v in layer.weights
        ]
        assert kernels, f"{block.name} has nothing to train"
    assert below.output_shape == above.input_shape
    assert above.output_shape == model.output_shape


@pytest.mark.parametrize("spec", marked(FIRST.values()))
def test_it_computes_what_keras_computes_with_a_published_file(spec, tmp_path, monkeypatch) -> None:
    """With a file in the published format, in this model's order of layers, Keras's own model
    gives the same; the name, address and digest for which it asks are the registry's."""
    size = small_size(spec)
    backbone = build_backbone(spec, image_size_px=size)
    model = backbone.model
    enliven(model)
    path = tmp_path / spec.download.file_name
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    asked: dict[str, str | None] = {}

    def serve(fname, origin, *, cache_subdir=None, file_hash=None) -> str:
        asked.update(fname=fname, origin=origin, digest=file_hash)
        return str(path)

    monkeypatch.setattr(file_utils, "get_file", serve)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*`input_shape` is undefined or non-square.*")
        theirs = getattr(keras.applications, spec.architecture)(
            include_top=False, weights="imagenet", input_shape=(size, size, 3)
        )
    if spec.family not in ("MobileNet", "MobileNetV2"):  # they have a file for each size
        assert asked["fname"] == spec.download.file_name
        assert asked["origin"] == spec.download.url
    assert asked["digest"] == spec.download.digest

    pixels = random_pixels(2, size)
    wanted = np.asarray(theirs(preprocess(spec, pixels), training=False))
    got = np.asarray(model(pixels))
    assert wanted.std() > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=2e-4 * np.abs(wanted).max())

    if spec.name in HEAVY:
        return
    below, above = cut(backbone, len(backbone.blocks) // 2)
    np.testing.assert_allclose(above(below(pixels)), got, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", KERAS_SPECS, ids=lambda spec: spec.name)
def test_pixels_are_normalised_as_the_family_does_it(spec) -> None:
    pixels = random_pixels(2, 5)
    expected = preprocess(spec, pixels)
    if spec.normalisation is None:
        # The family's own model holds its normalisation, and the function does nothing.
        np.testing.assert_array_equal(expected, pixels)
        return
    layer = PixelNormalization(
        spec.normalisation.mean, spec.normalisation.scale, spec.normalisation.reverse_channels
    )
    np.testing.assert_allclose(layer(pixels), expected, rtol=1e-5, atol=2e-5)


def test_normalisation_keeps_float32_under_half_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = PixelNormalization((127.0,) * 3, (128.0,) * 3)
        pixels = random_pixels(1, 4)
        result = np.asarray(layer(pixels))
    finally:
        keras.config.set_dtype_policy("float32")
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, (pixels - 127) / 128, rtol=1e-6)
    again = PixelNormalization.from_config(layer.get_config())
    assert (again.mean, again.scale) == (layer.mean, layer.scale)


def test_names_do_not_depend_on_what_was_built_before() -> None:
    spec = get_spec("xception")
    with without_values():
        names = []
        for _ in range(2):
            keras.layers.Conv2D(1, 1)
            model = build_backbone(spec, image_size_px=71).model
            names.append(([o.name for o in model.operations], [v.path for v in model.weights]))
    assert names[0] == names[1]
    assert "conv2d" in names[0][0]


def test_pictures_that_are_too_small_are_refused(reporter) -> None:
    with pytest.raises(ConfigError, match="too small") as caught:
        load_backbone("inception_v3", image_size_px=64, reporter=reporter)
    assert "75 px" in str(caught.value)


# --- weight files of the user's own ------------------------------------------------------


@pytest.fixture(scope="module")
def mobilenet():
    backbone = build_backbone(get_spec("mobilenet"), image_size_px=32)
    enliven(backbone.model)
    return backbone


def write(model: keras.Model, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    elif path.suffix == ".keras":
        model.save(path)
    else:
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5", "x.keras"])
def test_a_file_of_the_user_loads_by_name_and_through_the_cache(
    name, mobilenet, tmp_path, reporter
) -> None:
    path = write(mobilenet.model, tmp_path / name)
    loaded = load_backbone("mobilenet", image_size_px=32, weights=str(path), reporter=reporter)
    assert loaded.weights_file == path
    assert loaded.weights_sha256 is not None
    assert len(loaded.weights_sha256) == 64
    pixels = random_pixels(2, 32)
    np.testing.assert_array_equal(loaded.model(pixels), mobilenet.model(pixels))

    if name == "x.h5":
        cache_folder().mkdir(parents=True)
        cached = cache_folder() / mobilenet.spec.download.file_name
        cached.write_bytes(path.read_bytes())
        again = load_backbone("mobilenet", image_size_px=32, reporter=reporter)
        assert again.weights_file == cached
        np.testing.assert_array_equal(again.model(pixels), mobilenet.model(pixels))


def test_weights_of_keras_own_model_load(mobilenet, tmp_path, reporter) -> None:
    theirs = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    theirs.set_weights(mobilenet.model.get_weights())
    for name in ("own.weights.h5", "own.keras"):
        path = write(theirs, tmp_path / name)
        loaded = load_backbone("mobilenet", image_size_px=32, weights=path, reporter=reporter)
        for left, right in zip(loaded.model.weights, mobilenet.model.weights, strict=True):
            np.testing.assert_array_equal(left, right)


def test_a_classifier_gives_its_backbone(mobilenet, tmp_path, reporter) -> None:
    x = keras.layers.GlobalAveragePooling2D()(mobilenet.model.output)
    whole = keras.Model(mobilenet.model.input, keras.layers.Dense(7)(x))
    whole.save(tmp_path / "whole.keras")
    loaded = load_backbone(
        "mobilenet", image_size_px=32, weights=tmp_path / "whole.keras", reporter=reporter
    )
    for left, right in zip(loaded.model.weights, mobilenet.model.weights, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5", "x.keras"])
def test_a_file_of_another_model_is_refused(name, mobilenet, tmp_path, reporter) -> None:
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    path = write(other, tmp_path / name)
    with pytest.raises(WeightsError, match="does not fit mobilenet") as caught:
        load_backbone("mobilenet", image_size_px=32, weights=path, reporter=reporter)
    assert caught.value.received == str(path)
    assert "3,228,864" in str(caught.value)


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5", "x.keras"])
def test_a_damaged_file_is_refused(name, mobilenet, tmp_path, reporter) -> None:
    path = write(mobilenet.model, tmp_path / name)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="does not fit"):
        load_backbone("mobilenet", image_size_px=32, weights=path, reporter=reporter)
    path.write_bytes(b"")
    with pytest.raises(WeightsError, match="does not fit"):
        load_backbone("mobilenet", image_size_px=32, weights=path, reporter=reporter)


def test_weights_that_are_no_numbers_and_unknown_kinds_are_refused(
    mobilenet, tmp_path, reporter
) -> None:
    values = mobilenet.model.get_weights()
    broken = [value.copy() for value in values]
    broken[3][0] = np.nan
    mobilenet.model.set_weights(broken)
    path = write(mobilenet.model, tmp_path / "nan.h5")
    mobilenet.model.set_weights(values)
    with pytest.raises(WeightsError, match="no numbers"):
        load_backbone("mobilenet", image_size_px=32, weights=path, reporter=reporter)
    (tmp_path / "x.onnx").write_bytes(b"x")
    with pytest.raises(WeightsError, match="kind of weight file"):
        load_backbone("mobilenet", image_size_px=32, weights=tmp_path / "x.onnx", reporter=reporter)


def test_lite_takes_a_keras_file_too(tmp_path, reporter) -> None:
    lite = load_backbone("efficientnet_lite0", image_size_px=32, reporter=reporter)
    path = write(lite.model, tmp_path / "lite.weights.h5")
    again = load_backbone("efficientnet_lite0", image_size_px=32, weights=path, reporter=reporter)
    pixels = random_pixels(2, 32)
    np.testing.assert_array_equal(lite.model(pixels), again.model(pixels))
