"""Small SavedModels and random pixels for the backbone tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def random_pixels(n: int, size: int, seed: int = 0) -> np.ndarray:
    """float32 pixels in 0..255, shape (n, size, size, 3)."""
    return np.random.default_rng(seed).uniform(0, 255, (n, size, size, 3)).astype("float32")


def write_feature_vector(folder: Path, *, size: int | None = 32, n_features: int = 5) -> Path:
    """A small image feature vector as TensorFlow Hub defines it, with BatchNormalization.

    In training mode it would use batch statistics and move its averages.
    """
    import tensorflow as tf

    class FeatureVector(tf.__internal__.tracking.AutoTrackable):
        def __init__(self) -> None:
            random = np.random.default_rng(3)
            kernel = random.normal(0, 0.3, (3, 3, 3, n_features)).astype("float32")
            self.kernel = tf.Variable(kernel, name="conv/kernel")
            self.gamma = tf.Variable(tf.ones(n_features), name="batch_norm/gamma")
            self.mean = tf.Variable(tf.zeros(n_features), trainable=False, name="batch_norm/mean")
            self.scales = tf.Variable([2.0, 0.5], trainable=False, name="scales")
            self.trainable_variables = [self.kernel, self.gamma]
            self.variables = [self.kernel, self.gamma, self.mean, self.scales]
            self.regularization_losses = [self.penalty]

        @tf.function(input_signature=[])
        def penalty(self):
            return 0.01 * tf.reduce_sum(tf.square(self.kernel))

        @tf.function
        def __call__(self, images, training=False):
            x = tf.nn.conv2d(images, self.kernel, strides=2, padding="SAME")
            mean = self.mean
            if training:
                mean = tf.reduce_mean(x, axis=(0, 1, 2))
                self.mean.assign(0.5 * self.mean + 0.5 * mean)
            return tf.reduce_mean(tf.nn.relu((x - mean) * self.gamma), axis=(1, 2)) * self.scales[0]

    vector = FeatureVector()
    images = tf.TensorSpec((None, size, size, 3), tf.float32)
    for training in (False, True):
        vector.__call__.get_concrete_function(images, training=training)
    tf.saved_model.save(vector, str(folder))
    return folder


def enliven(model, seed: int = 0) -> None:
    """Random weights with which a deep model neither dies out nor grows without bounds.

    With Keras's initial values a deep network's output is nearly constant, so that two
    different models could pass for equal.
    """
    random = np.random.default_rng(seed)
    for variable in model.weights:
        shape, word = tuple(variable.shape), variable.path.rsplit("/", 1)[-1]
        if "kernel" in word:
            depthwise = "depthwise" in variable.path and len(shape) == 4
            fan_in = int(np.prod(shape[:2] if depthwise else shape[:-1]))
            values = random.normal(0, np.sqrt(2 / max(fan_in, 1)), shape)
        elif word in ("gamma", "moving_variance", "variance"):
            values = random.uniform(0.6, 1.4, shape)
        elif word == "count":
            continue
        else:
            values = random.normal(0, 0.1, shape)
        variable.assign(values.astype("float32"))


def write_string_encoder(folder: Path, model, tokenizer) -> Path:
    """A text encoder as TensorFlow Hub defines it: strings (n,) to vectors (n, n_features)."""
    import tensorflow as tf

    from tl_app.backbones.bert import MaskedMean

    mean = MaskedMean()

    class Encoder(tf.__internal__.tracking.AutoTrackable):
        def __init__(self) -> None:
            self.model, self.tokenizer = model, tokenizer
            self.trainable_variables = [v.value for v in model.weights if "seed" not in v.path]
            self.variables = self.trainable_variables

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def __call__(self, texts):
            return mean(self.model(self.tokenizer(texts).to_tensor(), training=False))

    tf.saved_model.save(Encoder(), str(folder))
    return folder


def write_preprocessor(folder: Path, tokenizer, length: int = 32) -> Path:
    """What feeds an encoder of the BERT family: strings to three int32 tensors (n, length)."""
    import tensorflow as tf

    class Preprocessor(tf.__internal__.tracking.AutoTrackable):
        def __init__(self) -> None:
            self.tokenizer = tokenizer

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def __call__(self, texts):
            tokens = self.tokenizer(texts)
            words = tokens.to_tensor(shape=(None, length))
            mask = tf.ones_like(tokens).to_tensor(shape=(None, length))
            return {
                "input_word_ids": words,
                "input_mask": mask,
                "input_type_ids": tf.zeros_like(words),
            }

    tf.saved_model.save(Preprocessor(), str(folder))
    return folder


def write_bert_encoder(folder: Path, model, length: int = 32) -> Path:
    """An encoder of the BERT family as TensorFlow Hub defines it, with a training mode."""
    import tensorflow as tf

    from tl_app.backbones.bert import MaskedMean

    mean = MaskedMean()

    class Encoder(tf.__internal__.tracking.AutoTrackable):
        def __init__(self) -> None:
            self.model = model
            self.trainable_variables = [v.value for v in model.weights if "seed" not in v.path]
            self.variables = [v.value for v in model.variables]

        @tf.function
        def __call__(self, inputs, training=False):
            hidden = self.model(inputs["input_word_ids"], training=training)
            return {"pooled_output": mean(hidden), "sequence_output": hidden}

    encoder = Encoder()
    keys = ("input_word_ids", "input_mask", "input_type_ids")
    given = {key: tf.TensorSpec((None, length), tf.int32, name=key) for key in keys}
    for training in (False, True):
        encoder.__call__.get_concrete_function(given, training=training)
    tf.saved_model.save(encoder, str(folder))
    return folder
