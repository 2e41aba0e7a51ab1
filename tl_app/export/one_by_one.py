"""Decoding a batch in a graph so that a bad item harms no other.

An error in a graph ends all of it; what a pipeline of `tf.data` cannot decode, it can leave out.
Such a pipeline runs inside a graph, and inside a SavedModel that nothing but TensorFlow loads.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

PARALLEL_DECODES = 8
"""Items of one batch decoded at a time; each may need memory for its full size."""


def decode_one_by_one(
    decode: Callable[[tf.Tensor], tf.Tensor], encoded: tf.Tensor, one: tf.TensorSpec
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each item decoded for itself.

    Args:
        decode: a string scalar to what `one` describes; raises on what it cannot decode.
        encoded: string, shape (n,).
        one: shape and dtype of a decoded item, fully known.

    Returns:
        The decoded items, shape (n, *one.shape), zeros where `decode` raised; and bool, shape
        (n,), False there.
    """
    n = tf.size(encoded, tf.int64)
    decoded = (
        tf.data.Dataset.from_tensor_slices((tf.range(n), encoded))
        .map(
            lambda row, item: (row, decode(item)),
            num_parallel_calls=PARALLEL_DECODES,
            deterministic=False,
        )
        .ignore_errors()
    )
    # So that there is something to batch where nothing can be decoded; cut off below.
    end = tf.data.Dataset.from_tensors((n, tf.zeros(one.shape, one.dtype)))
    rows, items = (
        decoded.concatenate(end).batch(n + 1).with_options(_as_it_is()).get_single_element()
    )
    items = tf.scatter_nd(rows[:, None], items, (n + 1, *one.shape))[:-1]
    is_decoded = tf.scatter_nd(rows[:, None], tf.ones_like(rows), (n + 1,))[:-1] > 0
    return tf.ensure_shape(items, (None, *one.shape)), is_decoded


def _as_it_is() -> tf.data.Options:
    """Nothing rewritten or tuned: a pipeline of a few items would take longer for it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options
