"""The serving graph: encoded pictures or float pixels in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from tl_app.export.assets import SIGNATURES, encode_name
from tl_app.inputs.preprocess import build_preprocess
from tl_app.records import Preprocessing

TOP_K = 5
"""Most labels that `serving_default` gives for a picture."""

PARALLEL_DECODES = 8
"""Pictures of one batch decoded at a time; each may need memory for its full size."""


def build_serving_module(
    model: keras.Model,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    assets: Sequence[Path] = (),
) -> tuple[tf.Module, dict[str, tf.types.experimental.PolymorphicFunction]]:
    """A tf.Module to save, and its signatures; n is free everywhere and may be 0.

    | signature         | inputs                              | outputs                        |
    |-------------------|-------------------------------------|--------------------------------|
    | `serving_default` | `image_bytes` string (n,)           | `labels` string (n, k),        |
    |                   |                                     | `probabilities` float32 (n, k),|
    |                   |                                     | most probable first,           |
    |                   |                                     | k = min(5, n_classes)          |
    | `predict_tensor`  | `pixels` float32 (n, S, S, 3), RGB, | `label` string (n,), the most  |
    |                   | 0..255, S = image_size_px           | probable; `probabilities`      |
    |                   |                                     | float32 (n, n_classes)         |
    | `probabilities`   | `image_bytes` string (n,)           | `probabilities` float32        |
    |                   |                                     | (n, n_classes)                 |
    | `class_names`     | none                                | `class_names` string           |
    |                   |                                     | (n_classes,), in class order   |

    Where all classes are given their order is that of `class_names`. Names are UTF-8.

    Args:
        model: float32 pixels (n, S, S, 3) in 0..255 to float32 probabilities (n, n_classes).
        preprocessing: how encoded bytes become those pixels.
        class_names: one a column of the model's output.
        assets: files to be kept in the SavedModel's `assets/`.

    Raises:
        ValueError: the model's shapes do not fit `preprocessing` or `class_names`.
    """
    size = preprocessing.image_size_px
    _check_shapes(model, size, len(class_names))
    encoded_names = [encode_name(name) for name in class_names]
    k = min(TOP_K, len(encoded_names))
    to_picture = build_preprocess(preprocessing)
    bytes_spec = tf.TensorSpec((None,), tf.string, name="image_bytes")
    pixels_spec = tf.TensorSpec((None, size, size, 3), tf.float32, name="pixels")

    def decode(image_bytes: tf.Tensor) -> tf.Tensor:
        pixels = tf.map_fn(
            to_picture,
            image_bytes,
            fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
            parallel_iterations=PARALLEL_DECODES,
        )
        return tf.ensure_shape(pixels, (None, size, size, 3))

    # The model and the decoder are large: each is traced once and shared by the signatures.
    @tf.function(input_signature=[pixels_spec], autograph=False)
    def classify_pixels(pixels):
        # Fused convolutions give a wrong shape for no pictures at all: one black picture
        # goes through the model then, and its row is cut off again.
        n = tf.shape(pixels)[0]
        some = tf.cond(n > 0, lambda: pixels, lambda: tf.zeros((1, size, size, 3)))
        some = tf.ensure_shape(some, (None, size, size, 3))
        return tf.cast(model(some, training=False), tf.float32)[:n]

    @tf.function(input_signature=[bytes_spec], autograph=False)
    def classify_bytes(image_bytes):
        return classify_pixels(decode(image_bytes))

    @tf.function(input_signature=[bytes_spec], autograph=False)
    def serving_default(image_bytes):
        top, indices = tf.math.top_k(classify_bytes(image_bytes), k=k, sorted=True)
        return {"labels": tf.gather(tf.constant(encoded_names), indices), "probabilities": top}

    @tf.function(input_signature=[pixels_spec], autograph=False)
    def predict_tensor(pixels):
        all_classes = classify_pixels(pixels)
        best = tf.argmax(all_classes, axis=1)
        return {
            "label": tf.gather(tf.constant(encoded_names), best),
            "probabilities": all_classes,
        }

    @tf.function(input_signature=[bytes_spec], autograph=False)
    def probabilities(image_bytes):
        return {"probabilities": classify_bytes(image_bytes)}

    @tf.function(input_signature=[], autograph=False)
    def all_class_names():
        return {"class_names": tf.constant(encoded_names)}

    module = tf.Module(name="classifier")
    # The variables alone, not the Keras model: loading must need nothing but TensorFlow.
    module.model_variables = [variable.value for variable in model.variables]
    module.asset_files = [tf.saved_model.Asset(str(path)) for path in assets]
    functions = (serving_default, predict_tensor, probabilities, all_class_names)
    signatures = dict(zip(SIGNATURES, functions, strict=True))
    for name, function in signatures.items():
        setattr(module, name, function)
    return module, signatures


def _check_shapes(model: keras.Model, size: int, n_classes: int) -> None:
    wanted = (None, size, size, 3)
    taken = tuple(model.input_shape)
    fits = len(taken) == 4 and all(
        have in (None, want) for have, want in zip(taken, wanted, strict=True)
    )
    if not fits:
        raise ValueError(f"the model takes {taken}, the preprocessing gives {wanted}")
    if tuple(model.output_shape) != (None, n_classes):
        raise ValueError(f"the model gives {model.output_shape} for {n_classes} class names")
