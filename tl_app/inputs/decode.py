"""Encoded bytes to levels, as TensorFlow graph code that also runs inside the SavedModel.

What each format needs beyond TensorFlow's own decoder:

    JPEG   the accurate inverse DCT, and EXIF orientation
    PNG    transparency composited on white in every mode, 16 bits kept
    GIF    first frame, cut out; transparent and uncovered pixels become white
    WebP   first frame; TensorFlow writes past its buffer when an animation is not
           marked as having alpha, so the mark is set before decoding
    BMP    the palette of 8-bit files, which TensorFlow leaves out; rarer kinds are refused
           here and converted to PNG by `inputs.files`
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tl_app.inputs.gif import FirstFrame, decode_gif_on_white, find_first_frame, gif_pixels
from tl_app.inputs.graph_bytes import (
    big_endian,
    head_bytes,
    little_endian,
    replace_bytes,
    single_byte,
)
from tl_app.inputs.orientation import apply_orientation, jpeg_orientation

JPEG_START = b"\xff\xd8\xff"

TOO_MANY_PIXELS = "more pixels than"
"""Begins the message of the error about `max_pixels`."""

Decoded = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""Levels, bits and EXIF orientation."""

_BMP_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF)
_BMP_ALPHA_MASK = 0xFF000000
_PNG_GREY, _PNG_PALETTE = 0, 3


