"""Affine changes of a picture, composed so that it is resampled once. Graph code."""

from __future__ import annotations

import tensorflow as tf


def translation(dy: tf.Tensor | float, dx: tf.Tensor | float) -> tf.Tensor:
    """Moves points; like all matrices here it maps (x, y, 1), float32, shape (3, 3)."""
    return _matrix([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]])


def scaling(sy: tf.Tensor | float, sx: tf.Tensor | float) -> tf.Tensor:
    """Scales about the origin."""
    return _matrix([[sx, 0.0, 0.0], [0.0, sy, 0.0], [0.0, 0.0, 1.0]])


def rotation(radians: tf.Tensor) -> tf.Tensor:
    """Turns about the origin."""
    cos, sin = tf.cos(radians), tf.sin(radians)
    return _matrix([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def shearing(ky: tf.Tensor | float, kx: tf.Tensor | float) -> tf.Tensor:
    """Shears about the origin: x grows by kx * y, y by ky * x."""
    return _matrix([[1.0, kx, 0.0], [ky, 1.0, 0.0], [0.0, 0.0, 1.0]])


def _matrix(rows: list[list[tf.Tensor | float]]) -> tf.Tensor:
    return tf.stack([tf.stack([tf.cast(v, tf.float32) for v in row]) for row in rows])


def warp(picture: tf.Tensor, centred: tf.Tensor) -> tf.Tensor:
    """Resample bilinearly; what comes from outside the picture is its mirror image.

    Args:
        picture: float32, shape (h, w, c), h and w static.
        centred: float32, shape (3, 3), from output to input coordinates, both with the
            origin in the picture's centre.
    """
    height, width, channels = picture.shape
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    matrix = translation(middle_y, middle_x) @ centred @ translation(-middle_y, -middle_x)
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[None],
        transforms=tf.reshape(matrix, [1, 9])[:, :8],
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.ensure_shape(warped[0], [height, width, channels])
