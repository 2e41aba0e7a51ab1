"""From a Keras model to what another library can read."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tl_app.engines.base import number_types
from tl_app.engines.fold import fold_batch_normalization
from tl_app.engines.refusals import refusal

MAX_WEIGHT_BYTES = 2**31 - 2**26
"""A frozen graph is one protocol buffer, which ends at 2 GiB; 64 MiB are left for the rest."""


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
