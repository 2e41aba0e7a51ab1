"""The app's default backbone, as a hand-written recipe meets it.

The app's EfficientNet-Lite holds normalisation layers that never train. Somebody who writes
the recipe by hand has Keras's own, and whether those are kept still is part of what is
measured. So the recipes get the same layers and weights with ordinary BatchNormalization.

    python -m benchmarks.backbone

prints, as JSON, the size of the pictures and the layers that the app's default unfreezes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tl_app.libraries import loading

with loading():
    import keras

    from tl_app.backbones.blocks import Backbone, count_blocks
    from tl_app.backbones.layers import BatchNormalization
    from tl_app.backbones.loading import default_image_size_px, load_backbone
    from tl_app.backbones.registry import get_spec
    from tl_app.config import Config
    from tl_app.progress import SilentReporter


def app_backbone() -> Backbone:
    """What `tl-app train` loads by default."""
    name = Config().backbone
    return load_backbone(
        name, image_size_px=default_image_size_px(get_spec(name)), reporter=SilentReporter()
    )


def plain_backbone() -> tuple[keras.Model, Callable[[Any], Any]]:
    """The same model with ordinary BatchNormalization, and how to prepare its input.

    Returns:
        float32 pixels (n, S, S, 3) in 0..255 RGB to a map (n, h, w, n_features), all of it
        trainable; and the identity, as the model normalises its pixels itself.
    """
    return with_plain_normalization(app_backbone().model), lambda pixels: pixels


def with_plain_normalization(model: keras.Model) -> keras.Model:
    """A copy of `model`, weights included, in which every BatchNormalization is Keras's own."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if not isinstance(layer, BatchNormalization):
            return type(layer).from_config(settings)
        settings.pop("trainable")
        return keras.layers.BatchNormalization.from_config(settings)

    plain = keras.models.clone_model(model, clone_function=copy)
    for layer in model.layers:
        plain.get_layer(layer.name).set_weights(layer.get_weights())
    plain.trainable = True
    return plain


def unfrozen_layers() -> list[str]:
    """Names of the layers that train in the app's deepest default phase, from input to output."""
    backbone = app_backbone()
    n_blocks = max(count_blocks(backbone, phase.unfreeze) for phase in Config().phases)
    first = len(backbone.blocks) - n_blocks
    return [name for block in backbone.blocks[first:] for name in block.layer_names]


def main() -> None:
    name = Config().backbone
    print(
        json.dumps(
            {
                "backbone": name,
                "image_size_px": default_image_size_px(get_spec(name)),
                "unfrozen_layers": unfrozen_layers(),
            }
        )
    )


if __name__ == "__main__":
    main()