def decode_levels(encoded: tf.Tensor, max_pixels: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode one picture: upright, on white, first frame, three channels.

    Pure graph operations: usable in `tf.data`, in `tf.map_fn` and in a SavedModel that is
    loaded without this package.

    Args:
        encoded: string scalar; a JPEG, PNG, GIF, BMP or WebP file.
        max_pixels: refuse larger pictures by their header, before decoding; None: never.

    Returns:
        levels, uint16, shape (h, w, 3), in 0..255 or 0..65535; and bits, int32 scalar, 8 or 16.

    Raises:
        tf.errors.InvalidArgumentError: another format, damaged or cut off, or too large.
    """
    levels, bits, _ = decode_oriented(encoded, max_pixels)
    return levels, bits


def decode_jpeg_levels(
    encoded: tf.Tensor, max_pixels: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """`decode_levels` of a JPEG, in a graph a fifth as large."""
    encoded = tf.convert_to_tensor(encoded, tf.string)
    head = head_bytes(encoded)
    levels, bits, _ = _bounded(encoded, head, max_pixels, _jpeg_pixels, _decode_jpeg)
    return tf.ensure_shape(levels, [None, None, 3]), bits


def decode_oriented(
    encoded: tf.Tensor, max_pixels: int | None = None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`decode_levels`, and the EXIF orientation that was applied (int32 scalar, 1 to 8)."""
    return _traced(max_pixels)(tf.convert_to_tensor(encoded, tf.string))


@functools.cache
def _traced(max_pixels: int | None) -> Callable[[tf.Tensor], Decoded]:
    """One graph a limit, shared by all that decode: tracing it takes seconds."""
    return tf.function(
        functools.partial(_decode, max_pixels=max_pixels),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )


def _decode(encoded: tf.Tensor, max_pixels: int | None) -> Decoded:
    head = head_bytes(encoded)

    def begins(signature: bytes, at: int = 0) -> tf.Tensor:
        expected = tf.constant([*signature], tf.int64)
        return tf.reduce_all(head[at : at + len(signature)] == expected)

    riff = begins(b"RIFF") & begins(b"WEBP", at=8)
    jpeg, png = begins(JPEG_START), begins(b"\x89PNG\r\n\x1a\n")
    known = tf.stack([jpeg, png, begins(b"GIF8"), riff, begins(b"BM")])
    which = tf.where(tf.reduce_any(known), tf.argmax(known, output_type=tf.int32), 5)

    def bounded(*steps: Callable[..., Any]) -> Callable[[], Decoded]:
        return functools.partial(_bounded, encoded, head, max_pixels, *steps)

    levels, bits, orientation = tf.switch_case(
        which,
        [
            bounded(_jpeg_pixels, _decode_jpeg),
            bounded(_png_pixels, _decode_png),
            bounded(_gif_pixels, _decode_gif, find_first_frame),
            bounded(_webp_pixels, _decode_webp),
            bounded(_bmp_pixels, _decode_bmp),
            _decode_unknown,
        ],
    )
    return tf.ensure_shape(levels, [None, None, 3]), bits, orientation


def _bounded(
    encoded: tf.Tensor,
    head: tf.Tensor,
    max_pixels: int | None,
    size: Callable[..., tf.Tensor],
    decode: Callable[..., Decoded],
    find: Callable[[tf.Tensor, tf.Tensor], FirstFrame] | None = None,
) -> Decoded:
    """Decode what has few enough pixels. What `find` finds, at some cost, goes to both others."""
    found = [] if find is None else [find(encoded, head)]
    if max_pixels is None:
        return decode(encoded, head, *found)
    n_pixels = size(encoded, head, *found)
    is_small = tf.debugging.Assert(
        n_pixels <= max_pixels, [f"{TOO_MANY_PIXELS} {max_pixels}:", n_pixels]
    )
    with tf.control_dependencies([is_small]):
        return decode(tf.identity(encoded), head, *found)


def _eight_bit(picture: tf.Tensor, orientation: tf.Tensor | None = None):
    upright = tf.constant(1, tf.int32) if orientation is None else orientation
    return tf.cast(picture, tf.uint16), tf.constant(8, tf.int32), upright


def _on_white(picture: tf.Tensor, full: int) -> tf.Tensor:
    """Composite (h, w, 4) on white; exact integer arithmetic, rounded to the nearest level.

    Args:
        picture: uint8 or uint16, shape (h, w, 4), alpha last and not premultiplied.
        full: the level of white and of full opacity, 255 or 65535.
    """
    colour, alpha = picture[..., :3], picture[..., 3:]

    def composite() -> tf.Tensor:
        # The smallest type that holds full * full: large pictures are many numbers.
        number = tf.int32 if full == 255 else tf.int64
        wide = tf.cast(alpha, number)
        mixed = tf.cast(colour, number) * wide + full * (full - wide) + full // 2
        return tf.cast(mixed // full, picture.dtype)

    is_opaque = tf.reduce_all(alpha == tf.constant(full, picture.dtype))
    return tf.cond(is_opaque, lambda: colour, composite)


def _decode_jpeg(encoded: tf.Tensor, head: tf.Tensor):
    picture = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    orientation = jpeg_orientation(encoded)
    return _eight_bit(apply_orientation(picture, orientation), orientation)


def _jpeg_pixels(encoded: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(encoded, output_type=tf.int32)
    return tf.reduce_prod(tf.cast(shape[:2], tf.int64))


def _decode_png(encoded: tf.Tensor, head: tf.Tensor):
    bit_depth, colour_type = head[24], head[25]

    def sixteen_bit() -> tuple[tf.Tensor, tf.Tensor]:
        picture = tf.io.decode_png(encoded, channels=4, dtype=tf.uint16)
        return _on_white(picture, 65535), tf.constant(16, tf.int32)

    def eight_bit() -> tuple[tf.Tensor, tf.Tensor]:
        picture = tf.cond(colour_type == _PNG_PALETTE, palette, four_channels)
        return tf.cast(picture, tf.uint16), tf.constant(8, tf.int32)

    def palette() -> tf.Tensor:
        # Left alone, the decoder gives four channels where the palette has transparency.
        picture = tf.io.decode_png(encoded, channels=0)
        return tf.cond(
            tf.shape(picture)[-1] == 4, lambda: _on_white(picture, 255), lambda: picture[..., :3]
        )

    def four_channels() -> tf.Tensor:
        # Four channels show a transparent colour key, which three would hide.
        picture = tf.io.decode_png(encoded, channels=4)
        # Below 8 bits the decoder fills opaque pixels with 1, 3 or 15 in place of 255.
        alpha = tf.where(
            (colour_type == _PNG_GREY) & (bit_depth < 8) & (picture[..., 3:] > 0),
            tf.constant(255, tf.uint8),
            picture[..., 3:],
        )
        return _on_white(tf.concat([picture[..., :3], alpha], -1), 255)

    levels, bits = tf.cond(bit_depth == 16, sixteen_bit, eight_bit)
    return levels, bits, tf.constant(1, tf.int32)


def _png_pixels(encoded: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    return big_endian(head, 16, 4) * big_endian(head, 20, 4)


def _decode_gif(encoded: tf.Tensor, head: tf.Tensor, first: FirstFrame):
    return _eight_bit(decode_gif_on_white(encoded, head, first))


def _gif_pixels(encoded: tf.Tensor, head: tf.Tensor, first: FirstFrame) -> tf.Tensor:
    return gif_pixels(head, first)


def _is_webp(head: tf.Tensor, kind: bytes) -> tf.Tensor:
    return tf.reduce_all(head[12:16] == tf.constant([*kind], tf.int64))


def _decode_webp(encoded: tf.Tensor, head: tf.Tensor):
    flags = head[20]
    is_animation = _is_webp(head, b"VP8X") & (flags & 2 == 2)
    safe = tf.cond(
        is_animation,
        lambda: replace_bytes(encoded, tf.constant(20), single_byte(flags | 16)),
        lambda: tf.identity(encoded),
    )
    picture = tf.io.decode_image(safe, channels=0, expand_animations=False)
    picture = tf.cond(
        tf.shape(picture)[-1] == 4, lambda: _on_white(picture, 255), lambda: picture[..., :3]
    )
    return _eight_bit(picture)


def _webp_pixels(encoded: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    canvas = (little_endian(head, 24, 3) + 1) * (little_endian(head, 27, 3) + 1)
    lossy = (little_endian(head, 26, 2) & 0x3FFF) * (little_endian(head, 28, 2) & 0x3FFF)
    packed = little_endian(head, 21, 4)
    lossless = ((packed & 0x3FFF) + 1) * ((packed // 0x4000 & 0x3FFF) + 1)
    simple = tf.where(_is_webp(head, b"VP8L"), lossless, lossy)
    return tf.where(_is_webp(head, b"VP8X"), canvas, simple)


def _decode_bmp(encoded: tf.Tensor, head: tf.Tensor):
    header_bytes, bit_depth = little_endian(head, 14, 4), little_endian(head, 28, 2)
    compression = little_endian(head, 30, 4)
    is_plain = (header_bytes >= 40) & (compression == 0)
    masks = [little_endian(head, 54 + 4 * i, 4) == mask for i, mask in enumerate(_BMP_MASKS)]
    is_masked = (header_bytes >= 40) & (compression == 3) & (bit_depth == 32)
    is_masked &= tf.reduce_all(tf.stack(masks))
    has_alpha = is_masked & (header_bytes >= 56) & (little_endian(head, 66, 4) == _BMP_ALPHA_MASK)
    encoded = _without_bytes_behind_bmp(encoded, head)

    def palette() -> tf.Tensor:
        indices = tf.io.decode_bmp(encoded, channels=0)[..., 0]
        stored = little_endian(head, 46, 4)
        n_colours = tf.where((stored == 0) | (stored > 256), tf.constant(256, tf.int64), stored)
        start = tf.cast(14 + header_bytes, tf.int64)
        table = tf.io.decode_raw(encoded, tf.uint8)[start : start + 4 * n_colours]
        table = tf.pad(table, [[0, 1024 - tf.size(table)]])
        return tf.gather(
            tf.reverse(tf.reshape(table, [256, 4])[:, :3], [1]), tf.cast(indices, tf.int32)
        )

    def masked() -> tf.Tensor:
        picture = tf.io.decode_bmp(encoded, channels=4)
        return tf.cond(has_alpha, lambda: _on_white(picture, 255), lambda: picture[..., :3])

    def refused() -> tf.Tensor:
        return _refuse("this kind of BMP is not decoded here; save it as PNG")

    kinds = tf.stack(
        [
            is_plain & (bit_depth == 8),
            is_plain & ((bit_depth == 24) | (bit_depth == 32)),
            is_masked,
            tf.constant(True),
        ]
    )
    picture = tf.switch_case(
        tf.argmax(kinds, output_type=tf.int32),
        # The fourth byte of a plain 32-bit file is reserved, not alpha.
        [palette, lambda: tf.io.decode_bmp(encoded, channels=3), masked, refused],
    )
    return _eight_bit(picture)


def _without_bytes_behind_bmp(encoded: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    """TensorFlow takes no byte too many; some programs fill files up to a multiple of four."""
    row_bytes = (little_endian(head, 18, 4) * little_endian(head, 28, 2) + 31) // 32 * 4
    n_bytes = little_endian(head, 10, 4) + row_bytes * _bmp_rows(head)
    given = tf.strings.length(encoded, unit="BYTE")
    is_longer = (n_bytes > 0) & (n_bytes < tf.cast(given, tf.int64))
    return tf.strings.substr(encoded, 0, tf.where(is_longer, tf.cast(n_bytes, tf.int32), given))


def _bmp_pixels(encoded: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    return little_endian(head, 18, 4) * _bmp_rows(head)


def _bmp_rows(head: tf.Tensor) -> tf.Tensor:
    height = little_endian(head, 22, 4)
    # A negative height means that rows run from the top.
    return tf.where(height >= 2**31, 2**32 - height, height)


def _decode_unknown():
    return _eight_bit(_refuse("not a JPEG, PNG, GIF, BMP or WebP file"))


def _refuse(reason: str) -> tf.Tensor:
    """Raise InvalidArgumentError with `reason` when run; stands where a picture would."""
    # The bytes stay out of the message: Python cannot raise one that is not UTF-8.
    failure = tf.debugging.Assert(tf.constant(False), [reason])
    with tf.control_dependencies([failure]):
        return tf.zeros([1, 1, 3], tf.uint8)
