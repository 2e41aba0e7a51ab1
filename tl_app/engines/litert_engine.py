"""LiteRT (formerly TensorFlow Lite): the quickest way through a small network on a CPU."""

from __future__ import annotations

import importlib.metadata
import re

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from tl_app.engines.conversion import first_line, not_installed, refusal, trace_one_picture
from tl_app.engines.rows import RowPool, Runner
from tl_app.environment import usable_cores
from tl_app.libraries import hushed

PACKED_BYTES = 2**30
"""For all interpreters together: each packs a copy of the weights."""

# What LiteRT says of itself, and the converter's monologue about operations that it lacks;
# the reason is told by the error. There is no switch for either.
_NOISE = re.compile(
    rb"INFO: (Created TensorFlow Lite|Initialized TensorFlow Lite)|loc\(|error: |Some ops |"
    rb"(Custom|Flex|TF Select) ops: |Details:|\ttf\.|\s*$"
)


class LiteRTEngine:
    """The folded model in float32, one picture at a time, an interpreter on every core.

    Args:
        model: functional, float32 pixels (n, S, S, 3) in 0..255 to one or several outputs.

    Raises:
        EngineUnavailable: LiteRT is not installed, or has no kernels for the model.
    """

    name = "litert"

    def __init__(self, model: keras.Model) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise not_installed(self.name, error, requirement="ai-edge-litert") from error
        version = importlib.metadata.version("ai-edge-litert")
        self.identity = (
            f"{self.name} {version} converter {tf.__version__} keras {keras.__version__} "
            "float32 batch 1"
        )
        with hushed(_NOISE):
            content = _convert(model)
            n_interpreters, n_threads = share_out(usable_cores(), len(content))
            interpreters = [
                Interpreter(model_content=content, num_threads=n_threads)
                for _ in range(n_interpreters)
            ]
            self._rows = RowPool([_runner(interpreter) for interpreter in interpreters])

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `base.Engine`."""
        return self._rows(pixels)


def share_out(n_cores: int, n_bytes: int) -> tuple[int, int]:
    """How many interpreters, and threads for each, so that their weights fit PACKED_BYTES."""
    most = max(1, min(n_cores, PACKED_BYTES // max(n_bytes, 1)))
    n_threads = -(-n_cores // most)
    return n_cores // n_threads, n_threads


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


def _runner(interpreter) -> Runner:
    try:
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise refusal(LiteRTEngine.name, first_line(error)) from error
    entry = interpreter.get_input_details()[0]["index"]
    exits = [details["index"] for details in interpreter.get_output_details()]

    def run(picture: np.ndarray) -> list[np.ndarray]:
        interpreter.set_tensor(entry, picture)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in exits]

    return run
