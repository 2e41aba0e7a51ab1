"""LiteRT (formerly TensorFlow Lite): the quickest way through a small network on a CPU."""

from __future__ import annotations

import re

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from tl_app.engines.conversion import trace_one_picture
from tl_app.engines.model_files import litert_rows, litert_version
from tl_app.engines.refusals import first_line, refusal
from tl_app.libraries import hushed

# The converter's monologue about operations that it lacks; the reason is told by the error. There
# is no switch for it.
_NOISE = re.compile(rb"loc\(|error: |Some ops |(Custom|Flex|TF Select) ops: |Details:|\ttf\.|\s*$")


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
        with hushed(_NOISE):
            content = _convert(model)
        self._rows = litert_rows(content)

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `base.Engine`."""
        return self._rows(pixels)


def _convert(model: keras.Model) -> bytes:
    function = trace_one_picture(LiteRTEngine.name, model)
    # With the function itself as the object to track, variables become constants in memory;
    # anything else takes the way over a SavedModel on disk.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    try:
        return converter.convert()
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
