"""LiteRT (formerly TensorFlow Lite): the quickest way through a small network on a CPU."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from tl_app.engines.conversion import trace_one_picture
from tl_app.engines.model_files import litert_rows, litert_version
from tl_app.engines.refusals import first_line, refusal
from tl_app.libraries import hushed

# The converter's monologue about the machine, and about operations that it lacks; the reason is
# told by the error. There is no switch for it.
_NOISE = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:|fully_quantize: |loc\(|error: |Some ops |"
    rb"(Custom|Flex|TF Select) ops: |Details:|\ttf\.|\s*$"
)

Precision = Literal["float32", "float16", "dynamic-int8", "int8"]


class LiteRTEngine:
    """The folded model in float32, one picture at a time, an interpreter on every core.

    Args:
        model: functional, float32 pixels (n, S, S, 3) in 0..255 to one or several outputs.

    Raises:
        EngineUnavailable: LiteRT is not installed, or has no kernels for the model.
    """

    name = "litert"

    def __init__(self, model: keras.Model) -> None:
        version = litert_version()
        self.identity = (
            f"{self.name} {version} converter {tf.__version__} keras {keras.__version__} "
            "float32 batch 1"
        )
        self._rows = litert_rows(to_litert(model))

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `base.Engine`."""
        return self._rows(pixels)


def to_litert(
    model: keras.Model, *, precision: Precision = "float32", sample: np.ndarray | None = None
) -> bytes:
    """The content of a .tflite file that takes one picture.

    Args:
        model: functional, float32 pixels (n, S, S, 3) in 0..255 to one or several outputs.
        precision: float16 halves the file, and is computed in float32; dynamic-int8 keeps weights
            in 8 bits; int8 computes in them as well, but for the softmax, whose probabilities
            would come in steps of 1/256. Input and outputs are float32 in any.
        sample: float32, shape (n, S, S, 3); pictures by which int8 learns the ranges of numbers.

    Raises:
        EngineUnavailable: LiteRT has no kernels for the model.
        ValueError: int8 without pictures.
    """
    function = trace_one_picture(LiteRTEngine.name, model)
    # With the function itself as the object to track, variables become constants in memory;
    # anything else takes the way over a SavedModel on disk.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    with _refusals(), hushed(_NOISE):
        if precision == "int8":
            if sample is None:
                raise ValueError("int8 without pictures to learn ranges from")
            return _to_int8(converter, sample)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


def _to_int8(converter: tf.lite.TFLiteConverter, sample: np.ndarray) -> bytes:
    def pictures() -> Iterator[list[np.ndarray]]:
        return ([picture[None]] for picture in sample)

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = pictures
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8, sets.TFLITE_BUILTINS]
    # The one way to leave an operation in floats.
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["SOFTMAX"])
    with warnings.catch_warnings():
        # It wants ranges of the input, which stays in floats, and uses an interpreter that will go.
        warnings.simplefilter("ignore", UserWarning)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=pictures, debug_options=options
        )
        return debugger.get_nondebug_quantized_model()


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ConverterError as error:
        missing = re.findall(r"'(tf\.\w+)' op is neither", str(error))
        reason = (
            f"LiteRT has no kernel for {', '.join(dict.fromkeys(missing))}"
            if missing
            else first_line(error)
        )
        raise refusal(LiteRTEngine.name, reason) from error
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise refusal(LiteRTEngine.name, first_line(error)) from error
