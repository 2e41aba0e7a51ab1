"""Models and pictures for the tests of the engines."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import keras
import numpy as np
import skimage
import sklearn
import tensorflow as tf

from tests.backbones.helpers import enliven
from tl_app.backbones.blocks import Backbone, cut
from tl_app.backbones.loading import load_backbone
from tl_app.progress import SilentReporter

SIZE = 16
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
SKIMAGE = Path(skimage.__file__).parent / "data"
PHOTOGRAPHS = (
    SKLEARN / "china.jpg",
    SKLEARN / "flower.jpg",
    SKIMAGE / "chelsea.png",
    SKIMAGE / "coffee.png",
    SKIMAGE / "rocket.jpg",
)


@cache
def photographs(size: int = 224) -> np.ndarray:
    """float32 pixels (5, size, size, 3) in 0..255."""
    rows = []
    for path in PHOTOGRAPHS:
        pixels = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
        rows.append(tf.image.resize(pixels, (size, size), antialias=True).numpy())
    return np.stack(rows)


@cache
def lite0() -> Backbone:
    """With the weights that its package brings."""
    return load_backbone("efficientnet_lite0", image_size_px=224, reporter=SilentReporter())


def pooled(backbone: Backbone) -> keras.Model:
    """Pixels to pooled features."""
    model = backbone.model
    return keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(model.output))


def pooled_and_boundary(backbone: Backbone, n_top_blocks: int = 3) -> keras.Model:
    """Pixels to pooled features and to the map under the top blocks."""
    boundary = cut(backbone, n_top_blocks)[0].output
    return keras.Model(backbone.model.input, [pooled(backbone).output, boundary])


def small_model(*, dtype: str = "float32", n_outputs: int = 1) -> keras.Model:
    """Pixels (n, 16, 16, 3) to four features (and a map), with batch normalisation."""
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Conv2D(8, 3, 2, use_bias=False, dtype=dtype)(x)
    boundary = keras.layers.ReLU()(keras.layers.BatchNormalization(dtype=dtype)(x))
    x = keras.layers.Conv2D(4, 3, use_bias=False, dtype=dtype)(boundary)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(dtype=dtype)(x))
    features = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, [features, boundary][:n_outputs] if n_outputs > 1 else features)
    enliven(model)
    return model


def small_pictures(n: int = 5) -> np.ndarray:
    """float32 pixels (n, 16, 16, 3) in 0..255."""
    return np.resize(photographs(SIZE), (n, SIZE, SIZE, 3))


def outputs_of(model: keras.Model, pixels: np.ndarray) -> list[np.ndarray]:
    """What Keras says, float32."""
    answer = tf.nest.flatten(model(pixels, training=False))
    return [tf.cast(output, tf.float32).numpy() for output in answer]


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """As a share of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
