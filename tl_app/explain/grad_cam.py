"""Heat maps of a saved classifier: Grad-CAM where its backbone ends in a map, else occlusion."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tl_app.explain.heat import HeatMaps, mean_alike, occlude, occlusion_map, to_unit
from tl_app.features.extract import FrozenPart

N_RANDOM_HEADS = 8
LEAST_SIDE = 2
"""A smaller map shows no place; occlusion then does."""

AT_ONCE = 32
"""Pictures in one batch."""


def heat_maps(
    model: keras.Model, paths: list[str], pictures: np.ndarray, columns: np.ndarray
) -> HeatMaps:
    """Where the model looked for its answers, and how much random heads agree.

    Args:
        model: a classifier, pixels to probabilities, with layers named "pool", "head" and
            "probabilities" (`training.classifier`).
        paths: of the pictures.
        pictures: float32, shape (n, S, S, 3) in 0..255.
        columns: int64, shape (n,), the answers.
    """
    head = model.get_layer("head")
    before_pool = model.get_layer("pool").input
    is_map = len(before_pool.shape) == 4 and min(before_pool.shape[1:3]) >= LEAST_SIDE
    heads = [head, *_shuffled(head)]
    if is_map:
        below = keras.Model(model.input, before_pool)
        heat = _grad_cam(below, model.get_layer("pool"), heads, pictures, columns)
    else:
        below = keras.Model(model.input, model.get_layer("pool").output)
        heat = _occlusion(below, heads, pictures, columns)
    return HeatMaps(
        "grad_cam" if is_map else "occlusion",
        dict(zip(paths, to_unit(heat[0]), strict=True)),
        mean_alike(heat[0], heat[1:]),
    )


def _grad_cam(
    below: keras.Model,
    pool: Callable[[tf.Tensor], tf.Tensor],
    heads: list[keras.Model],
    pictures: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """What speaks for the answer, and below 0 against it: float32, shape (n_heads, n, h, w).

    Source: Selvaraju et al., 2017.
    """
    parts = []
    for start in range(0, len(pictures), AT_ONCE):
        activations = below(pictures[start : start + AT_ONCE], training=False)
        answers = tf.constant(columns[start : start + AT_ONCE])
        of_heads = []
        for head in heads:
            with tf.GradientTape() as tape:
                tape.watch(activations)
                logits = head(pool(activations), training=False)
                answer = tf.gather(logits, answers, batch_dims=1)
            weights = tf.reduce_mean(tape.gradient(answer, activations), axis=(1, 2), keepdims=True)
            of_heads.append(tf.reduce_sum(weights * activations, axis=-1).numpy())
        parts.append(of_heads)
    return np.concatenate(parts, axis=1)


def _occlusion(
    below: keras.Model, heads: list[keras.Model], pictures: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """As `_grad_cam`."""
    forward = FrozenPart(below)
    maps = []
    for picture, column in zip(pictures, columns.tolist(), strict=True):
        asked = np.concatenate([picture[np.newaxis], occlude(picture)])
        features = np.concatenate(
            [forward(asked[i : i + AT_ONCE]) for i in range(0, len(asked), AT_ONCE)]
        )
        told = [tf.nn.softmax(head(features, training=False)).numpy()[:, column] for head in heads]
        maps.append([occlusion_map(float(answers[0]), answers[1:]) for answers in told])
    return np.array(maps, np.float32).swapaxes(0, 1)


def _shuffled(head: keras.Model) -> list[keras.Model]:
    """Heads with the same weights in a random order."""
    rng = np.random.default_rng(0)
    heads = []
    for _ in range(N_RANDOM_HEADS):
        other = keras.models.clone_model(head)
        other.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in head.get_weights()])
        heads.append(other)
    return heads
