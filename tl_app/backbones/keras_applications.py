"""Builds the models of keras.applications as backbones."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import keras

from tl_app.backbones.layers import BatchNormalization, PixelNormalization
from tl_app.backbones.registry import BackboneSpec
from tl_app.backbones.weight_files import load_keras_weights


def build_keras_application(
    spec: BackboneSpec, image_size_px: int, weights: Path | None
) -> keras.Model:
    """The model `keras.applications.<spec.architecture>` without its top.

    Args:
        spec: registry entry.
        image_size_px: side of the square input.
        weights: a .h5, .weights.h5 or .keras file, or None for random values.

    Returns:
        float32 pixels (n, S, S, 3) in 0..255 to a map (n, h, w, spec.n_features). It differs
        from the family's own model in four ways: the family's normalisation is inside, its
        BatchNormalization is frozen for good, its names do not depend on what else was built in
        this process, and it takes one tensor rather than a list.

    Raises:
        WeightsError: the file does not fit.
    """
    shape = (image_size_px, image_size_px, 3)
    pixels = keras.Input(shape, name="pixels")
    x = pixels
    if spec.normalisation is not None:
        x = PixelNormalization(
            spec.normalisation.mean,
            spec.normalisation.scale,
            spec.normalisation.reverse_channels,
            name="normalization",
        )(pixels)
    construct = getattr(keras.applications, spec.architecture)
    original = construct(include_top=False, weights=None, input_shape=shape, input_tensor=x)
    names = _Names()

    def clone(part: Any) -> Any:
        config = {**part.get_config(), "name": names.settle(part)}
        if type(part) is keras.layers.BatchNormalization:
            return BatchNormalization.from_config(config)
        return type(part).from_config(config)

    def call(part: Any, *args: Any, **kwargs: Any) -> Any:
        result = part(*args, **kwargs)
        if spec.std_rescaling is not None and isinstance(part, keras.layers.Normalization):
            factors = [1.0 / math.sqrt(std) for std in spec.std_rescaling]
            return keras.layers.Rescaling(factors, name="std_rescaling")(result)
        return result

    cloned = keras.models.clone_model(original, clone_function=clone, call_function=call)
    model = keras.Model(cloned.inputs[0], cloned.outputs[0], name=spec.name)
    if weights is not None:
        load_keras_weights(model, weights)
    return model


class _Names:
    """Names that Keras numbered by the process get the number that they have in this model."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def settle(self, part: Any) -> str:
        base = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(part).__name__)
        base = re.sub(r"([a-z])([A-Z])", r"\1_\2", base).lower()
        if not re.fullmatch(rf"{base}(_\d+)?", part.name):
            return part.name
        n_before = self._seen[base]
        self._seen[base] += 1
        return f"{base}_{n_before}" if n_before else base
