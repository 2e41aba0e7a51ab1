"""The SavedModel itself: its signatures, its numbers, and that it needs TensorFlow alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.backbones.helpers import write_feature_vector
from tl_app.backbones.loading import load_backbone
from tl_app.errors import ConfigError, StorageError
from tl_app.export.assets import decode_name, encode_name, read_facts, unescape_label
from tl_app.export.saved_model import write_saved_model
from tl_app.export.served_input import served_pictures
from tl_app.inputs.files import read_encoded
from tl_app.progress import SilentReporter

FRESH_PROCESS = """
import sys
sys.modules["keras"] = None      # importing either is now an ImportError
sys.modules["tl_app"] = None
import json
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
encoded = tf.constant([open(path, "rb").read() for path in sys.argv[2:]])
top = model.signatures["serving_default"](image_bytes=encoded)
everything = model.signatures["probabilities"](image_bytes=encoded)
names = model.signatures["class_names"]()["class_names"]
print(json.dumps({
    "labels": [[name.hex() for name in row] for row in top["labels"].numpy()],
    "scores": top["probabilities"].numpy().tolist(),
    "probabilities": everything["probabilities"].numpy().tolist(),
    "names": [name.hex() for name in names.numpy()],
}))
"""


@pytest.fixture(scope="module")
def signatures(classifier):
    return classifier.signatures


def encoded(files):
    return tf.constant([read_encoded(path, max_pixels=10**6) for path in files])


def test_loads_in_a_process_without_keras_or_tl_app(
    version_folder, files, recorded, class_names, tmp_path
):
    direct = [path for path in files if path.suffix != ".tif"]
    kept = [i for i, path in enumerate(files) if path.suffix != ".tif"]
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(version_folder), *map(str, direct)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    expected = recorded.probabilities[kept]
    assert np.abs(np.array(answer["probabilities"]) - expected).max() < 1e-6
    names = [decode_name(bytes.fromhex(name)) for name in answer["names"]]
    assert names == list(class_names)
    order = np.argsort(-expected, axis=1)[:, :5]
    labels = [[decode_name(bytes.fromhex(name)) for name in row] for row in answer["labels"]]
    assert labels == [[class_names[i] for i in row] for row in order]
    scores = np.array(answer["scores"])
    assert np.abs(scores - np.take_along_axis(expected, order, axis=1)).max() < 1e-6


def test_each_kind_of_picture_is_told_apart(recorded):
    """Without this the comparisons above could pass on a model that ignores its input."""
    gaps = np.abs(recorded.probabilities[:, None] - recorded.probabilities[None]).max(axis=2)
    assert gaps[np.triu_indices(len(gaps), k=1)].min() > 1e-4


def test_predict_tensor_takes_pixels(signatures, pixels, recorded, class_names):
    answer = signatures["predict_tensor"](pixels=tf.constant(pixels))
    assert np.abs(answer["probabilities"].numpy() - recorded.probabilities).max() < 1e-6
    labels = [decode_name(name) for name in answer["label"].numpy()]
    assert labels == [class_names[i] for i in recorded.y_pred]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_the_batch_dimension_is_free(signatures, files, pixels, recorded, n):
    few = tf.reshape(encoded(files)[:n], (n,))
    assert signatures["serving_default"](image_bytes=few)["labels"].shape == (n, 5)
    probabilities = signatures["probabilities"](image_bytes=few)["probabilities"].numpy()
    by_pixels = signatures["predict_tensor"](pixels=tf.constant(pixels[:n]))
    for rows in (probabilities, by_pixels["probabilities"].numpy()):
        assert rows.shape == (n, 7)
        np.testing.assert_allclose(rows, recorded.probabilities[:n], atol=1e-5)


def test_inputs_and_outputs_are_declared(signatures):
    def shapes(structure):
        return {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in structure.items()}

    inputs = {name: shapes(signatures[name].structured_input_signature[1]) for name in signatures}
    assert inputs == {
        "serving_default": {"image_bytes": ("string", [None])},
        "classify": {"inputs": ("string", [None])},
        "probabilities": {"image_bytes": ("string", [None])},
        "features": {"image_bytes": ("string", [None])},
        "predict_tensor": {"pixels": ("float32", [None, 32, 32, 3])},
        "class_names": {},
    }
    outputs = {name: shapes(signatures[name].structured_outputs) for name in signatures}
    assert outputs == {
        "serving_default": {
            "labels": ("string", [None, 5]),
            "probabilities": ("float32", [None, 5]),
            "status": ("string", [None]),
        },
        "classify": {"classes": ("string", [None, 5]), "scores": ("float32", [None, 5])},
        "probabilities": {"probabilities": ("float32", [None, 7]), "status": ("string", [None])},
        "features": {"features": ("float32", [None, 16]), "status": ("string", [None])},
        "predict_tensor": {"label": ("string", [None]), "probabilities": ("float32", [None, 7])},
        "class_names": {"class_names": ("string", [7])},
    }


def examples(*pictures: bytes) -> tf.Tensor:
    """Serialized tf.Examples, as a client of TensorFlow Serving sends them."""
    made = []
    for picture in pictures:
        example = tf.train.Example()
        example.features.feature["image_bytes"].bytes_list.value.append(picture)
        made.append(example.SerializeToString())
    return tf.constant(made)


def test_classify_says_what_serving_default_says(signatures, files, version_folder):
    pictures = [read_encoded(path, max_pixels=10**6) for path in files]
    top = signatures["serving_default"](image_bytes=tf.constant(pictures))
    told = signatures["classify"](inputs=examples(*pictures))
    assert np.array_equal(told["classes"], top["labels"])
    np.testing.assert_allclose(told["scores"], top["probabilities"], atol=1e-6)
    saved = SavedModel.FromString((version_folder / "saved_model.pb").read_bytes())
    methods = {
        name: signature.method_name
        for name, signature in saved.meta_graphs[0].signature_def.items()
    }
    assert methods["classify"] == "tensorflow/serving/classify"
    assert methods["serving_default"] == "tensorflow/serving/predict"


def test_features_are_what_the_head_is_given(signatures, files, pixels, model):
    pooled = keras.Model(model.input, model.get_layer("pool").output)
    told = signatures["features"](image_bytes=encoded(files))
    np.testing.assert_allclose(told["features"], pooled(pixels), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [{0}, {2, 3}, {13}, set(range(14))])
@pytest.mark.parametrize("what", ["cut", "no picture", "nothing", "too large"])
def test_a_bad_picture_harms_no_other(signatures, files, recorded, what, bad):
    given = [read_encoded(path, max_pixels=10**6) for path in files]
    alone = {
        "cut": given[0][:-200],
        "no picture": b"<html>",
        "nothing": b"",
        "too large": tf.io.encode_png(tf.zeros((1001, 1000, 3), tf.uint8)).numpy(),
    }[what]
    given = [alone if row in bad else picture for row, picture in enumerate(given)]
    good = [row for row in range(len(given)) if row not in bad]
    status = [b"unusable" if row in bad else b"ok" for row in range(len(given))]
    top = signatures["serving_default"](image_bytes=tf.constant(given))
    everything = signatures["probabilities"](image_bytes=tf.constant(given))
    told = signatures["classify"](inputs=examples(*given))
    features = signatures["features"](image_bytes=tf.constant(given))
    for answer in (top, everything, features):
        assert answer["status"].numpy().tolist() == status
    np.testing.assert_allclose(
        everything["probabilities"].numpy()[good], recorded.probabilities[good], atol=1e-5
    )
    for row in bad:
        assert set(top["labels"].numpy()[row]) == set(told["classes"].numpy()[row]) == {b""}
        for numbers in (
            top["probabilities"],
            told["scores"],
            everything["probabilities"],
            features["features"],
        ):
            assert not numbers.numpy()[row].any()


def test_an_example_without_a_picture_is_unusable(signatures):
    empty = tf.constant([tf.train.Example().SerializeToString()])
    assert set(signatures["classify"](inputs=empty)["classes"].numpy()[0]) == {b""}


def test_the_files_beside_the_graph_tell_labels_and_preprocessing(
    version_folder, preprocessing, class_names
):
    lines = decode_name((version_folder / "assets/labels.txt").read_bytes()).splitlines()
    assert [unescape_label(line) for line in lines] == list(class_names)
    facts = read_facts(version_folder)
    assert facts["preprocessing"] == preprocessing
    assert facts["class_names"] == class_names
    assert facts["tl_app_version"]


def test_no_path_of_the_building_place_stays_in_the_model(version_folder):
    assert b".building" not in (version_folder / "saved_model.pb").read_bytes()


def test_fewer_than_five_classes_give_all_labels(tmp_path, make_model, preprocessing, pixels):
    small = make_model(2)
    folder = write_saved_model(small, served_pictures(preprocessing), ("cat", "dog"), tmp_path)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    png = tf.io.encode_png(tf.cast(pixels[:1][0], tf.uint8))
    answer = signature(image_bytes=png[None])
    assert sorted(answer["labels"].numpy()[0]) == [encode_name("cat"), encode_name("dog")]
    scores = answer["probabilities"].numpy()[0]
    assert scores[0] >= scores[1]
    assert scores.sum() == pytest.approx(1, abs=1e-6)


def test_versions_count_up_and_are_never_overwritten(tmp_path, model, preprocessing, class_names):
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "mine.txt").write_text("kept")
    first = write_saved_model(model, served_pictures(preprocessing), class_names, tmp_path)
    assert first == tmp_path / "5"
    with pytest.raises(ConfigError, match="never overwritten") as caught:
        write_saved_model(model, served_pictures(preprocessing), class_names, tmp_path, version=4)
    assert "the next one is 6" in str(caught.value)
    with pytest.raises(ConfigError, match="no version number"):
        write_saved_model(model, served_pictures(preprocessing), class_names, tmp_path, version=0)
    assert (tmp_path / "4" / "mine.txt").read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["4", "5"]


def test_a_file_where_a_folder_should_be(tmp_path, model, preprocessing, class_names):
    file = tmp_path / "file"
    file.write_text("mine")
    for destination in (file, file / "below"):
        with pytest.raises(StorageError, match="A file stands where a folder is needed"):
            write_saved_model(model, served_pictures(preprocessing), class_names, destination)
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]


def test_shapes_that_do_not_fit_are_refused(tmp_path, model, preprocessing, class_names):
    with pytest.raises(ValueError, match="2 class names"):
        write_saved_model(model, served_pictures(preprocessing), ("a", "b"), tmp_path / "x")
    larger = dataclasses.replace(preprocessing, image_size_px=64)
    with pytest.raises(ValueError, match="it would be given"):
        write_saved_model(model, served_pictures(larger), class_names, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_backbone_from_a_hub_is_carried_along(tmp_path, preprocessing, pixels):
    """Its variables belong to a loaded SavedModel, not to Keras, and it may be gone later."""
    folder = write_feature_vector(tmp_path / "vector")
    backbone = load_backbone(f"hub:{folder}", image_size_px=32, reporter=SilentReporter())
    pooled = keras.layers.Activation("linear", name="pool")(backbone.model.output)
    head = keras.layers.Dense(3, activation="softmax")(pooled)
    hub_model = keras.Model(backbone.model.input, head)
    expected = np.asarray(hub_model(pixels, training=False))
    version = write_saved_model(
        hub_model, served_pictures(preprocessing), ("a", "b", "c"), tmp_path / "export"
    )
    shutil.rmtree(folder)
    signature = tf.saved_model.load(str(version)).signatures["predict_tensor"]
    answer = signature(pixels=tf.constant(pixels))["probabilities"].numpy()
    assert np.abs(answer - expected).max() < 1e-6
    assert np.ptp(expected, axis=0).max() > 1e-3
