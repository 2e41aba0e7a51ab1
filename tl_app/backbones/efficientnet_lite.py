"""EfficientNet-Lite as a Keras model, and its pretrained weights from a PyTorch file.

The Lite variants are EfficientNet (Tan and Le, 2019) without squeeze-and-excitation and with
ReLU6 for swish; stem and top keep their width, and the first and the last stage their depth,
when the rest is scaled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from tl_app.backbones.layers import BatchNormalization, PixelNormalization
from tl_app.backbones.registry import BackboneSpec
from tl_app.backbones.torch_reader import read_torch_tensors
from tl_app.backbones.weight_files import load_keras_weights
from tl_app.errors import WeightsError

STEM_CHANNELS = 32
TOP_CHANNELS = 1280
CHANNEL_DIVISOR = 8
EPSILON = 1e-3

SCALING = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""Width and depth coefficient of each variant."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Inverted bottlenecks of one resolution; only the first of them has the stride."""

    kernel_size: int
    n_blocks: int
    channels: int
    expansion: int
    stride: int


STAGES = (
    Stage(3, 1, 16, 1, 1),
    Stage(3, 2, 24, 6, 2),
    Stage(5, 2, 40, 6, 2),
    Stage(3, 3, 80, 6, 2),
    Stage(5, 3, 112, 6, 1),
    Stage(5, 4, 192, 6, 2),
    Stage(3, 1, 320, 6, 1),
)


def scale_channels(channels: int, width: float) -> int:
    """`channels` times `width`, to the nearest multiple of 8, never more than a tenth below."""
    wanted = channels * width
    rounded = max(CHANNEL_DIVISOR, int(wanted / CHANNEL_DIVISOR + 0.5) * CHANNEL_DIVISOR)
    return rounded + CHANNEL_DIVISOR if rounded < 0.9 * wanted else rounded


def scaled_blocks(width: float, depth: float) -> Iterator[Stage]:
    """Every block of a variant, in order, as a stage of one block."""
    for index, stage in enumerate(STAGES):
        ends = index in (0, len(STAGES) - 1)
        n_blocks = stage.n_blocks if ends else math.ceil(stage.n_blocks * depth)
        channels = scale_channels(stage.channels, width)
        for repeat in range(n_blocks):
            stride = stage.stride if repeat == 0 else 1
            yield Stage(stage.kernel_size, 1, channels, stage.expansion, stride)


def build_efficientnet_lite(
    spec: BackboneSpec, image_size_px: int, weights: Path | None, *, include_top: bool = False
) -> keras.Model:
    """An EfficientNet-Lite of `spec.architecture`, frozen normalisation included.

    Args:
        spec: registry entry; `spec.normalisation` must be given.
        image_size_px: side of the square input.
        weights: a .pth, .h5, .weights.h5 or .keras file, or None for random values.
        include_top: adds pooling and the 1,000 ImageNet classes (logits).

    Returns:
        float32 pixels (n, S, S, 3) in 0..255 to a map (n, s, s, 1280), or logits (n, 1000).

    Raises:
        WeightsError: the file does not fit.
    """
    if spec.normalisation is None:
        raise ValueError(f"{spec.name}: EfficientNet-Lite needs a normalisation")
    pixels = keras.Input((image_size_px, image_size_px, 3), name="pixels")
    x = PixelNormalization(
        spec.normalisation.mean,
        spec.normalisation.scale,
        spec.normalisation.reverse_channels,
        name="normalization",
    )(pixels)
    x = _convolution(x, STEM_CHANNELS, 3, stride=2, name="stem")
    for index, block in enumerate(scaled_blocks(*SCALING[spec.architecture])):
        x = _bottleneck(x, block, name=f"block{index}")
    x = _convolution(x, TOP_CHANNELS, 1, name="top")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="pooling")(x)
        x = layers.Dense(1000, name="logits")(x)
    model = keras.Model(pixels, x, name=spec.name)
    if weights is not None:
        if weights.suffix == ".pth":
            load_torch_weights(model, weights)
        else:
            load_keras_weights(model, weights)
    return model


def _convolution(x, channels: int, kernel_size: int, *, stride: int = 1, name: str):
    x = layers.Conv2D(
        channels, kernel_size, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    x = BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _bottleneck(x, block: Stage, *, name: str):
    """Expand by 1x1, filter each channel, project by 1x1 without activation, add the input."""
    entry = x
    channels_in = x.shape[-1]
    if block.expansion != 1:
        x = _convolution(x, channels_in * block.expansion, 1, name=f"{name}_expand")
    x = layers.DepthwiseConv2D(
        block.kernel_size,
        block.stride,
        padding="same",
        use_bias=False,
        name=f"{name}_depthwise_conv",
    )(x)
    x = BatchNormalization(epsilon=EPSILON, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(
        block.channels, 1, padding="same", use_bias=False, name=f"{name}_project_conv"
    )(x)
    x = BatchNormalization(epsilon=EPSILON, name=f"{name}_project_bn")(x)
    if block.stride == 1 and channels_in == block.channels:
        x = layers.Add(name=f"{name}_add")([x, entry])
    return x


def load_torch_weights(model: keras.Model, path: Path) -> None:
    """Put the tensors of an EfficientNet-Lite .pth file into `model`, with or without its top.

    Raises:
        WeightsError: a tensor is missing, left over or of another shape; `model` keeps what
            it had.
    """
    tensors = read_torch_tensors(path)
    values: list[tuple[keras.Variable, np.ndarray]] = []
    problems: list[str] = []
    used: set[str] = set()
    for layer in model.layers:
        for variable, (name, axes) in zip(layer.weights, _torch_names(layer), strict=True):
            array = tensors.get(name)
            if array is None:
                problems.append(f"{name} is missing")
                continue
            used.add(name)
            array = array if axes is None or array.ndim != len(axes) else array.transpose(axes)
            if array.shape != tuple(variable.shape):
                problems.append(f"{name} has shape {array.shape}, not {tuple(variable.shape)}")
            values.append((variable, array))
    left = [
        name
        for name in tensors
        if name not in used
        and not name.endswith("num_batches_tracked")
        # The classes of ImageNet are no part of a backbone.
        and not name.startswith("_fc.")
    ]
    problems += [f"{name} is not part of the model" for name in left]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise WeightsError(
            f"The weight file does not fit {model.name}: {'; '.join(problems[:3])}{more}.",
            received=str(path),
            allowed=f"the tensors of {model.name}",
            next_step="name the backbone that the file belongs to with --backbone",
        )
    for variable, array in values:
        variable.assign(array.astype("float32"))


def _torch_names(layer: keras.layers.Layer) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """Name in the file, and order of axes, of each variable of a layer."""
    fixed: Mapping[str, str] = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "top_conv": "_conv_head",
        "top_bn": "_bn1",
        "logits": "_fc",
    }
    if not layer.weights:
        return
    prefix = fixed.get(layer.name)
    if prefix is None:
        block, _, part = layer.name.partition("_")
        inside = {"expand_bn": "bn0", "depthwise_bn": "bn1", "project_bn": "bn2"}.get(part, part)
        prefix = f"_blocks.{block.removeprefix('block')}._{inside}"
    if isinstance(layer, keras.layers.BatchNormalization):
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{prefix}.{part}", None
    elif isinstance(layer, layers.DepthwiseConv2D):
        yield f"{prefix}.weight", (2, 3, 0, 1)
    elif isinstance(layer, layers.Conv2D):
        yield f"{prefix}.weight", (2, 3, 1, 0)
    else:
        yield f"{prefix}.weight", (1, 0)
        yield f"{prefix}.bias", None
