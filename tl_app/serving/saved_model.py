"""A SavedModel as a servable, by TensorFlow: for GPUs, and for texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tl_app.errors import UnusablePicture
from tl_app.export.assets import CLASSIFY
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.served_input import INPUT_NAMES
from tl_app.inputs.files import encoded_of
from tl_app.records import Preprocessing
from tl_app.serving.rest import RequestError
from tl_app.serving.signatures import DType, Signature, Tensor, Tensors

_DTYPES: dict[Any, DType] = {
    tf.string: "DT_STRING",
    tf.float32: "DT_FLOAT",
    tf.int32: "DT_INT32",
}


class SavedModelServable:
    """See `signatures.Servable`."""

    engine = "savedmodel"
    rows_apart = False

    def __init__(self, version_folder: Path, max_pixels: int) -> None:
        """
        Raises:
            RunError: as in `SavedModelClassifier`.
        """
        self._classifier = SavedModelClassifier(version_folder)
        self.modality = self._classifier.modality
        self.input_name = INPUT_NAMES[self._classifier.modality]
        processing = self._classifier.processing
        self.max_pixels: int | None = None
        if isinstance(processing, Preprocessing):
            self.max_pixels = min(max_pixels, processing.max_pixels)
        # `classify` is asked by its own verb, which makes its examples itself.
        self.signatures = {
            name: Signature(
                _tensors(function.structured_input_signature[1]),
                _tensors(function.structured_outputs),
            )
            for name, function in self._classifier.signatures.items()
            if name != CLASSIFY
        }

    def run(self, signature: str, inputs: Tensors) -> Tensors:
        given = dict(inputs)
        if self.max_pixels is not None and self.input_name in given:
            given[self.input_name] = [self._readable(one) for one in given[self.input_name]]
        specs = self.signatures[signature].inputs
        tensors = {
            # A list of no strings has no type of its own.
            name: tf.reshape(tf.constant(values, tf.string), (len(values),))
            if specs[name].dtype == "DT_STRING"
            else tf.constant(values)
            for name, values in given.items()
        }
        try:
            outputs = self._classifier.signatures[signature](**tensors)
        except tf.errors.InvalidArgumentError as error:
            # Numbers of no token, say. Pictures and texts raise nothing.
            raise RequestError(400, error.message.splitlines()[0]) from error
        return {name: _values(tensor) for name, tensor in outputs.items()}

    def _readable(self, data: bytes) -> bytes:
        """What the graph reads; what nobody can read is no bytes to it, and is told so."""
        assert self.max_pixels is not None
        try:
            return encoded_of(data, max_pixels=self.max_pixels)
        except UnusablePicture:
            return b""


def _tensors(specs: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(_DTYPES[spec.dtype], tuple(spec.shape.as_list()))
        for name, spec in specs.items()
    }


def _values(tensor: tf.Tensor) -> Any:
    values = tensor.numpy()
    return values if values.dtype != np.dtype(object) else values.tolist()
