"""TensorFlow Hub feature vectors as backbones, with a SavedModel that the test builds."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.helpers import random_pixels, write_feature_vector
from tl_app.backbones.blocks import cut, set_trainable
from tl_app.backbones.hub_files import find_local, folder_sha256, resolve, unpack
from tl_app.backbones.loading import default_image_size_px, load_backbone
from tl_app.backbones.registry import get_spec
from tl_app.backbones.weights import status
from tl_app.errors import ConfigError, WeightsError


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_feature_vector(tmp_path / "vector")


def pack(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=".")
    return archive


def train(model: keras.Model, pixels: np.ndarray, *, steps: int = 3) -> None:
    model.compile("adam", "mse")
    model.fit(pixels, np.ones((len(pixels), model.output_shape[-1])), epochs=steps, verbose=0)


def test_features_are_those_of_the_saved_model_on_values_up_to_one(folder, reporter) -> None:
    backbone = load_backbone(f"hub:{folder}", image_size_px=32, reporter=reporter)
    pixels = random_pixels(3, 32)
    expected = tf.saved_model.load(str(folder))(pixels / 255.0, training=False)
    np.testing.assert_allclose(backbone.model(pixels), expected, rtol=1e-6)
    assert backbone.model.output_shape == (None, 5)
    assert backbone.weights_sha256 == folder_sha256(folder)
    assert len(backbone.blocks) == 1
    assert backbone.model.trainable_variables == []


def test_fine_tuning_moves_the_kernel_and_nothing_of_batch_normalisation(folder, reporter) -> None:
    backbone = load_backbone(f"hub:{folder}", image_size_px=32, reporter=reporter)
    set_trainable(backbone, 1)
    layer = backbone.model.get_layer("hub_features")
    before = {v.name: v.numpy().copy() for v in layer.weights}
    assert [v.name for v in backbone.model.trainable_variables] == ["conv_kernel"]
    assert len(backbone.model.losses) == 0
    train(backbone.model, random_pixels(8, 32))
    after = {v.name: v.numpy() for v in layer.weights}
    assert not np.array_equal(before["conv_kernel"], after["conv_kernel"])
    for name in ("batch_norm_gamma", "batch_norm_mean", "scales"):
        np.testing.assert_array_equal(before[name], after[name])
    # The SavedModel's own variable is the one that trained, and its penalty counts.
    np.testing.assert_array_equal(layer._loaded.kernel.numpy(), after["conv_kernel"])
    backbone.model(random_pixels(1, 32))
    expected = 0.01 * float(np.sum(after["conv_kernel"] ** 2))
    assert float(backbone.model.losses[0]) == pytest.approx(expected, rel=1e-5)


def test_a_keras_file_loads_without_the_original_folder(folder, reporter, tmp_path) -> None:
    backbone = load_backbone(f"hub:{folder}", image_size_px=32, reporter=reporter)
    set_trainable(backbone, "all")
    pixels = random_pixels(4, 32)
    train(backbone.model, pixels)
    expected = backbone.model.predict(pixels, verbose=0)
    moments = [v.numpy() for v in backbone.model.optimizer.variables]
    backbone.model.save(tmp_path / "hub.keras")
    shutil.rmtree(folder)

    reloaded = keras.saving.load_model(tmp_path / "hub.keras")
    np.testing.assert_array_equal(reloaded.predict(pixels, verbose=0), expected)
    for left, right in zip(reloaded.optimizer.variables, moments, strict=True):
        np.testing.assert_array_equal(left, right)
    kernel = reloaded.get_layer("hub_features").weights[0].numpy().copy()
    reloaded.fit(pixels, np.ones((4, 5)), verbose=0)
    assert not np.array_equal(kernel, reloaded.get_layer("hub_features").weights[0].numpy())
    reloaded.save(tmp_path / "again.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "again.keras").predict(pixels, verbose=0),
        reloaded.predict(pixels, verbose=0),
    )


def test_only_the_layers_module_is_needed_to_load(folder, reporter, tmp_path) -> None:
    backbone = load_backbone(f"hub:{folder}", image_size_px=32, reporter=reporter)
    backbone.model.save(tmp_path / "hub.keras")
    code = (
        "import sys, keras, tl_app.backbones.layers; "
        "m = keras.saving.load_model(sys.argv[1]); print(m.output_shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "hub.keras")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(None, 5)", done.stderr[-2000:]


def test_it_exports_to_a_saved_model(folder, reporter, tmp_path) -> None:
    backbone = load_backbone(f"hub:{folder}", image_size_px=32, reporter=reporter)
    set_trainable(backbone, 1)
    pixels = random_pixels(2, 32)
    train(backbone.model, pixels)
    module = tf.Module()
    module.model = backbone.model
    module.run = tf.function(
        lambda x: backbone.model(x, training=False),
        input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.float32)],
    )
    tf.saved_model.save(module, str(tmp_path / "export"))
    exported = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(exported.run(pixels), backbone.model(pixels), rtol=1e-6)


def test_the_signature_sets_the_image_size(folder, tmp_path, reporter) -> None:
    assert default_image_size_px(get_spec(f"hub:{folder}")) == 32
    free = write_feature_vector(tmp_path / "free", size=None)
    assert default_image_size_px(get_spec(f"hub:{free}")) == 224
    with pytest.raises(WeightsError, match=r"of 48 px(.|\n)*signature: 32"):
        load_backbone(f"hub:{folder}", image_size_px=48, reporter=reporter)


def test_an_archive_is_unpacked_once(folder, tmp_path, own_cache, reporter) -> None:
    archive = pack(folder, tmp_path / "vector.tar.gz")
    name = f"hub:{archive}"
    backbone = load_backbone(name, image_size_px=32, reporter=reporter)
    assert backbone.weights_sha256 == folder_sha256(folder)
    assert backbone.weights_file is not None
    assert own_cache in backbone.weights_file.parents
    made = (backbone.weights_file / "saved_model.pb").stat().st_mtime_ns
    again = load_backbone(name, image_size_px=32, reporter=reporter)
    assert again.weights_file == backbone.weights_file
    assert (backbone.weights_file / "saved_model.pb").stat().st_mtime_ns == made
    assert not list(own_cache.rglob(".unpack*"))


def test_a_handle_in_the_cache_of_tensorflow_hub_is_found(folder, tmp_path, reporter) -> None:
    import hashlib

    handle = "https://hub.example/vector/1"
    assert status(get_spec(f"hub:{handle}")) == "missing"
    name = hashlib.sha1(handle.encode()).hexdigest()
    shutil.copytree(folder, tmp_path / "hub-cache" / name)
    assert find_local(handle) == tmp_path / "hub-cache" / name
    assert status(get_spec(f"hub:{handle}")) == "here"
    assert resolve(handle, reporter=reporter).origin == "cache"


@pytest.mark.parametrize(
    "member",
    [
        {"name": "../outside.txt"},
        {"name": "/tmp/absolute.txt"},
        {"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"name": "hard", "type": tarfile.LNKTYPE, "linkname": "../../other"},
        {"name": "pipe", "type": tarfile.FIFOTYPE},
    ],
)
def test_unsafe_archives_are_refused(tmp_path, member, reporter) -> None:
    archive = tmp_path / "bad.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo(member["name"])
        info.type = member.get("type", tarfile.REGTYPE)
        info.linkname = member.get("linkname", "")
        content = b"outside" if info.isfile() else b""
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    with pytest.raises(WeightsError, match="refused"):
        resolve(str(archive), reporter=reporter)
    assert not (tmp_path / "outside.txt").exists()
    assert not list((tmp_path / "cache").rglob(".unpack*"))


def test_an_archive_that_claims_too_much_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tl_app.backbones.hub_files.MAX_UNPACKED_BYTES", 1000)
    big = tmp_path / "big"
    big.write_bytes(bytes(2000))
    with tarfile.open(tmp_path / "big.tar", "w") as tar:
        tar.add(big, arcname="big")
    with pytest.raises(WeightsError, match="too much"):
        unpack(tmp_path / "big.tar", tmp_path / "out")


def test_damaged_archives_and_folders_are_told(folder, tmp_path, reporter) -> None:
    archive = pack(folder, tmp_path / "cut.tar.gz")
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(WeightsError, match="cannot be unpacked"):
        resolve(str(archive), reporter=reporter)
    (folder / "saved_model.pb").write_bytes(b"\xff\xfe nonsense")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_backbone(f"hub:{folder}", image_size_px=32, reporter=reporter)
    with pytest.raises(WeightsError, match="nothing here"):
        resolve(str(tmp_path / "absent"), reporter=reporter)
    with pytest.raises(WeightsError, match="no SavedModel"):
        resolve(str(tmp_path), reporter=reporter)
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(WeightsError, match="no archive"):
        resolve(str(tmp_path / "note.txt"), reporter=reporter)


def test_a_saved_model_without_features_is_refused(tmp_path, reporter) -> None:
    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match="cannot be called"):
        load_backbone(f"hub:{tmp_path / 'empty'}", image_size_px=32, reporter=reporter)


def test_hub_models_have_one_block_and_take_no_weights(folder, reporter) -> None:
    name = f"hub:{folder}"
    backbone = load_backbone(name, image_size_px=32, reporter=reporter)
    pixels = random_pixels(2, 32)
    for n in (0, 1, "all"):
        below, above = cut(backbone, n)
        np.testing.assert_array_equal(above(below(pixels)), backbone.model(pixels))
    with pytest.raises(ConfigError, match="fewer blocks"):
        cut(backbone, 2)
    with pytest.raises(WeightsError, match="brings its own"):
        load_backbone(name, image_size_px=32, weights="x.h5", reporter=reporter)
    with pytest.raises(ConfigError, match="missing"):
        get_spec("hub:")
