"""The requests beside an export: what TensorFlow Serving reads, and that a bad one is no export."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tl_app.errors import ExportError
from tl_app.export.warm_up import WARM_UP_FILE, replay_warm_up


def logs(version_folder: Path) -> list[PredictionLog]:
    records = tf.data.TFRecordDataset(str(version_folder / WARM_UP_FILE))
    return [PredictionLog.FromString(record.numpy()) for record in records]


def write(folder: Path, *made: PredictionLog) -> None:
    file = folder / WARM_UP_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for log in made:
            writer.write(log.SerializeToString())


def test_they_lie_where_tensorflow_serving_looks(version_folder):
    assert (version_folder / "assets.extra" / "tf_serving_warmup_requests").is_file()
    (log,) = logs(version_folder)
    request = log.predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    assert list(request.inputs) == ["image_bytes"]
    (picture,) = request.inputs["image_bytes"].string_val
    assert tf.io.decode_jpeg(picture).shape == (480, 640, 3)


def test_each_is_answered(version_folder, classifier):
    assert replay_warm_up(version_folder, classifier.signatures) == 1


def test_an_export_of_before_has_none(tmp_path, classifier):
    assert replay_warm_up(tmp_path, classifier.signatures) == 0


def test_what_cannot_be_answered_is_refused(tmp_path, version_folder, classifier):
    (prediction,) = logs(version_folder)
    unknown, broken, other = PredictionLog(), PredictionLog(), PredictionLog()
    unknown.CopyFrom(prediction)
    unknown.predict_log.request.model_spec.signature_name = "regress"
    broken.CopyFrom(prediction)
    broken.predict_log.request.inputs["image_bytes"].string_val[0] = b"no picture"
    other.CopyFrom(prediction)
    inputs = other.predict_log.request.inputs
    inputs["pixels"].CopyFrom(inputs["image_bytes"])
    for bad, why in ((unknown, "regress"), (broken, "decoded"), (other, "pixels")):
        write(tmp_path, prediction, bad)
        with pytest.raises(ExportError, match="warm-up request") as caught:
            replay_warm_up(tmp_path, classifier.signatures)
        assert why in str(caught.value)
        shutil.rmtree(tmp_path / WARM_UP_FILE.parent)
