"""Requests that TensorFlow Serving answers to itself before it lets others ask.

The first answer of a graph takes a second or two; with these, no user waits for it. They hold a
grey picture or a sentence of nobody's, never what a run was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tl_app.errors import ExportError
from tl_app.export.assets import STATUS_OK
from tl_app.export.served_input import INPUT_NAMES
from tl_app.records import Modality

WARM_UP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where TensorFlow Serving looks for them in a version folder."""

_ASKED = "serving_default"
_SENTENCE = "A sentence of some length, as people write them."


def write_warm_up(version_folder: Path, modality: Modality) -> None:
    """Write a request of the kind that most people send.

    Each signature has a graph of its own to be made ready, so one for `classify` as well would
    have every server start later for the few that ask it.

    Raises:
        tf.errors.OpError, OSError: the file cannot be written.
    """
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = _ASKED
    item = tf.make_tensor_proto([_item(modality)], dtype=tf.string)
    request.inputs[INPUT_NAMES[modality]].CopyFrom(item)
    file = version_folder / WARM_UP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(log.SerializeToString(deterministic=True))


def replay_warm_up(version_folder: Path, signatures: Mapping[str, Any]) -> int:
    """Ask a loaded SavedModel what its own requests ask, as TensorFlow Serving will.

    Args:
        version_folder: with the requests; exports of format 1 have none.
        signatures: of the SavedModel loaded from there.

    Returns:
        How many were answered.

    Raises:
        ExportError: one fails, or is not answered for what it is.
    """
    file = version_folder / WARM_UP_FILE
    if not file.exists():
        return 0
    n_answered = 0
    for record in tf.data.TFRecordDataset(str(file)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(t)) for key, t in request.inputs.items()}
        try:
            answer = signatures[name](**inputs)
        except (KeyError, TypeError, tf.errors.OpError) as error:
            raise _refusal(file, name, str(error)) from error
        if "status" in answer and set(answer["status"].numpy().tolist()) != {STATUS_OK}:
            raise _refusal(file, name, "its picture could not be decoded")
        n_answered += 1
    return n_answered


def _item(modality: Modality) -> bytes:
    if modality == "text":
        return _SENTENCE.encode()
    grey = tf.fill((480, 640, 3), tf.constant(127, tf.uint8))
    return tf.io.encode_jpeg(grey).numpy()


def _refusal(file: Path, name: str, why: str) -> ExportError:
    return ExportError(
        f"The export does not answer its own warm-up request to {name}.",
        received=f"{file}: {why.strip().splitlines()[0]}",
        allowed="an answer",
        next_step="tl-app export RUN DEST",
    )
