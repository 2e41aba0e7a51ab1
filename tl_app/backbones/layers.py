"""Keras layers that backbones are made of. Importing this module is all that a saved
backbone (.keras) needs to load again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tl_app.backbones.hub import HubFeatures

__all__ = ("BatchNormalization", "HubFeatures", "PixelNormalization")


@keras.saving.register_keras_serializable(package="tl_app")
class PixelNormalization(keras.layers.Layer):
    """(pixel - mean) / scale on each channel, after an optional turn from RGB to BGR.

    Takes float32 RGB pixels in 0..255, shape (n, height, width, 3), and gives the same shape.
    It computes in float32 under every precision policy: half precision would round pixels.

    Args:
        mean: three values in the order of the output's channels.
        scale: three values in the order of the output's channels.
        reverse_channels: whether the output is BGR.
    """

    def __init__(
        self,
        mean: Sequence[float],
        scale: Sequence[float],
        reverse_channels: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        kwargs.setdefault("trainable", False)
        super().__init__(**kwargs)
        self.mean = [float(value) for value in mean]
        self.scale = [float(value) for value in scale]
        self.reverse_channels = bool(reverse_channels)

    def call(self, pixels):
        if self.reverse_channels:
            pixels = pixels[..., ::-1]
        mean = keras.ops.convert_to_tensor(self.mean, "float32")
        scale = keras.ops.convert_to_tensor(self.scale, "float32")
        return (pixels - mean) / scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("dtype", None)
        return {
            **config,
            "mean": self.mean,
            "scale": self.scale,
            "reverse_channels": self.reverse_channels,
        }


@keras.saving.register_keras_serializable(package="tl_app", name="FrozenBatchNormalization")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's BatchNormalization that stays in inference mode for good.

    `trainable` is always False, whatever is set on the layer or on a model around it: Keras
    hands `training=True` on to nested models whatever they were called with, sets `trainable`
    of every layer below a model that it reloads, and only `trainable=False` of the layer
    itself keeps the moving averages still. The class keeps the name of its base because
    Keras's .weights.h5 files name variables by it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["trainable"] = False
        super().__init__(*args, **kwargs)

    def build(self, input_shape) -> None:
        super().build(input_shape)
        for variable in self.variables:
            variable.trainable = False

    @property
    def trainable(self) -> bool:
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        """Ignored on purpose; see the class."""
