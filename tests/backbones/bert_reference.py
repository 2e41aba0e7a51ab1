"""BERT in float64 NumPy, written from its definition: what the Keras model is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import erf, softmax

from tl_app.backbones.bert import BertShape


def sentence_vector(
    tensors: Mapping[str, np.ndarray], shape: BertShape, tokens: Sequence[int]
) -> np.ndarray:
    """Mean of the hidden states of one text without padding, of length 1; float64 (width,)."""
    w = {name: values.astype(np.float64) for name, values in tensors.items()}

    def normalise(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + shape.epsilon)
        return centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = (
        w["embeddings.word_embeddings.weight"][list(tokens)]
        + w["embeddings.position_embeddings.weight"][: len(tokens)]
        + w["embeddings.token_type_embeddings.weight"][0]
    )
    x = normalise(x, "embeddings.LayerNorm")
    for number in range(shape.n_layers):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            dense(x, f"{layer}.attention.self.{part}")
            .reshape(len(tokens), shape.n_heads, -1)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        weights = softmax(query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1]), axis=-1)
        mixed = (weights @ value).transpose(1, 0, 2).reshape(len(tokens), -1)
        attended = x + dense(mixed, f"{layer}.attention.output.dense")
        x = normalise(attended, f"{layer}.attention.output.LayerNorm")
        inner = dense(x, f"{layer}.intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = normalise(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


def random_tensors(shape: BertShape, seed: int = 0) -> dict[str, np.ndarray]:
    """A checkpoint of this shape, float32, by PyTorch's names."""
    random = np.random.default_rng(seed)
    width = shape.width
    sizes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (shape.n_tokens, width),
        "embeddings.position_embeddings.weight": (shape.max_tokens, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for number in range(shape.n_layers):
        for name, outputs, inputs in (
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", shape.inner_width, width),
            ("output.dense", width, shape.inner_width),
        ):
            sizes[f"encoder.layer.{number}.{name}.weight"] = (outputs, inputs)
            sizes[f"encoder.layer.{number}.{name}.bias"] = (outputs,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            sizes[f"encoder.layer.{number}.{name}.weight"] = (width,)
            sizes[f"encoder.layer.{number}.{name}.bias"] = (width,)
    return {name: random.normal(0, 0.3, size).astype(np.float32) for name, size in sizes.items()}
