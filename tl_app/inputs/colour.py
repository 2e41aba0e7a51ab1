"""Brightness, contrast, saturation and hue as one affine map of colours. Graph code."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Luma of red, green and blue (ITU-R BT.601)."""

_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def adjust_colour(
    picture: tf.Tensor,
    brightness: tf.Tensor | float = 1.0,
    contrast: tf.Tensor | float = 1.0,
    saturation: tf.Tensor | float = 1.0,
    hue: tf.Tensor | float = 0.0,
) -> tf.Tensor:
    """Change the colours of a picture and clip to 0..255.

    Contrast spreads levels about the picture's mean grey, saturation about each pixel's
    grey; hue turns the chroma plane of YIQ, which keeps luma.

    Args:
        picture: float32, shape (h, w, 3), in 0..255.
        brightness, contrast, saturation: factors; 1 changes nothing.
        hue: a share of the full circle; 0 changes nothing.
    """
    brightness, contrast, saturation, hue = (
        tf.cast(value, tf.float32) for value in (brightness, contrast, saturation, hue)
    )
    angle = hue * (2 * math.pi)
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros([])
    turn = tf.stack(
        [
            tf.stack([tf.ones([]), zero, zero]),
            tf.stack([zero, cos, -sin]) * saturation,
            tf.stack([zero, sin, cos]) * saturation,
        ]
    )
    matrix = tf.constant(_FROM_YIQ, tf.float32) @ turn @ tf.constant(_TO_YIQ, tf.float32)
    mean = tf.reduce_sum(tf.reduce_mean(picture, [0, 1]) * GREY_WEIGHTS)
    factor = brightness * contrast
    offset = brightness * (1 - contrast) * mean
    flat = tf.reshape(picture, [-1, 3]) @ tf.transpose(matrix * factor)
    return tf.clip_by_value(tf.reshape(flat, tf.shape(picture)) + offset, 0.0, 255.0)
