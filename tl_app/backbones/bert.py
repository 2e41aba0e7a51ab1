"""BERT encoders (Devlin et al. 2019) as functional Keras models: token numbers to hidden states.

Padding is token 0. Its rows are zero after every block, and each block finds out from them which
rows are padding: so one tensor carries everything from block to block, the network can be cut
between any two, and a batch may be padded to any length without changing what is said of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

PACKAGE = "tl_app"
POSITIONS = "embeddings.position_embeddings.weight"


@dataclass(frozen=True, slots=True)
class BertShape:
    """Sizes of an encoder.

    Attributes:
        n_layers: transformer blocks.
        width: of a hidden state.
        n_heads: of attention, which share the width.
        inner_width: of the feed-forward part.
        n_tokens: in the vocabulary.
        max_tokens: positions that it knows.
        epsilon: of layer normalisation.
        dropout: while training.
        approximate_gelu: whether GELU is its approximation by tanh.
    """

    n_layers: int
    width: int
    n_heads: int
    inner_width: int
    n_tokens: int
    max_tokens: int
    epsilon: float = 1e-12
    dropout: float = 0.1
    approximate_gelu: bool = False


@keras.saving.register_keras_serializable(PACKAGE)
class TokenEmbedding(keras.layers.Layer):
    """int32 token numbers (n, length) to float (n, length, width); zero where a token is 0.

    Args:
        n_tokens, max_tokens, width, epsilon: as in `BertShape`.
        dropout: of its output, while training.
    """

    def __init__(
        self,
        n_tokens: int,
        max_tokens: int,
        width: int,
        epsilon: float,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._settings = {
            "n_tokens": n_tokens,
            "max_tokens": max_tokens,
            "width": width,
            "epsilon": epsilon,
            "dropout": dropout,
        }
        # Parts compute as the whole does, also where it is made anew from its configuration.
        same = {"dtype": self.dtype_policy}
        self.words = keras.layers.Embedding(n_tokens, width, name="words", **same)
        self.positions = keras.layers.Embedding(max_tokens, width, name="positions", **same)
        self.normalisation = keras.layers.LayerNormalization(
            epsilon=epsilon, name="normalisation", **same
        )
        self.dropout = keras.layers.Dropout(dropout, **same)

    def build(self, input_shape: Any) -> None:
        width = self._settings["width"]
        self.words.build(input_shape)
        self.positions.build(input_shape)
        self.normalisation.build((None, None, width))
        self.built = True

    def call(self, tokens: Any, training: bool = False) -> Any:
        x = self.words(tokens) + self.positions(ops.arange(ops.shape(tokens)[1]))[None]
        x = self.dropout(self.normalisation(x), training=training)
        return x * ops.cast(tokens != 0, x.dtype)[..., None]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self._settings["width"])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._settings}


@keras.saving.register_keras_serializable(PACKAGE)
class TransformerBlock(keras.layers.Layer):
    """Self-attention and a feed-forward part, each with its residual and normalisation behind.

    Args:
        width, n_heads, inner_width, epsilon: as in `BertShape`.
        dropout: of attention and of both parts, while training.
        approximate_gelu: as in `BertShape`.

    Attributes:
        recompute: in training, keep what comes in alone, and compute the rest again on the way
            back.
    """

    def __init__(
        self,
        width: int,
        n_heads: int,
        inner_width: int,
        epsilon: float,
        dropout: float = 0.1,
        approximate_gelu: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._settings = {
            "width": width,
            "n_heads": n_heads,
            "inner_width": inner_width,
            "epsilon": epsilon,
            "dropout": dropout,
            "approximate_gelu": approximate_gelu,
        }
        self.n_heads = n_heads
        same = {"dtype": self.dtype_policy}
        self.query = keras.layers.Dense(width, name="query", **same)
        self.key = keras.layers.Dense(width, name="key", **same)
        self.value = keras.layers.Dense(width, name="value", **same)
        self.joined = keras.layers.Dense(width, name="joined", **same)
        self.attended = keras.layers.LayerNormalization(epsilon=epsilon, name="attended", **same)
        self.inner = keras.layers.Dense(inner_width, name="inner", **same)
        self.outer = keras.layers.Dense(width, name="outer", **same)
        self.normalised = keras.layers.LayerNormalization(
            epsilon=epsilon, name="normalised", **same
        )
        self.seed_generator = keras.random.SeedGenerator()
        self.recompute = False

    def build(self, input_shape: Any) -> None:
        width, inner_width = self._settings["width"], self._settings["inner_width"]
        for layer in (self.query, self.key, self.value, self.joined, self.attended):
            layer.build((None, None, width))
        self.inner.build((None, None, width))
        self.outer.build((None, None, inner_width))
        self.normalised.build((None, None, width))
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        seeds = []
        if training and self._settings["dropout"]:
            # Drawn here: what is computed again on the way back must drop the same.
            seeds = [self.seed_generator.next() for _ in range(3)]

        def run(given: Any) -> Any:
            return self._forward(given, *seeds)

        # The seeds are no arguments of it: gradients are asked of all arguments, and whole numbers
        # have none.
        return keras.remat(run)(x) if training and self.recompute else run(x)

    def _forward(self, x: Any, *seeds: Any) -> Any:
        in_attention, behind_attention, behind_inner = seeds or (None, None, None)
        stands = token_mask(x)
        attention = self.joined(self._attend(x, stands, in_attention))
        x = self.attended(x + self._drop(attention, behind_attention))
        approximate = self._settings["approximate_gelu"]
        inner = keras.activations.gelu(self.inner(x), approximate=approximate)
        x = self.normalised(x + self._drop(self.outer(inner), behind_inner))
        return x * stands[..., None]

    def _drop(self, x: Any, seed: Any) -> Any:
        if seed is None:
            return x
        # As Keras's own Dropout does it, which takes no seed that was drawn already.
        return tf.nn.experimental.stateless_dropout(x, self._settings["dropout"], seed=seed)

    def _attend(self, x: Any, stands: Any, seed: Any) -> Any:
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = ops.cast(scores, "float32") / np.sqrt(query.shape[-1])
        scores += (1.0 - ops.cast(stands, "float32"))[:, None, None] * -1e9
        weights = ops.cast(ops.softmax(scores), x.dtype)
        mixed = ops.matmul(self._drop(weights, seed), value)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        return ops.reshape(mixed, (*ops.shape(x)[:2], self._settings["width"]))

    def _heads(self, x: Any) -> Any:
        """(n, length, width) to (n, n_heads, length, width of a head)."""
        n, length = ops.shape(x)[0], ops.shape(x)[1]
        apart = ops.reshape(x, (n, length, self.n_heads, x.shape[-1] // self.n_heads))
        return ops.transpose(apart, (0, 2, 1, 3))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._settings}


@keras.saving.register_keras_serializable(PACKAGE)
class MaskedMean(keras.layers.Layer):
    """Mean of the rows that are no padding, (n, length, width) to (n, width), of length 1."""

    def call(self, x: Any) -> Any:
        total = ops.sum(x, axis=1)
        mean = total / ops.maximum(ops.sum(token_mask(x), axis=1), 1.0)[:, None]
        return mean / ops.maximum(ops.norm(mean, axis=-1, keepdims=True), 1e-12)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[2])


def token_mask(x: Any) -> Any:
    """1 for rows that are tokens, 0 for padding, in the type of `x`; shape (n, length)."""
    return ops.cast(ops.any(x != 0, axis=-1), x.dtype)


def build_bert(shape: BertShape, *, name: str = "bert") -> keras.Model:
    """int32 token numbers (n, length) to hidden states (n, length, width), with random weights."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = TokenEmbedding(
        shape.n_tokens,
        shape.max_tokens,
        shape.width,
        shape.epsilon,
        shape.dropout,
        name="embedding",
    )(tokens)
    for number in range(shape.n_layers):
        x = TransformerBlock(
            shape.width,
            shape.n_heads,
            shape.inner_width,
            shape.epsilon,
            shape.dropout,
            shape.approximate_gelu,
            name=f"layer_{number}",
        )(x)
    return keras.Model(tokens, x, name=name)


