"""EXIF orientation of JPEG files inside a TensorFlow graph; TensorFlow has no op for it.

Source: CIPA DC-008 (Exif 2.32), sections 4.5.2 (APP1) and 4.6.2 (IFD); tag 0x0112.
"""

from __future__ import annotations

import tensorflow as tf

from tl_app.inputs.graph_bytes import big_endian, bytes_at, little_endian

_MAX_SEGMENTS = 1024
"""Files have a few dozen at most. A file of fill bytes alone must not keep a server busy."""

_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4


def jpeg_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation that a JPEG's EXIF data name, and 1 where they are absent or malformed.

    Args:
        encoded: string scalar, a JPEG file of at least one byte.

    Returns:
        int32 scalar, 1 to 8.
    """
    data = tf.io.decode_raw(encoded, tf.uint8)

    def search() -> tf.Tensor:
        start, length = _find_exif(data)
        return tf.cond(start > 0, lambda: _read_orientation(data[start : start + length]), _upright)

    return tf.cond(_mentions_exif(data), search, _upright)


def _mentions_exif(data: tf.Tensor) -> tf.Tensor:
    """Whether the letters "Exif" occur at all: most files are spared the walk."""
    n = tf.maximum(tf.size(data) - 3, 0)
    letters = [data[i : i + n] == letter for i, letter in enumerate(b"Exif")]
    return tf.reduce_any(letters[0] & letters[1] & letters[2] & letters[3])


def _upright() -> tf.Tensor:
    return tf.constant(1, tf.int32)


def _find_exif(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the TIFF structure of the first EXIF segment starts (0: nowhere), and its length."""
    zero = tf.constant(0, tf.int64)
    n_bytes = tf.size(data, tf.int64)

    def searching(position: tf.Tensor, start: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        return (start == 0) & (position >= 0) & (position + 4 <= n_bytes)

    def next_segment(position: tf.Tensor, start: tf.Tensor, length: tf.Tensor):
        # Nine bytes: 0xFF, marker, two of length, "Exif", 0.
        window = bytes_at(data, position, 9)
        marker, size = window[1], window[2] * 256 + window[3]
        is_fill = marker == 0xFF
        stands_alone = (marker == 0x01) | ((marker >= 0xD0) & (marker <= 0xD8))
        is_over = (window[0] != 0xFF) | (marker == 0xD9) | (marker == 0xDA) | (marker == 0)
        is_over |= ~is_fill & ~stands_alone & (size < 2)
        is_exif = (
            ~is_over
            & (marker == 0xE1)
            & (size >= 8)
            & tf.reduce_all(window[4:] == tf.constant([*b"Exif", 0], tf.int64))
        )
        step = tf.where(is_fill, tf.constant(1, tf.int64), 2 + size)
        step = tf.where(stands_alone, tf.constant(2, tf.int64), step)
        return (
            tf.where(is_over, tf.constant(-1, tf.int64), position + step),
            tf.where(is_exif, position + 10, zero),
            tf.where(is_exif, tf.maximum(size - 8, 0), zero),
        )

    _, start, length = tf.while_loop(
        searching, next_segment, (zero, zero, zero), maximum_iterations=_MAX_SEGMENTS
    )
    return start, length


def _read_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Orientation in the first directory of a TIFF structure (uint8, shape (n,)).

    The rows of the directory are looked at all at once, so there is no second loop to bound.
    """
    padded = tf.concat([exif, tf.zeros([14], tf.uint8)], 0)
    order = big_endian(padded, 0, 2)
    is_little, is_big = order == 0x4949, order == 0x4D4D

    def number(position: tf.Tensor | int, size: int) -> tf.Tensor:
        return tf.where(
            is_little, little_endian(padded, position, size), big_endian(padded, position, size)
        )

    n_bytes = tf.size(exif, tf.int64)
    first = tf.minimum(number(4, 4), n_bytes)
    n_rows = tf.minimum(number(first, 2), tf.maximum(n_bytes - first - 2, 0) // 12)
    rows = tf.reshape(padded[first + 2 : first + 2 + 12 * n_rows], [-1, 12])
    rows = tf.cast(rows, tf.int64)
    low, high = tf.cond(is_little, lambda: (rows, rows[:, 1:]), lambda: (rows[:, 1:], rows))
    matching = tf.where(low[:, 0] + 256 * high[:, 0] == _ORIENTATION_TAG)[:, 0]

    def read_row() -> tf.Tensor:
        at = first + 2 + 12 * matching[0]
        kind, count = number(at + 2, 2), number(at + 4, 4)
        value = tf.where(kind == _SHORT, number(at + 8, 2), number(at + 8, 4))
        is_sound = (is_little | is_big) & (number(2, 2) == 42) & (count == 1)
        is_sound &= ((kind == _SHORT) | (kind == _LONG)) & (value >= 1) & (value <= 8)
        return tf.cast(tf.where(is_sound, value, tf.constant(1, tf.int64)), tf.int32)

    return tf.cond(tf.size(matching) > 0, read_row, _upright)


def apply_orientation(picture: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn a stored picture upright.

    Args:
        picture: any dtype, shape (h, w, c).
        orientation: int32 scalar, 1 to 8.

    Returns:
        The picture as it should be seen; shape (w, h, c) for orientations 5 to 8.
    """

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values, tf.int32))

    def turn() -> tf.Tensor:
        turned = tf.cond(
            orientation >= 5, lambda: tf.transpose(picture, [1, 0, 2]), lambda: picture
        )
        turned = tf.cond(is_one_of(2, 3, 6, 7), lambda: tf.reverse(turned, [1]), lambda: turned)
        return tf.cond(is_one_of(3, 4, 7, 8), lambda: tf.reverse(turned, [0]), lambda: turned)

    return tf.cond(orientation == 1, lambda: picture, turn)
