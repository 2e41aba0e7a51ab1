"""The serving graph: pictures, texts or the model's own input in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from tl_app.export.assets import CLASSIFY, STATUS_OK, STATUS_UNUSABLE, TOP_K, encode_name
from tl_app.export.served_input import ServedInput
from tl_app.training.classifier import POOL


def build_serving_module(
    model: keras.Model,
    served: ServedInput,
    class_names: Sequence[str],
    assets: Sequence[Path] = (),
) -> tuple[tf.Module, dict[str, tf.types.experimental.PolymorphicFunction]]:
    """A tf.Module to save, and its signatures; n is free everywhere and may be 0.

    | signature         | inputs                              | outputs                        |
    |-------------------|-------------------------------------|--------------------------------|
    | `serving_default` | `image_bytes` string (n,)           | `labels` string (n, k),        |
    |                   |                                     | `probabilities` float32 (n, k),|
    |                   |                                     | most probable first,           |
    |                   |                                     | k = min(5, n_classes);         |
    |                   |                                     | `status` string (n,)           |
    | `classify`        | `inputs` string (n,), tf.Examples   | `classes` string (n, k),       |
    |                   | with a feature `image_bytes`        | `scores` float32 (n, k)        |
    | `predict_tensor`  | `pixels` float32 (n, S, S, 3), RGB, | `label` string (n,), the most  |
    |                   | 0..255, S = image_size_px           | probable; `probabilities`      |
    |                   |                                     | float32 (n, n_classes)         |
    | `probabilities`   | `image_bytes` string (n,)           | `probabilities` float32        |
    |                   |                                     | (n, n_classes), `status`       |
    | `features`        | `image_bytes` string (n,)           | `features` float32             |
    |                   |                                     | (n, n_features), `status`      |
    | `class_names`     | none                                | `class_names` string           |
    |                   |                                     | (n_classes,), in class order   |

    `status` is `STATUS_OK`, or `STATUS_UNUSABLE` for a picture that cannot be decoded: its
    labels are empty then, its numbers 0, and all others are answered.

    Of texts, `texts` string (n,) in UTF-8 stands for `image_bytes`, and `tokens` int32
    (n, length), filled up with zeros, for `pixels`. Where all classes are given their order is
    that of `class_names`. Names are UTF-8. `features` is what the head is given.

    Args:
        model: what `served` gives to float32 probabilities (n, n_classes), with a layer
            `classifier.POOL`.
        served: how encoded pictures or texts become the model's input.
        class_names: one a column of the model's output.
        assets: files to be kept in the SavedModel's `assets/`.

    Raises:
        ValueError: the model's shapes do not fit `served` or `class_names`.
    """
    _check_shapes(model, served.tensor, len(class_names))
    encoded_names = [encode_name(name) for name in class_names]
    k = min(TOP_K, len(encoded_names))
    given_spec = tf.TensorSpec((None,), tf.string, name=served.name)
    # An axis of any length has one place then: an item of nothing, for batches of nothing.
    empty_shape = [1 if side is None else side for side in served.tensor.shape]
    with_features = keras.Model(model.input, [model.output, model.get_layer(POOL).output])

    # The model and the decoder are large: each is traced once and shared by the signatures. As
    # a tf.function it would be traced again wherever another calls it.
    @tf.function(input_signature=[served.tensor], autograph=False)
    def run(items):
        # Fused convolutions give a wrong shape for no pictures at all: one black picture
        # goes through the model then, and its row is cut off again.
        n = tf.shape(items)[0]
        some = tf.cond(n > 0, lambda: items, lambda: tf.zeros(empty_shape, items.dtype))
        some = tf.ensure_shape(some, served.tensor.shape)
        return [tf.cast(rows, tf.float32)[:n] for rows in with_features(some, training=False)]

    run_items = run.get_concrete_function()

    @tf.function(input_signature=[given_spec], autograph=False)
    def run_given(given):
        items, is_usable = served.decode(given)
        answers = [tf.where(is_usable[:, None], rows, 0.0) for rows in run_items(items)]
        return [*answers, tf.where(is_usable, STATUS_OK, STATUS_UNUSABLE)]

    run_encoded = run_given.get_concrete_function()

    def top_labels(given):
        all_classes, _, status = run_encoded(given)
        scores, indices = tf.math.top_k(all_classes, k=k, sorted=True)
        labels = tf.gather(tf.constant(encoded_names), indices)
        return tf.where((status == STATUS_OK)[:, None], labels, b""), scores, status

    @tf.function(input_signature=[given_spec], autograph=False)
    def serving_default(given):
        labels, scores, status = top_labels(given)
        return {"labels": labels, "probabilities": scores, "status": status}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "inputs")], autograph=False)
    def classify(inputs):
        # An example without the feature is a picture of no bytes.
        feature = tf.io.FixedLenFeature((), tf.string, default_value=b"")
        given = tf.io.parse_example(inputs, {served.name: feature})[served.name]
        labels, scores, _ = top_labels(given)
        return {"classes": labels, "scores": scores}

    @tf.function(input_signature=[served.tensor], autograph=False)
    def predict_tensor(items):
        all_classes, _ = run_items(items)
        best = tf.argmax(all_classes, axis=1)
        return {
            "label": tf.gather(tf.constant(encoded_names), best),
            "probabilities": all_classes,
        }

    @tf.function(input_signature=[given_spec], autograph=False)
    def probabilities(given):
        all_classes, _, status = run_encoded(given)
        return {"probabilities": all_classes, "status": status}

    @tf.function(input_signature=[given_spec], autograph=False)
    def features(given):
        _, pooled, status = run_encoded(given)
        return {"features": pooled, "status": status}

    @tf.function(input_signature=[], autograph=False)
    def all_class_names():
        return {"class_names": tf.constant(encoded_names)}

    module = tf.Module(name="classifier")
    # The variables alone, not the Keras model: loading must need nothing but TensorFlow.
    module.model_variables = [variable.value for variable in model.variables]
    # What a layer brought that is no variable, such as the tables of a SavedModel inside it.
    module.model_parts = [
        part for layer in model._flatten_layers() for part in getattr(layer, "saved_parts", ())
    ]
    module.input_parts = list(served.parts)
    module.asset_files = [tf.saved_model.Asset(str(path)) for path in assets]
    signatures = {
        "serving_default": serving_default,
        CLASSIFY: classify,
        "predict_tensor": predict_tensor,
        "probabilities": probabilities,
        "features": features,
        "class_names": all_class_names,
    }
    for name, function in signatures.items():
        setattr(module, name, function)
    return module, signatures


def _check_shapes(model: keras.Model, tensor: tf.TensorSpec, n_classes: int) -> None:
    taken = tf.TensorShape(model.input_shape)
    if not tensor.shape.is_compatible_with(taken):
        raise ValueError(f"the model takes {taken}, it would be given {tensor.shape}")
    if tuple(model.output_shape) != (None, n_classes):
        raise ValueError(f"the model gives {model.output_shape} for {n_classes} class names")
