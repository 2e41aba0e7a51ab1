"""RandAugment: a few random changes of one strength. Graph code.

Source: Cubuk et al., 2019, "RandAugment: Practical automated data augmentation with a
reduced search space", section 3. Amounts at full strength are the paper's; what leaves the
picture is filled with its mirror image in place of grey.
"""

from __future__ import annotations

import math

import tensorflow as tf

from tl_app.inputs.colour import adjust_colour
from tl_app.inputs.geometry import rotation, shearing, translation, warp

OPERATIONS = (
    "identity",
    "auto_contrast",
    "equalize",
    "posterize",
    "solarize",
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)


def randaugment(picture: tf.Tensor, seed: tf.Tensor, *, layers: int, magnitude: float) -> tf.Tensor:
    """Apply `layers` operations drawn with repetition, each in a random direction.

    Args:
        picture: float32, shape (S, S, 3), in 0..255.
        seed: int32, shape (2,); the same seed gives the same picture.
        layers: how many operations.
        magnitude: 0 to 1.
    """
    draws = tf.random.stateless_uniform([layers, 2], seed, alg="philox")
    for layer in range(layers):
        index = tf.cast(draws[layer, 0] * len(OPERATIONS), tf.int32)
        index = tf.minimum(index, len(OPERATIONS) - 1)
        signed = tf.where(draws[layer, 1] < 0.5, -magnitude, magnitude)
        picture = apply_operation(picture, index, signed)
    return picture


def apply_operation(picture: tf.Tensor, index: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Operation number `index` of `OPERATIONS`; strength in -1..1, its sign the direction."""
    amount = tf.abs(strength)
    size = float(picture.shape[0])
    factor = 1 + 0.9 * strength
    branches = {
        "identity": lambda: tf.identity(picture),
        "auto_contrast": lambda: _auto_contrast(picture),
        "equalize": lambda: _equalize(picture),
        "posterize": lambda: _posterize(picture, amount),
        "solarize": lambda: tf.where(picture > 255.0 * (1 - amount), 255.0 - picture, picture),
        "brightness": lambda: adjust_colour(picture, brightness=factor),
        "contrast": lambda: adjust_colour(picture, contrast=factor),
        "saturation": lambda: adjust_colour(picture, saturation=factor),
        "sharpness": lambda: _sharpen(picture, factor),
        "rotate": lambda: warp(picture, rotation(strength * (math.pi / 6))),
        "shear_x": lambda: warp(picture, shearing(0.0, strength * 0.3)),
        "shear_y": lambda: warp(picture, shearing(strength * 0.3, 0.0)),
        "translate_x": lambda: warp(picture, translation(0.0, strength * 0.45 * size)),
        "translate_y": lambda: warp(picture, translation(strength * 0.45 * size, 0.0)),
    }
    return tf.switch_case(index, [branches[name] for name in OPERATIONS])


def _auto_contrast(picture: tf.Tensor) -> tf.Tensor:
    """Each channel stretched to the full range; a flat channel stays."""
    low = tf.reduce_min(picture, [0, 1])
    span = tf.reduce_max(picture, [0, 1]) - low
    stretched = (picture - low) * tf.math.divide_no_nan(255.0, span)
    return tf.where(span > 0, tf.minimum(stretched, 255.0), picture)


def _equalize(picture: tf.Tensor) -> tf.Tensor:
    """Each channel through its cumulative histogram of 256 levels."""
    levels = tf.cast(tf.round(picture), tf.int32)
    channels = []
    for channel in range(3):
        values = levels[..., channel]
        counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
        below = tf.cast(tf.cumsum(counts, exclusive=True), tf.float32)
        last = tf.cast(tf.reduce_max(tf.where(counts > 0, counts, 0)), tf.float32)
        total = tf.cast(tf.size(values), tf.float32)
        top = tf.reduce_max(tf.where(counts > 0, below, 0.0))
        table = below * tf.math.divide_no_nan(255.0, top)
        is_flat = last >= total
        table = tf.where(is_flat, tf.range(256, dtype=tf.float32), tf.minimum(table, 255.0))
        channels.append(tf.gather(table, values))
    return tf.stack(channels, -1)


def _posterize(picture: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Keep the upper 8 to 4 bits of each level."""
    step = tf.pow(2.0, tf.round(4 * amount))
    return tf.floor(picture / step) * step


def _sharpen(picture: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Away from (factor over 1) or toward (under 1) a smoothed copy; the border stays."""
    kernel = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) * (1 / 13)
    kernel = tf.tile(kernel[:, :, None, None], [1, 1, 3, 1])
    padded = tf.pad(picture, [[1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    smooth = tf.nn.depthwise_conv2d(padded[None], kernel, [1, 1, 1, 1], "VALID")[0]
    return tf.clip_by_value(smooth + (picture - smooth) * factor, 0.0, 255.0)
