"""GIF frames and transparency inside a TensorFlow graph.

TensorFlow draws transparent pixels black, which cannot be told from pixels that are
black. So the bytes are changed before decoding: the colour of the transparent index
becomes white and the mark of transparency is taken away. What the first frame leaves
uncovered is transparent too: the frame is moved to the corner for decoding, since
TensorFlow makes the canvas no larger than the frame, and put in its place afterwards.
Later frames are cut off before decoding, since TensorFlow unpacks them all and makes its
canvas as large as the largest of them.

Source: GIF89a specification, sections 15 to 23.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tl_app.inputs.graph_bytes import (
    byte_at,
    bytes_at,
    little_endian,
    replace_bytes,
    single_byte,
)

_MAX_STEPS = 8192
_MAX_BLOCKS_A_STEP = 4096
_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9


class FirstFrame(NamedTuple):
    """Where the first frame of a GIF stands.

    Attributes:
        data: uint8, shape (n,), the file.
        image_at: int64 scalar, offset of the image descriptor.
        control_at: int64 scalar, offset of the graphic control before it; 0: none.
    """

    data: tf.Tensor
    image_at: tf.Tensor
    control_at: tf.Tensor


def find_first_frame(encoded: tf.Tensor, head: tf.Tensor) -> FirstFrame:
    """Walk to the first image descriptor.

    Args:
        encoded: string scalar.
        head: its `head_bytes`.

    Raises:
        tf.errors.InvalidArgumentError: there is none, or not within 8192 blocks.
    """
    data = tf.io.decode_raw(encoded, tf.uint8)
    image_at, in_blocks, control_at = _find_first_image(data, head)
    # Without it nobody knows how large the frame is that the decoder may yet find.
    is_image = tf.debugging.Assert(
        ~in_blocks & (byte_at(data, image_at) == _IMAGE),
        ["no frame at the beginning of the GIF file"],
    )
    with tf.control_dependencies([is_image]):
        return FirstFrame(data, tf.identity(image_at), control_at)


def gif_pixels(head: tf.Tensor, first: FirstFrame) -> tf.Tensor:
    """Pixels of the canvas or of the first frame, whichever are more; int64 scalar."""
    canvas = little_endian(head, 6, 2) * little_endian(head, 8, 2)
    size = bytes_at(first.data, first.image_at + 5, 4)
    return tf.maximum(canvas, little_endian(size, 0, 2) * little_endian(size, 2, 2))


def decode_gif_on_white(encoded: tf.Tensor, head: tf.Tensor, first: FirstFrame) -> tf.Tensor:
    """The first frame of a GIF, composited on white.

    Args:
        encoded: string scalar.
        head: its `head_bytes`.
        first: its `find_first_frame`.

    Returns:
        uint8, shape (h, w, 3).

    Raises:
        tf.errors.InvalidArgumentError: damaged, or cut off within the first frame.
    """
    data, image_at, control_at = first
    single = _without_later_frames(encoded, data, image_at)
    solid = tf.cond(
        control_at > 0,
        lambda: _whiten(single, data, head, image_at, control_at),
        lambda: tf.identity(single),
    )
    cornered = replace_bytes(solid, image_at + 1, b"\0\0\0\0")
    frame = tf.io.decode_image(cornered, channels=3, expand_animations=False)
    frame = tf.ensure_shape(frame, [None, None, 3])

    corner = bytes_at(data, image_at + 1, 4)
    width = tf.maximum(little_endian(head, 6, 2), 1)
    height = tf.maximum(little_endian(head, 8, 2), 1)
    left = tf.minimum(little_endian(corner, 0, 2), width)
    top = tf.minimum(little_endian(corner, 2, 2), height)
    # Cropped before it is put in its place: a frame may lie far outside the canvas.
    visible = frame[: height - top, : width - left]
    shape = tf.shape(visible, tf.int64)
    below, right = height - top - shape[0], width - left - shape[1]
    return tf.pad(
        visible, [[top, below], [left, right], [0, 0]], constant_values=tf.constant(255, tf.uint8)
    )


def _find_first_image(data: tf.Tensor, head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where the first image descriptor should stand, and what led there.

    Returns:
        Its offset; whether that is still within an extension (the search was given up); and
        the offset of the graphic control before it (0: none).
    """
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

    return tf.while_loop(
        is_before_image,
        step,
        (start, tf.constant(False), tf.constant(0, tf.int64)),
        maximum_iterations=_MAX_STEPS,
    )


def _without_later_frames(encoded: tf.Tensor, data: tf.Tensor, image_at: tf.Tensor) -> tf.Tensor:
    """`encoded` up to the end of the first frame; all of it where that frame is cut off.

    Raises:
        tf.errors.InvalidArgumentError: the frame is in so many pieces that its end is not found.
    """
    packed = byte_at(data, image_at + 9)
    table_bytes = tf.where(packed >= 128, _table_bytes(packed), tf.constant(0, tf.int64))
    end = _end_of_blocks(data, image_at + 10 + table_bytes + 1)
    is_end = tf.debugging.Assert(
        byte_at(data, end) == 0, ["the first frame of the GIF file is in too many pieces"]
    )
    with tf.control_dependencies([is_end]):
        is_whole = end < tf.size(data, tf.int64)

    def cut() -> tf.Tensor:
        kept = tf.strings.substr(encoded, tf.constant(0, tf.int64), end + 1)
        return tf.strings.join([kept, b";"])

    return tf.cond(is_whole, cut, lambda: tf.identity(encoded))


def _end_of_blocks(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Offset of the empty block that ends the data blocks from `start` on.

    Blocks of one length in a row, as encoders write them, are passed in one step: a step of
    a graph costs as much as thousands of bytes.
    """

    def goes_on(position: tf.Tensor) -> tf.Tensor:
        return byte_at(data, position) > 0

    def step(position: tf.Tensor) -> tuple[tf.Tensor]:
        length = byte_at(data, position)
        lengths = data[position : position + _MAX_BLOCKS_A_STEP * (length + 1) : length + 1]
        differs = tf.concat([tf.cast(lengths, tf.int64) != length, [True]], 0)
        return (position + tf.argmax(differs) * (length + 1),)

    (end,) = tf.while_loop(goes_on, step, (start,), maximum_iterations=_MAX_STEPS)
    return end


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
