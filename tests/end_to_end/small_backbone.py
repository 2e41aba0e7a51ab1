"""A backbone of three convolutions, for tests that ask how a run goes and not how good it is.

Most of a short run with a real backbone is tracing its many layers. This one is small enough for
that to be nothing, and has all that a run asks for: frozen normalisation, blocks to unfreeze, a map
before the pooling, weights of a known digest.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras

from tl_app.backbones import registry
from tl_app.backbones.catalogue_lite import LITE_SPECS
from tl_app.backbones.layers import BatchNormalization, PixelNormalization
from tl_app.backbones.registry import BackboneSpec

CHANNELS = (16, 32, 64)

SMALL = replace(
    LITE_SPECS[0],
    name="small",
    family="For tests",
    architecture="small",
    builder="tests.end_to_end.small_backbone:build_small",
    n_features=CHANNELS[-1],
    n_parameters=sum(9 * a * b + 4 * b for a, b in zip((3, *CHANNELS), CHANNELS, strict=False)),
    block_end=r"(block\d+)_relu",
)
"""It asks for the weight file of a real backbone, whose digest a run records, and leaves it be."""


def register() -> None:
    """Let this process's command line know it."""
    registry._by_name()[SMALL.name] = SMALL


def unregister() -> None:
    """Other tests look at every backbone that there is."""
    registry._by_name().pop(SMALL.name, None)


def build_small(spec: BackboneSpec, image_size_px: int, weights: Path | None) -> keras.Model:
    """float32 pixels (n, S, S, 3) in 0..255 to a map (n, S / 16, S / 16, 64); always the same."""
    assert spec.normalisation is not None
    pixels = keras.Input((image_size_px, image_size_px, 3), name="pixels")
    x = PixelNormalization(spec.normalisation.mean, spec.normalisation.scale, name="normalization")(
        pixels
    )
    for index, channels in enumerate(CHANNELS):
        x = keras.layers.Conv2D(
            channels,
            3,
            strides=4 if index == 0 else 2,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(seed=index),
            name=f"block{index}_conv",
        )(x)
        x = BatchNormalization(name=f"block{index}_bn")(x)
        x = keras.layers.ReLU(name=f"block{index}_relu")(x)
    return keras.Model(pixels, x, name=spec.name)
