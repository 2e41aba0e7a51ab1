"""The one preprocessing: encoded bytes to the backbone's picture.

Training, evaluation, `predict` and the SavedModel all call `build_preprocess`. Arithmetic
that graph optimisers like to rewrite (a division by a constant, say) is avoided, so that
eager mode, `tf.data` and a SavedModel give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tl_app.inputs.decode import decode_jpeg_levels, decode_levels
from tl_app.inputs.padding import PAD_LEVEL
from tl_app.records import Preprocessing


def build_preprocess(
    preprocessing: Preprocessing, *, jpeg_only: bool = False
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function from one encoded picture to pixels.

    16-bit pictures are mapped linearly, `preprocessing.window` to 0..255, levels outside
    going to its ends; 8-bit pictures keep their levels. Then the aspect policy, with one
    antialiased bilinear resampling:

        squash  the whole picture, each side scaled by itself
        crop    the square in the middle
        pad     the whole picture in proportion, with bars of mid-grey (`PAD_LEVEL`)

    Args:
        preprocessing: see `records.Preprocessing`; `max_pixels` holds inside the graph too.
        jpeg_only: for JPEG files alone: a smaller graph that says the same of them.

    Returns:
        A function of a string scalar, giving float32, shape (S, S, 3), in 0..255, S being
        `image_size_px`. It raises tf.errors.InvalidArgumentError on what cannot be decoded.
    """

    decode = decode_jpeg_levels if jpeg_only else decode_levels

    @tf.autograph.experimental.do_not_convert
    def preprocess(encoded: tf.Tensor) -> tf.Tensor:
        levels, bits = decode(encoded, preprocessing.max_pixels)
        pixels = apply_window(levels, bits, preprocessing.window)
        return resize(pixels, preprocessing.image_size_px, preprocessing.aspect)

    return preprocess


def apply_window(levels: tf.Tensor, bits: tf.Tensor, window: tuple[int, int]) -> tf.Tensor:
    """uint16 levels to float32 pixels in 0..255; see `build_preprocess`."""
    low, high = (tf.constant(level, tf.float32) for level in window)
    scale = tf.constant(255.0 / (window[1] - window[0]), tf.float32)

    def through_window() -> tf.Tensor:
        clipped = tf.clip_by_value(tf.cast(levels, tf.float32), low, high)
        return tf.minimum((clipped - low) * scale, 255.0)

    return tf.cond(bits == 16, through_window, lambda: tf.cast(levels, tf.float32))


def resize(pixels: tf.Tensor, size_px: int, aspect: str) -> tf.Tensor:
    """float32 pixels, shape (h, w, 3), to (size_px, size_px, 3) by the aspect policy."""
    height, width = tf.unstack(tf.shape(pixels)[:2])
    if aspect == "pad":
        longer = tf.maximum(height, width)
        inner = [_in_proportion(side, size_px, longer) for side in (height, width)]
        resized = _resample(pixels, tf.stack(inner))
        before = [(size_px - side) // 2 for side in inner]
        after = [size_px - side - start for side, start in zip(inner, before, strict=True)]
        bars = [[before[0], after[0]], [before[1], after[1]], [0, 0]]
        padded = tf.pad(resized, bars, constant_values=PAD_LEVEL)
        return tf.ensure_shape(padded, [size_px, size_px, 3])
    if aspect == "crop":
        # Cutting before scaling spares elongated pictures from being blown up first.
        side = tf.minimum(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    elif aspect != "squash":
        raise ValueError(f"aspect: received {aspect!r}; allowed: 'crop', 'pad', 'squash'")
    return tf.ensure_shape(
        _resample(pixels, tf.constant([size_px, size_px])), [size_px, size_px, 3]
    )


def _in_proportion(side: tf.Tensor, size_px: int, longer: tf.Tensor) -> tf.Tensor:
    """round(side * size_px / longer), at least 1, in integers."""
    wide = tf.cast(side, tf.int64) * (2 * size_px) + tf.cast(longer, tf.int64)
    rounded = wide // (2 * tf.cast(longer, tf.int64))
    return tf.cast(tf.maximum(rounded, 1), tf.int32)


def _resample(pixels: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    resized = tf.image.resize(pixels, size, method="bilinear", antialias=True)
    return tf.clip_by_value(resized, 0.0, 255.0)
