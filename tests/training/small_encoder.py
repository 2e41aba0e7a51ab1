"""A small BERT with random weights, and texts that its vocabulary tells apart."""

from __future__ import annotations

import keras
import numpy as np

from tl_app.backbones.bert import BertShape, build_bert
from tl_app.backbones.blocks import Backbone, find_blocks, set_trainable
from tl_app.backbones.registry import get_encoder_spec
from tl_app.config import Phase
from tl_app.features.texts import TokenizedTexts
from tl_app.inputs.wordpiece import WordPiece
from tl_app.training.phase_inputs import TrainingData

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "it", "was", "very", "day", "##s", ".")
SHAPE = BertShape(
    n_layers=2, width=8, n_heads=2, inner_width=16, n_tokens=len(PIECES), max_tokens=64
)
N_TRAIN = 21
"""Not a multiple of the batch: the last batch is filled up."""


def build_encoder() -> Backbone:
    """Two blocks above the embedding."""
    keras.utils.set_random_seed(5)
    model = build_bert(SHAPE)
    spec = get_encoder_spec("minilm-l6")
    backbone = Backbone(spec, model, find_blocks(model, spec.block_end))
    set_trainable(backbone, 0)
    return backbone


def make_texts(n: int = N_TRAIN + 8) -> tuple[list[str], np.ndarray]:
    """Short and long ones, some alike, and their labels."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    texts = []
    for label in labels:
        words = random.choice(["it", "was", "very", "day", "days"], random.integers(2, 50))
        words[random.integers(len(words))] = "good" if label else "bad"
        texts.append(" ".join(words) + ".")
    return texts, labels.astype(np.int64)


def make_text_data() -> TrainingData:
    texts, labels = make_texts()
    return TrainingData(
        items=TokenizedTexts(texts, WordPiece(PIECES, SHAPE.max_tokens)),
        labels=labels,
        groups=np.arange(len(texts)),
        train_rows=np.arange(N_TRAIN),
        validation_rows=np.arange(N_TRAIN, len(texts)),
        class_names=("bad", "good"),
    )


def tune_texts(**values) -> Phase:
    defaults = {
        "name": "tune",
        "unfreeze": 2,
        "epochs": 3,
        "learning_rate": 1e-2,
        "layer_decay": 0.5,
        "views": 0,
        "patience_epochs": None,
    }
    return Phase(**{**defaults, **values})
