"""ONNX Runtime: as quick as LiteRT, but its conversion takes three times as long."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tl_app.engines.conversion import trace_one_picture
from tl_app.engines.model_files import onnxruntime_rows
from tl_app.engines.refusals import first_line, not_installed, refusal

OPSET = 18
"""Of ONNX: the newest that tf2onnx writes."""


class OnnxRuntimeEngine:
    """The folded model in float32, one picture at a time, all cores on one session.

    Args:
        model: functional, float32 pixels (n, S, S, 3) in 0..255 to one or several outputs.

    Raises:
        EngineUnavailable: ONNX Runtime is not installed, or has no kernels for the model.
    """

    name = "onnxruntime"

    def __init__(self, model: keras.Model) -> None:
        try:
            import onnx
            import onnxruntime
            import tf2onnx
        except ImportError as error:
            raise not_installed(self.name, error, requirement="'tl_app[onnx]'") from error
        self.identity = (
            f"{self.name} {onnxruntime.__version__} tf2onnx {tf2onnx.__version__} "
            f"onnx {onnx.__version__} tensorflow {tf.__version__} keras {keras.__version__} "
            "float32 batch 1"
        )
        self._rows = onnxruntime_rows(to_onnx(model))

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `base.Engine`."""
        return self._rows(pixels)


def to_onnx(model: keras.Model) -> bytes:
    """The content of an .onnx file that takes one picture.

    Args:
        model: functional, float32 pixels (n, S, S, 3) in 0..255 to one or several outputs.

    Raises:
        EngineUnavailable: tf2onnx is not installed, or has no translation of the model.
    """
    try:
        import tf2onnx
    except ImportError as error:
        raise not_installed("onnxruntime", error, requirement="'tl_app[onnx]'") from error
    traced = trace_one_picture(OnnxRuntimeEngine.name, model)
    with _quiet("tf2onnx", "tensorflow"):
        try:
            # Frozen here: tf2onnx's own way leaves constants that Keras holds outside of the
            # graph as inputs, such as the means of a Normalization layer.
            frozen = convert_variables_to_constants_v2(traced, aggressive_inlining=True)
            proto, _ = tf2onnx.convert.from_graph_def(
                frozen.graph.as_graph_def(add_shapes=True),
                input_names=[frozen.inputs[0].name],
                output_names=[tensor.name for tensor in frozen.outputs],
                opset=OPSET,
            )
        except (ValueError, RuntimeError, TypeError, NotImplementedError) as error:
            raise refusal(OnnxRuntimeEngine.name, first_line(error)) from error
    return proto.SerializeToString()


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Hush the loggers: what goes wrong is in the error, the rest is for tf2onnx's makers."""
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in before:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
