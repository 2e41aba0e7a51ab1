"""From an engine's name to an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tl_app.engines.base import ENGINES, Engine
from tl_app.errors import EngineUnavailable, did_you_mean

if TYPE_CHECKING:
    import keras

__all__ = ("ENGINES", "build_engine")


def build_engine(name: str, model: keras.Model, *, batch_size: int) -> Engine:
    """A frozen model in one of the engines.

    Its weights must not change afterwards: some engines copy them, others do not.

    Args:
        name: one of ENGINES.
        model: functional, float32 pixels (n, S, S, 3) in 0..255 to one or several outputs.
        batch_size: pictures that run through a TensorFlow graph together; the other engines
            take one at a time on each core.

    Raises:
        EngineUnavailable: there is no such engine, its library is not installed, or it cannot
            run the model.
    """
    if name in ("folded", "tensorflow"):
        from tl_app.engines.tensorflow_engine import TensorFlowEngine

        return TensorFlowEngine(model, batch_size=batch_size, fold=name == "folded")
    if name == "litert":
        from tl_app.engines.litert_engine import LiteRTEngine

        return LiteRTEngine(model)
    if name == "onnxruntime":
        from tl_app.engines.onnxruntime_engine import OnnxRuntimeEngine

        return OnnxRuntimeEngine(model)
    raise EngineUnavailable(
        f"There is no engine of this name.{did_you_mean(name, ENGINES)}",
        received=name,
        allowed=", ".join(ENGINES),
    )
