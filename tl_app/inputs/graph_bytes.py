"""Reading and changing single bytes of an encoded picture inside a TensorFlow graph.

Offsets are int64 throughout: headers hold unsigned 32-bit numbers. A read past the end
gives 0, so that a damaged header leads to a decoder's error and never to an index error.
"""

from __future__ import annotations

import tensorflow as tf

HEAD_BYTES = 80
_SINGLE_BYTES = [bytes([value]) for value in range(256)]


def head_bytes(encoded: tf.Tensor) -> tf.Tensor:
    """The first 80 bytes, int64, shape (80,), zeros where the file is shorter."""
    padded = tf.strings.join([tf.strings.substr(encoded, 0, HEAD_BYTES), b"\0" * HEAD_BYTES])
    head = tf.strings.substr(padded, 0, HEAD_BYTES)
    return tf.ensure_shape(tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int64), [HEAD_BYTES])


def bytes_at(data: tf.Tensor, position: tf.Tensor | int, n_bytes: int) -> tf.Tensor:
    """`n_bytes` bytes of `data` (shape (n,)) from `position` >= 0 on; int64, 0 past the end."""
    n_known = data.shape[0]
    if isinstance(position, int) and n_known is not None and position + n_bytes <= n_known:
        # Within a header of fixed size: no bounds to look after, and a far smaller graph.
        return tf.cast(data[position : position + n_bytes], tf.int64)
    window = tf.cast(data[position : position + n_bytes], tf.int64)
    if window.shape == [n_bytes]:  # at a fixed place in the head
        return window
    return tf.ensure_shape(tf.pad(window, [[0, n_bytes - tf.size(window)]]), [n_bytes])


def byte_at(data: tf.Tensor, position: tf.Tensor | int) -> tf.Tensor:
    """One byte as an int64 scalar."""
    return bytes_at(data, position, 1)[0]


def little_endian(data: tf.Tensor, position: tf.Tensor | int, n_bytes: int) -> tf.Tensor:
    """An unsigned number of `n_bytes` bytes, least significant first, as an int64 scalar."""
    weights = tf.constant([256**i for i in range(n_bytes)], tf.int64)
    return tf.reduce_sum(bytes_at(data, position, n_bytes) * weights)


def big_endian(data: tf.Tensor, position: tf.Tensor | int, n_bytes: int) -> tf.Tensor:
    """An unsigned number of `n_bytes` bytes, most significant first, as an int64 scalar."""
    weights = tf.constant([256**i for i in reversed(range(n_bytes))], tf.int64)
    return tf.reduce_sum(bytes_at(data, position, n_bytes) * weights)


def single_byte(value: tf.Tensor) -> tf.Tensor:
    """A string scalar that holds the one byte `value` (0 to 255)."""
    return tf.gather(tf.constant(_SINGLE_BYTES), value)


def replace_bytes(encoded: tf.Tensor, position: tf.Tensor, new: tf.Tensor | bytes) -> tf.Tensor:
    """`encoded` with the bytes from `position` on overwritten by `new`, of the same length."""
    position = tf.cast(position, tf.int64)
    new = tf.convert_to_tensor(new)
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    end = position + tf.cast(tf.strings.length(new), tf.int64)
    before = tf.strings.substr(encoded, tf.constant(0, tf.int64), position)
    # A position equal to the length is refused by substr: nothing follows, nothing is taken.
    after = tf.strings.substr(encoded, tf.minimum(end, length - 1), tf.maximum(length - end, 0))
    return tf.strings.join([before, new, after])