def load_bert_weights(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Put the tensors of a PyTorch BERT checkpoint into a model of `build_bert`.

    Args:
        model: gets them.
        tensors: by their names in the checkpoint, such as
            "encoder.layer.0.attention.self.query.weight", with or without "bert." before them.

    Raises:
        ValueError: a tensor is missing, or has another shape; all are named.
    """
    given = {name.removeprefix("bert."): values for name, values in tensors.items()}
    # Every token of a single text is of type 0: that row is added once and for all.
    types = given.get("embeddings.token_type_embeddings.weight")
    if types is not None and POSITIONS in given:
        given[POSITIONS] = given[POSITIONS] + types[0]
    problems, assignments = [], []
    for variable, name in _names(model):
        values = given.get(name)
        if values is None:
            problems.append(f"{name} is missing")
            continue
        if ".dense." in name or ".self." in name:
            values = values.T  # PyTorch keeps (outputs, inputs); biases do not mind
        if values.shape != tuple(variable.shape):
            problems.append(f"{name} has the shape {values.shape}, not {tuple(variable.shape)}")
        assignments.append((variable, values))
    if types is None:
        problems.append("embeddings.token_type_embeddings.weight is missing")
    if problems:
        raise ValueError("; ".join(problems))
    for variable, values in assignments:
        variable.assign(values.astype(np.float32))


def _names(model: keras.Model) -> list[tuple[Any, str]]:
    """Every variable of the model with its tensor's name in the checkpoint."""
    embedding = model.get_layer("embedding")
    found = [
        (embedding.words.embeddings, "embeddings.word_embeddings.weight"),
        (embedding.positions.embeddings, POSITIONS),
        *_normalisation(embedding.normalisation, "embeddings.LayerNorm"),
    ]
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    for number, block in enumerate(blocks):
        prefix = f"encoder.layer.{number}"
        for layer, name in (
            (block.query, "attention.self.query"),
            (block.key, "attention.self.key"),
            (block.value, "attention.self.value"),
            (block.joined, "attention.output.dense"),
            (block.inner, "intermediate.dense"),
            (block.outer, "output.dense"),
        ):
            found += [
                (layer.kernel, f"{prefix}.{name}.weight"),
                (layer.bias, f"{prefix}.{name}.bias"),
            ]
        found += _normalisation(block.attended, f"{prefix}.attention.output.LayerNorm")
        found += _normalisation(block.normalised, f"{prefix}.output.LayerNorm")
    return found


def _normalisation(layer: keras.layers.LayerNormalization, name: str) -> list[tuple[Any, str]]:
    return [(layer.gamma, f"{name}.weight"), (layer.beta, f"{name}.bias")]
