"""Models as the content of a file that LiteRT or ONNX Runtime runs, without TensorFlow.

A model of this kind takes one picture, float32 (1, S, S, 3) in 0..255; each core runs one of its
own.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from typing import Any

from tl_app.engines.refusals import first_line, not_installed, refusal
from tl_app.engines.rows import RowPool, Runner
from tl_app.environment import usable_cores
from tl_app.libraries import hushed

PACKED_BYTES = 2**30
"""For all interpreters of LiteRT together: each packs a copy of the weights."""

_ERROR_LEVEL = 3

# What LiteRT says of itself, for which it has no switch.
_GREETING = re.compile(rb"INFO: (Created TensorFlow Lite|Initialized TensorFlow Lite)|\s*$")


def litert_rows(content: bytes) -> RowPool:
    """An interpreter on every core.

    Args:
        content: of a .tflite file.

    Raises:
        EngineUnavailable: LiteRT is not installed, or cannot run it.
    """
    interpreter = _interpreter()
    n_interpreters, n_threads = share_out(usable_cores(), len(content))
    with hushed(_GREETING):
        try:
            interpreters = [
                interpreter(model_content=content, num_threads=n_threads)
                for _ in range(n_interpreters)
            ]
            runners = [_litert_runner(each) for each in interpreters]
        except (ValueError, RuntimeError) as error:
            raise refusal("litert", first_line(error)) from error
    return RowPool(runners)


def litert_version() -> str:
    """
    Raises:
        EngineUnavailable: LiteRT is not installed.
    """
    _interpreter()
    return importlib.metadata.version("ai-edge-litert")


def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise not_installed("litert", error, requirement="ai-edge-litert") from error
    return Interpreter


def share_out(n_cores: int, n_bytes: int) -> tuple[int, int]:
    """How many interpreters, and threads for each, so that their weights fit PACKED_BYTES."""
    most = max(1, min(n_cores, PACKED_BYTES // max(n_bytes, 1)))
    n_threads = -(-n_cores // most)
    return n_cores // n_threads, n_threads


def _litert_runner(interpreter) -> Runner:
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    exits = [details["index"] for details in interpreter.get_output_details()]

    def run(picture):
        interpreter.set_tensor(entry, picture)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in exits]

    return run


def onnxruntime_rows(content: bytes) -> RowPool:
    """One session for all cores: its weights are there once.

    Args:
        content: of an .onnx file.

    Raises:
        EngineUnavailable: ONNX Runtime is not installed, or cannot run it.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
    except ImportError as error:
        raise not_installed("onnxruntime", error, requirement="'tl_app[onnx]'") from error
    options = onnxruntime.SessionOptions()
    # Each picture has one thread (see RowPool); several threads of one picture would wait
    # for each other in a busy loop, and take the cores from those that decode.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR_LEVEL
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (
        # They have no base of their own.
        ort_errors.Fail,
        ort_errors.InvalidArgument,
        ort_errors.InvalidGraph,
        ort_errors.InvalidProtobuf,
        ort_errors.NotImplemented,
        ort_errors.RuntimeException,
    ) as error:
        raise refusal("onnxruntime", first_line(error)) from error
    entry = session.get_inputs()[0].name
    return RowPool([lambda picture: session.run(None, {entry: picture})] * usable_cores())


MODEL_FILES: dict[str, tuple[str, Callable[[bytes], RowPool]]] = {
    "litert": ("model.tflite", litert_rows),
    "onnxruntime": ("model.onnx", onnxruntime_rows),
}
"""Engine -> the name of its file in an export, and what runs it."""
