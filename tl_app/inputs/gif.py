"""GIF transparency inside a TensorFlow graph.

TensorFlow draws transparent pixels black, which cannot be told from pixels that are
black. So the bytes are changed before decoding: the colour of the transparent index
becomes white and the mark of transparency is taken away. What the first frame leaves
uncovered is transparent too: the frame is moved to the corner for decoding, since
TensorFlow makes the canvas no larger than the frame, and put in its place afterwards.

Source: GIF89a specification, sections 18 to 23.
"""

from __future__ import annotations

import tensorflow as tf

from tl_app.inputs.graph_bytes import (
    byte_at,
    bytes_at,
    little_endian,
    replace_bytes,
    single_byte,
)

_MAX_BLOCKS = 8192
_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9


def decode_gif_on_white(encoded: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    """The first frame of a GIF, composited on white.

    Args:
        encoded: string scalar.
        head: its `head_bytes`.

    Returns:
        uint8, shape (h, w, 3).

    Raises:
        tf.errors.InvalidArgumentError: damaged, or cut off within the first frame.
    """
    data = tf.io.decode_raw(encoded, tf.uint8)
    image_at, control_at = _find_first_image(data, head)
    solid = tf.cond(
        control_at > 0,
        lambda: _whiten(encoded, data, head, image_at, control_at),
        lambda: tf.identity(encoded),
    )
    is_image = byte_at(data, image_at) == _IMAGE
    cornered = tf.cond(
        is_image, lambda: replace_bytes(solid, image_at + 1, b"\0\0\0\0"), lambda: solid
    )
    frame = tf.io.decode_image(cornered, channels=3, expand_animations=False)
    frame = tf.ensure_shape(frame, [None, None, 3])

    corner = bytes_at(data, image_at + 1, 4)
    left, top = little_endian(corner, 0, 2), little_endian(corner, 2, 2)
    width, height = little_endian(head, 6, 2), little_endian(head, 8, 2)
    shape = tf.shape(frame, tf.int64)
    below, right = tf.maximum(height - top - shape[0], 0), tf.maximum(width - left - shape[1], 0)
    canvas = tf.pad(
        frame, [[top, below], [left, right], [0, 0]], constant_values=tf.constant(255, tf.uint8)
    )
    return canvas[: tf.maximum(height, 1), : tf.maximum(width, 1)]


def _find_first_image(data: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Offsets of the first image descriptor and of the graphic control before it (0: none)."""
    packed = head[10]
    start = 13 + tf.where(packed >= 128, _table_bytes(packed), tf.constant(0, tf.int64))
    n_bytes = tf.size(data, tf.int64)

    def is_before_image(position: tf.Tensor, in_blocks: tf.Tensor, control: tf.Tensor) -> tf.Tensor:
        at_extension = byte_at(data, position) == _EXTENSION
        return (in_blocks | at_extension) & (position < n_bytes)

    def step(position: tf.Tensor, in_blocks: tf.Tensor, control: tf.Tensor):
        size = byte_at(data, position)
        is_control = byte_at(data, position + 1) == _GRAPHIC_CONTROL
        # The decoder goes by the first graphic control of a frame.
        found = tf.where(~in_blocks & is_control & (control == 0), position, control)
        step_bytes = tf.where(in_blocks, size + 1, tf.constant(2, tf.int64))
        return position + step_bytes, ~in_blocks | (size != 0), found

    position, _, control = tf.while_loop(
        is_before_image,
        step,
        (start, tf.constant(False), tf.constant(0, tf.int64)),
        maximum_iterations=_MAX_BLOCKS,
    )
    return position, tf.where(byte_at(data, position) == _IMAGE, control, tf.zeros_like(control))


def _table_bytes(packed: tf.Tensor) -> tf.Tensor:
    """Size of a colour table by the packed field that announces it."""
    return 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), packed & 7)


def _whiten(
    encoded: tf.Tensor,
    data: tf.Tensor,
    head: tf.Tensor,
    image_at: tf.Tensor,
    control_at: tf.Tensor,
) -> tf.Tensor:
    flags = byte_at(data, control_at + 3)
    index = byte_at(data, control_at + 6)
    local = byte_at(data, image_at + 9)
    has_local = local >= 128
    packed = tf.where(has_local, local, head[10])
    table_at = tf.where(has_local, image_at + 10, tf.constant(13, tf.int64))
    in_table = (packed >= 128) & (3 * index < _table_bytes(packed))
    is_inside = table_at + 3 * index + 3 <= tf.size(data, tf.int64)

    def replace() -> tf.Tensor:
        white = replace_bytes(encoded, table_at + 3 * index, b"\xff\xff\xff")
        return replace_bytes(white, control_at + 3, single_byte(flags & 0xFE))

    return tf.cond((flags & 1 == 1) & in_table & is_inside, replace, lambda: tf.identity(encoded))
