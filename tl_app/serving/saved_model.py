"""A SavedModel as a servable, by TensorFlow: for GPUs, and for texts."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tl_app.environment import usable_cores
from tl_app.errors import UnusablePicture
from tl_app.export.assets import CLASSIFY
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.served_input import INPUT_NAMES
from tl_app.inputs.decode_budget import DecodeBudget
from tl_app.inputs.files import PictureFile, picture_file_of
from tl_app.records import Preprocessing
from tl_app.serving.rest import RequestError
from tl_app.serving.signatures import (
    DEFAULT,
    IN_BATCHES,
    SAVED_MODEL,
    DType,
    Signature,
    Tensor,
    Tensors,
    n_rows,
)

_DTYPES: dict[Any, DType] = {
    tf.string: "DT_STRING",
    tf.float32: "DT_FLOAT",
    tf.int32: "DT_INT32",
}

BATCH_ROWS = 16
"""Most rows that are computed together, of one request or of several."""

BATCH_THREADS = 2
"""Batches in computation: one's pictures are decoded while the other's are told."""

N_CALLERS = 2 * BATCH_ROWS
"""Requests that may wait in the batching op: those of a batch, and those of the next."""

_scopes = itertools.count()

_Ask = Callable[..., dict[str, tf.Tensor]]


class SavedModelServable:
    """See `signatures.Servable`."""

    engine = SAVED_MODEL
    rows_each = BATCH_ROWS
    n_callers: int | None = None

    def __init__(self, classifier: SavedModelClassifier, max_pixels: int) -> None:
        """
        Args:
            classifier: what answers.
            max_pixels: larger pictures are unusable, whatever the model took in training.
        """
        self._classifier = classifier
        self.modality = self._classifier.modality
        self.input_name = INPUT_NAMES[self._classifier.modality]
        processing = self._classifier.processing
        self.max_pixels: int | None = None
        if isinstance(processing, Preprocessing):
            self.max_pixels = min(max_pixels, processing.max_pixels)
        self._decoding = DecodeBudget(self.max_pixels or 0)
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
        if self.max_pixels is None or self.input_name not in inputs:
            return self._ask(signature, inputs)
        files = [_readable(data, self.max_pixels) for data in inputs[self.input_name]]
        encoded = [b"" if file is None else file.encoded for file in files]
        share = sum(file.decode_share for file in files if file is not None)
        with self._decoding.reserve(share):
            return self._ask(signature, {**inputs, self.input_name: encoded})

    def _ask(self, signature: str, inputs: Tensors) -> Tensors:
        specs = self.signatures[signature].inputs
        tensors = {
            # A list of no strings has no type of its own.
            name: tf.reshape(tf.constant(values, tf.string), (len(values),))
            if specs[name].dtype == "DT_STRING"
            else tf.constant(values)
            for name, values in inputs.items()
        }
        try:
            outputs = self._answer(signature, tensors)
        except tf.errors.InvalidArgumentError as error:
            # Numbers of no token, say. Pictures and texts raise nothing.
            raise RequestError(400, error.message.splitlines()[0]) from error
        return {name: _values(tensor) for name, tensor in outputs.items()}

    def _answer(self, signature: str, tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self._classifier.signatures[signature](**tensors)


class BatchedServable(SavedModelServable):
    """The same, where the rows of requests that come at the same time are computed together, by
    TensorFlow's own batching op. What comes alone does not wait for others.

    It is the default signature's alone: each batching op keeps threads of its own, also when its
    version is long gone. A row that raises an error costs those beside it a second asking; pictures
    and texts raise none.
    """

    engine = IN_BATCHES
    n_callers = N_CALLERS

    def __init__(self, classifier: SavedModelClassifier, max_pixels: int) -> None:
        super().__init__(classifier, max_pixels)
        self._in_batches = _in_batches(classifier.signatures[DEFAULT], self.signatures[DEFAULT])
        # Callers that are not batched are no more at a time than without batches.
        self._alone = threading.BoundedSemaphore(usable_cores())

    def _answer(self, signature: str, tensors: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if signature == DEFAULT and 0 < n_rows(dict(tensors)) <= BATCH_ROWS:
            try:
                return self._in_batches(**tensors)
            except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError):
                pass  # perhaps for another's rows; asked alone, everybody gets what is his
        with self._alone:
            return super()._answer(signature, tensors)


def _in_batches(function: _Ask, signature: Signature) -> _Ask:
    inputs = signature.inputs
    names, output_names = sorted(inputs), sorted(signature.outputs)
    types = {dtype: each for each, dtype in _DTYPES.items()}
    specs = [tf.TensorSpec(inputs[name].shape, types[inputs[name].dtype], name) for name in names]

    @tf.nondifferentiable_batch_function(
        num_batch_threads=BATCH_THREADS,
        max_batch_size=BATCH_ROWS,
        batch_timeout_micros=0,
        max_enqueued_batches=N_CALLERS,  # of a row each, at the most
    )
    def together(*rows: tf.Tensor) -> list[tf.Tensor]:
        outputs = function(**dict(zip(names, rows, strict=True)))
        return [outputs[name] for name in output_names]

    scope = f"tl_app_{next(_scopes)}"

    @tf.function(input_signature=specs, autograph=False)
    def ask(*rows: tf.Tensor) -> list[tf.Tensor]:
        # Functions of one scope share a queue, and with it each other's rows and answers.
        with tf.name_scope(scope):
            return together(*rows)

    computed = ask.get_concrete_function()

    def answer(**tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(output_names, computed(*(tensors[name] for name in names)), strict=True))

    return answer


def load_saved_model(
    version_folder: Path, max_pixels: int, engines: Sequence[str] = (SAVED_MODEL, IN_BATCHES)
) -> list[SavedModelServable]:
    """One model in several ways, of which the faster one is to be found by trying.

    Raises:
        RunError: as in `SavedModelClassifier`.
    """
    classifier = SavedModelClassifier(version_folder)
    kinds = {kind.engine: kind for kind in (SavedModelServable, BatchedServable)}
    return [kinds[engine](classifier, max_pixels) for engine in engines]


def _readable(data: bytes, max_pixels: int) -> PictureFile | None:
    """What nobody can read is no bytes to the graph, and is told so."""
    try:
        return picture_file_of(data, max_pixels=max_pixels)
    except UnusablePicture:
        return None


def _tensors(specs: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(_DTYPES[spec.dtype], tuple(spec.shape.as_list()))
        for name, spec in specs.items()
    }


def _values(tensor: tf.Tensor) -> Any:
    values = tensor.numpy()
    return values if values.dtype != np.dtype(object) else values.tolist()
