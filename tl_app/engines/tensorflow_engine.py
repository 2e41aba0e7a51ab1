"""The model as a compiled TensorFlow graph, with its normalisation folded or as it is."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tl_app.engines.base import devices, number_types, runs_on_gpu
from tl_app.engines.fold import fold_batch_normalization


class TensorFlowEngine:
    """One graph of a fixed batch; a smaller batch is filled up, since its kernels may be others.

    It runs where the model's variables live, through XLA on a GPU only (on a CPU, XLA's
    convolutions take seventeen times as long), and without it where XLA cannot compile the
    model. Layers keep the number types of their policies.

    Args:
        model: functional, float32 pixels (n, S, S, 3) in 0..255, or int32 token numbers
            (n, length), to one or several outputs.
        batch_size: pictures a batch; halved for good where the memory does not hold it.
        fold: put batch normalisation into the layers before (see `fold`).

    Attributes:
        name: "folded" or "tensorflow".
    """

    def __init__(self, model: keras.Model, *, batch_size: int, fold: bool) -> None:
        self.name = "folded" if fold else "tensorflow"
        self._on_gpu = self._xla = runs_on_gpu(model)
        # TensorFlow's own choice would be a GPU, wherever the variables are.
        places = devices(model)
        self._device = min(places) if len(places) == 1 else None
        self._model = fold_batch_normalization(model) if fold else model
        self._batch_size = batch_size
        self._dtype = model.inputs[0].dtype
        self._compile()

    @property
    def identity(self) -> str:
        types = "+".join(number_types(self._model))
        place = ("gpu xla" if self._xla else "gpu") if self._on_gpu else "cpu"
        versions = f"tensorflow {tf.__version__} keras {keras.__version__}"
        return f"{self.name} {versions} {types} {place} batch {self._batch_size}"

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `base.Engine`.

        Raises:
            tf.errors.ResourceExhaustedError: the memory does not hold one picture.
        """
        parts: list[list[np.ndarray]] = []
        start = 0
        while start < len(pixels):
            batch = pixels[start : start + self._batch_size]
            try:
                parts.append(self._run(batch))
            except tf.errors.ResourceExhaustedError:
                if self._batch_size == 1:
                    raise
                self._batch_size //= 2
                self._compile()
                continue
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
                if not self._xla:
                    raise
                self._xla = False
                self._compile()
                continue
            start += len(batch)
        return tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        n = len(batch)
        missing = self._batch_size - n
        if missing:
            batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        with tf.device(self._device):
            outputs = self._compiled(tf.constant(batch, self._dtype))
        return [output.numpy()[:n] for output in outputs]

    def _compile(self) -> None:
        model = self._model

        def run(pixels):
            outputs = tf.nest.flatten(model(pixels, training=False))
            return [tf.cast(output, tf.float32) for output in outputs]

        # Texts come in several lengths, each of them a shape of its own.
        shape = (self._batch_size, *model.inputs[0].shape[1:])
        self._compiled = tf.function(
            run,
            input_signature=[tf.TensorSpec(shape, self._dtype)],
            autograph=False,
            jit_compile=True if self._xla else None,
        )
