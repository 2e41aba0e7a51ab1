"""From a Keras model to what another library can read, and the refusals on the way there."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tl_app.engines.base import ENGINES, number_types
from tl_app.engines.fold import fold_batch_normalization
from tl_app.errors import EngineUnavailable

MAX_WEIGHT_BYTES = 2**31 - 2**26
"""A frozen graph is one protocol buffer, which ends at 2 GiB; 64 MiB are left for the rest."""


def refusal(engine: str, reason: str) -> EngineUnavailable:
    """An engine that cannot run a model, with the reason."""
    return EngineUnavailable(
        f"The engine {engine} cannot run this model: {reason}.",
        received=engine,
        allowed=_others(engine),
    )


def not_installed(engine: str, error: ImportError, *, requirement: str) -> EngineUnavailable:
    """An engine whose library is missing or does not load."""
    return EngineUnavailable(
        f"The engine {engine} is not installed: {first_line(error)}.",
        received=engine,
        allowed=_others(engine),
        next_step=f"pip install {requirement}",
    )


def _others(engine: str) -> str:
    return ", ".join(name for name in ENGINES if name != engine)


def trace_one_picture(engine: str, model: keras.Model) -> Any:
    """The folded model as a concrete function of one picture, float32 (1, S, S, 3), to a list.

    Raises:
        EngineUnavailable: the model computes in half precision or is too large.
    """
    types = set(number_types(model)) - {"float32"}
    if types:
        raise refusal(engine, f"it computes in {', '.join(sorted(types))}, not in float32")
    n_bytes = 4 * model.count_params()
    if n_bytes > MAX_WEIGHT_BYTES:
        raise refusal(engine, f"its weights take {n_bytes / 2**30:.1f} GiB of at most 1.9")
    folded = fold_batch_normalization(model)
    spec = tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32)
    function = tf.function(
        lambda pixels: tf.nest.flatten(folded(pixels, training=False)),
        input_signature=[spec],
        autograph=False,
    )
    return function.get_concrete_function()


def first_line(error: BaseException) -> str:
    """What an error of another library says in its first line, without the full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
