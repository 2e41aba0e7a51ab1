"""Random changes of training pictures, each a pure function of the picture and a seed.

All numbers come from `tf.random.stateless_*` with the Philox generator, so that the same
seed gives the same picture on every device, in any order and after a resume.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from tl_app.config import Augmentation
from tl_app.inputs.colour import adjust_colour
from tl_app.inputs.geometry import rotation, scaling, translation, warp
from tl_app.inputs.randaugment import randaugment

_MAX_ASPECT_RATIO = 4 / 3
_ERASED_AREA = (0.02, 0.2)
_ERASED_MAX_ASPECT_RATIO = 3.3
_N_DRAWS = 12
_RANDAUGMENT_STREAM, _ERASING_STREAM, _MIXUP_STREAM, _CUTMIX_STREAM = 1, 2, 3, 4


def build_augment(
    augmentation: Augmentation, image_size_px: int
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function that changes one picture.

    Mirror images alone only move pixels; with a crop or a rotation everything geometric is
    composed first and resampled once, bilinearly, what lies outside being the picture's
    mirror image. Then colour, RandAugment and erasing.

    Args:
        augmentation: what is on, and how much.
        image_size_px: side S of the pictures.

    Returns:
        A function of a picture (float32, shape (S, S, 3), in 0..255) and a seed (int32,
        shape (2,)), giving a picture of the same shape and range; the same seed gives the
        same picture.
    """
    a = augmentation
    shape = [image_size_px, image_size_px, 3]
    moves = a.crop_min_area < 1 or a.rotation_degrees > 0
    recolours = max(a.brightness, a.contrast, a.saturation, a.hue) > 0

    @tf.autograph.experimental.do_not_convert
    def augment(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        picture = tf.ensure_shape(picture, shape)
        # Every augmentation has its own place in the draw: one setting moves no other.
        draws = tf.unstack(tf.random.stateless_uniform([_N_DRAWS], seed, alg="philox"))
        mirror_x = (draws[0] < 0.5) if a.flip_horizontal else tf.constant(False)
        mirror_y = (draws[1] < 0.5) if a.flip_vertical else tf.constant(False)
        if moves:
            matrix = _crop(a.crop_min_area, draws[2:6], image_size_px)
            matrix = matrix @ rotation(_signed(draws[6]) * math.radians(a.rotation_degrees))
            matrix @= scaling(tf.where(mirror_y, -1.0, 1.0), tf.where(mirror_x, -1.0, 1.0))
            picture = warp(picture, matrix)
        else:
            if a.flip_horizontal:
                picture = tf.cond(mirror_x, lambda: picture[:, ::-1], lambda: picture)
            if a.flip_vertical:
                picture = tf.cond(mirror_y, lambda: picture[::-1], lambda: picture)
        if recolours:
            picture = adjust_colour(
                picture,
                brightness=1 + a.brightness * _signed(draws[7]),
                contrast=1 + a.contrast * _signed(draws[8]),
                saturation=1 + a.saturation * _signed(draws[9]),
                hue=a.hue * _signed(draws[10]),
            )
        if a.randaugment_layers:
            picture = randaugment(
                picture,
                tf.random.fold_in(seed, _RANDAUGMENT_STREAM, alg="philox"),
                layers=a.randaugment_layers,
                magnitude=a.randaugment_magnitude,
            )
        if a.erasing_probability > 0:
            stream = tf.random.fold_in(seed, _ERASING_STREAM, alg="philox")
            before = picture
            picture = tf.cond(
                draws[11] < a.erasing_probability,
                lambda: _erase(before, stream),
                lambda: before,
            )
        return tf.clip_by_value(tf.ensure_shape(picture, shape), 0.0, 255.0)

    return augment


def _signed(draw: tf.Tensor) -> tf.Tensor:
    """0..1 to -1..1."""
    return 2 * draw - 1


def _crop(min_area: float, draws: list[tf.Tensor], size_px: int) -> tf.Tensor:
    """Matrix of a random resized crop: area uniform, aspect ratio log-uniform.

    Source: Szegedy et al., 2015, "Going deeper with convolutions", section 6.
    """
    area = min_area + (1 - min_area) * draws[0]
    # A crop of nearly the whole picture has room for a mild change of aspect only.
    room = tf.minimum(-tf.math.log(area), math.log(_MAX_ASPECT_RATIO))
    ratio = tf.exp(_signed(draws[1]) * room)
    height, width = tf.sqrt(area / ratio), tf.sqrt(area * ratio)
    dy = _signed(draws[2]) * (1 - height) * (size_px / 2)
    dx = _signed(draws[3]) * (1 - width) * (size_px / 2)
    return translation(dy, dx) @ scaling(height, width)


def _erase(picture: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Replace a random rectangle by noise.

    Source: Zhong et al., 2017, "Random erasing data augmentation", algorithm 1.
    """
    size = float(picture.shape[0])
    draws = tf.unstack(tf.random.stateless_uniform([4], seed, alg="philox"))
    low, high = _ERASED_AREA
    area = low + (high - low) * draws[0]
    ratio = tf.exp(_signed(draws[1]) * math.log(_ERASED_MAX_ASPECT_RATIO))
    height, width = (
        tf.minimum(tf.sqrt(share) * size, size) for share in (area / ratio, area * ratio)
    )
    inside = _rectangle(draws[2] * (size - height), draws[3] * (size - width), height, width, size)
    noise_seed = tf.random.fold_in(seed, 1, alg="philox")
    noise = tf.random.stateless_uniform(picture.shape, noise_seed, 0.0, 255.0, alg="philox")
    return tf.where(inside[..., None], noise, picture)


def _rectangle(
    top: tf.Tensor, left: tf.Tensor, height: tf.Tensor, width: tf.Tensor, size: float
) -> tf.Tensor:
    """bool, shape (..., S, S): pixels whose centre lies inside; arguments of shape (...)."""
    centres = tf.range(int(size), dtype=tf.float32) + 0.5
    top, left, height, width = (value[..., None] for value in (top, left, height, width))
    rows = (centres >= top) & (centres < top + height)
    columns = (centres >= left) & (centres < left + width)
    return rows[..., :, None] & columns[..., None, :]


@tf.autograph.experimental.do_not_convert
def mix_batch(
    pictures: tf.Tensor,
    one_hot: tf.Tensor,
    seed: tf.Tensor,
    mixup_alpha: float,
    cutmix_alpha: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each picture with its neighbour in the batch, by mixup or cutmix.

    The batch must come in random order. With both alphas over 0 each row takes one of the
    two by the toss of a coin; with neither, nothing changes.

    Args:
        pictures: float32, shape (n, S, S, 3).
        one_hot: float32, shape (n, n_classes), rows sum to 1.
        seed: int32, shape (2,).
        mixup_alpha, cutmix_alpha: of the symmetric Beta distribution of the share; 0 is off.

    Returns:
        Pictures and labels of the same shapes. Labels of cutmix follow the share of pixels
        that was pasted in fact.

    Source: Zhang et al., 2017 (mixup); Yun et al., 2019 (CutMix).
    """
    if mixup_alpha <= 0 and cutmix_alpha <= 0:
        return pictures, one_hot
    n_rows = tf.shape(pictures)[0]
    partners, partner_labels = tf.roll(pictures, 1, 0), tf.roll(one_hot, 1, 0)
    keep = tf.ones_like(pictures[..., :1])
    if mixup_alpha > 0:
        stream = tf.random.fold_in(seed, _MIXUP_STREAM, alg="philox")
        share = _symmetric_beta(n_rows, stream, mixup_alpha)
        keep *= share[:, None, None, None]
    if cutmix_alpha > 0:
        stream = tf.random.fold_in(seed, _CUTMIX_STREAM, alg="philox")
        pasted = _pasted(n_rows, pictures.shape[1], stream, cutmix_alpha)
        cut = tf.where(pasted[..., None], 0.0, 1.0)
        if mixup_alpha > 0:
            toss = tf.random.stateless_uniform([n_rows], seed, alg="philox") < 0.5
            keep = tf.where(toss[:, None, None, None], keep, cut)
        else:
            keep = cut
    kept_share = tf.reduce_mean(keep, [1, 2])
    mixed = tf.clip_by_value(keep * pictures + (1 - keep) * partners, 0.0, 255.0)
    return mixed, kept_share * one_hot + (1 - kept_share) * partner_labels


def _symmetric_beta(n_rows: tf.Tensor, seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """float32, shape (n_rows,), draws of Beta(alpha, alpha) as a ratio of gamma draws."""
    draws = tf.random.stateless_gamma(
        [n_rows, 2], seed, tf.constant(alpha, tf.float64), dtype=tf.float64
    )
    total = tf.reduce_sum(draws, -1)
    # Tiny alphas underflow to 0 / 0; their distribution has all its mass at the ends.
    share = tf.where(total > 0, draws[:, 0] / tf.maximum(total, 1e-300), 1.0)
    return tf.cast(share, tf.float32)


def _pasted(n_rows: tf.Tensor, size_px: int, seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """bool, shape (n_rows, S, S): the rectangle that the partner fills, cut at the border."""
    share = _symmetric_beta(n_rows, tf.random.fold_in(seed, 1, alg="philox"), alpha)
    side = tf.sqrt(1 - share) * size_px
    centre = tf.random.stateless_uniform([n_rows, 2], seed, 0.0, float(size_px), alg="philox")
    return _rectangle(centre[:, 0] - side / 2, centre[:, 1] - side / 2, side, side, float(size_px))
