"""Encoders of texts out of KerasHub presets: BERT, DistilBERT, RoBERTa, XLM-RoBERTa.

KerasHub reads the preset, its own files or those of a Hugging Face repository; the weights then
go into the house's own network (`bert`), which can be cut, trained in parts, updated at low rank
and exported, and which must say what KerasHub's says. Two things of KerasHub are mended on the
way: accents stay on letters that BERT was taught without, and files of Hugging Face that name the
exact GELU get the approximate one.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import pydantic
import safetensors

from tl_app.backbones.bert import BertShape, build_bert, load_bert_weights
from tl_app.backbones.hub_files import folder_sha256
from tl_app.backbones.policy import dtype_policy
from tl_app.backbones.registry import TextEncoderSpec, preset_handle
from tl_app.backbones.vocabulary import Pieces, PresetVocabulary, Vocabulary
from tl_app.errors import WeightsError

KINDS = ("BertBackbone", "DistilBertBackbone", "RobertaBackbone", "XLMRobertaBackbone")
MODEL_TYPES = ("bert", "distilbert", "roberta", "xlm-roberta")
"""The same, as files of Hugging Face call them."""

ACTIVATIONS = {
    "gelu": False,
    "gelu_new": True,
    "gelu_fast": True,
    "gelu_pytorch_tanh": True,
}
"""Hugging Face's words -> whether it is GELU's approximation by tanh."""


class HuggingFaceFacts(pydantic.BaseModel):
    """What the files of a Hugging Face repository say, as far as it matters here."""

    model_config = pydantic.ConfigDict(frozen=True)

    hidden_act: str | None = None
    activation: str | None = None
    layer_norm_eps: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None
    strip_accents: bool | None = None
    max_seq_length: Annotated[int, pydantic.Field(ge=3)] | None = None


MAX_TOKENS = 512
"""Of a text, however many positions the encoder knows."""

TOLERANCE = 1e-3
"""Of hidden states, which are of size 1, between the house's network and KerasHub's."""

WEB = ("hf://", "kaggle://")


@dataclass(frozen=True, slots=True)
class Preset:
    """What was read of a preset.

    Attributes:
        model: hidden states of token numbers, all of it pretrained.
        vocabulary: that the numbers stand for.
        max_tokens: of a text; what is longer is cut.
        sha256: of the files of a local folder, else of the weights, hexadecimal.
        path: of a local folder.
    """

    model: keras.Model
    vocabulary: Vocabulary
    max_tokens: int
    sha256: str
    path: Path | None


def load_preset(spec: TextEncoderSpec) -> Preset:
    """Read `kerashub:HANDLE_OR_FOLDER`.

    Raises:
        WeightsError: KerasHub is not installed, there is no such preset, it cannot be fetched, or
            it is of a kind that is not known here.
    """
    handle = preset_handle(spec.name)
    hub = _keras_hub()
    folder = _local_folder(handle)
    if folder is not None:
        _require_known(folder)
    theirs, tokenizer = _read(hub, handle, folder)
    if type(theirs).__name__ not in KINDS:
        raise _unknown_kind(handle, type(theirs).__name__)
    facts = _hugging_face_facts(handle, folder)
    model = _translate(theirs, int(tokenizer.pad_token_id), facts, handle)
    longest = min(theirs.max_sequence_length, facts.max_seq_length or MAX_TOKENS, MAX_TOKENS)
    return Preset(
        model,
        _vocabulary(tokenizer, facts, handle),
        longest,
        folder_sha256(folder) if folder is not None else _weights_sha256(model),
        folder,
    )


# --- reading -------------------------------------------------------------------------------


def _keras_hub() -> Any:
    try:
        return importlib.import_module("keras_hub")
    except ImportError as error:
        raise WeightsError(
            "KerasHub is not installed.",
            received=str(error),
            next_step="pip install 'tl_app[kerashub]'",
        ) from error


def _local_folder(handle: str) -> Path | None:
    """
    Raises:
        WeightsError: it looks like a path, and nothing is there.
    """
    path = Path(handle).expanduser()
    if path.is_dir():
        return path.absolute()
    if not handle.startswith(WEB) and (path.exists() or len(path.parts) > 1):
        raise WeightsError(
            "There is no preset here." if path.exists() else "There is nothing here.",
            received=f"kerashub:{handle}",
            allowed="a folder with config.json, the name of a preset of KerasHub, or a kaggle:// "
            "or hf:// handle",
        )
    return None


def _require_known(folder: Path) -> None:
    """A preset names the classes that it is read with: only known ones may be called.

    Raises:
        WeightsError: the folder is no preset, or names anything else.
    """
    for name in ("config.json", "tokenizer.json", "preprocessor.json", "task.json"):
        file = folder / name
        if name != "config.json" and not file.exists():
            continue
        content = _read_json(file)
        # As KerasHub decides what it is: its own presets have a registered name.
        if name == "config.json" and "registered_name" not in content:
            if content.get("model_type") not in MODEL_TYPES:
                raise _unknown_kind(str(folder), str(content.get("model_type")))
            return
        if name == "config.json" and content.get("class_name") not in KINDS:
            raise _unknown_kind(str(folder), str(content.get("class_name")))
        for module, class_name in _named_classes(content):
            if module != "keras" and not module.startswith(("keras.", "keras_hub.", "keras_nlp.")):
                raise WeightsError(
                    "The preset names code from elsewhere.",
                    received=f"{file}: {module}.{class_name}",
                    allowed="classes of Keras and KerasHub",
                )


def _named_classes(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if "class_name" in value:
            yield str(value.get("module") or ""), str(value["class_name"])
        for inner in value.values():
            yield from _named_classes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_classes(inner)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"The preset cannot be read: {error}.",
            received=str(file),
            allowed="a folder as KerasHub's save_to_preset writes it, or as Hugging Face keeps it",
        ) from error
    return content if isinstance(content, dict) else {}


def _read(hub: Any, handle: str, folder: Path | None) -> tuple[Any, Any]:
    """KerasHub's network and its tokenizer."""
    name = handle if folder is None else str(folder)
    try:
        with keras.device("cpu"):
            theirs = hub.models.Backbone.from_preset(name, dtype="float32")
            tokenizer = hub.models.Tokenizer.from_preset(name)
    except (
        *(OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError),
        safetensors.SafetensorError,
    ) as error:
        # Libraries of three hubs raise what they like; all of it comes with words.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            f"KerasHub cannot read this preset: {lines[0].rstrip('.')}.",
            received=f"kerashub:{handle}",
            allowed="a folder of a preset, the name of a preset of KerasHub, or a kaggle:// or "
            "hf:// handle that can be reached",
            next_step="without a network: bring the preset's folder, and name it kerashub:FOLDER"
            if folder is None
            else None,
        ) from error
    return theirs, tokenizer


def _unknown_kind(handle: str, kind: str) -> WeightsError:
    return WeightsError(
        "This is no encoder of a kind that is known here.",
        received=f"kerashub:{handle}: {kind}",
        allowed=", ".join(KINDS),
    )


def _hugging_face_facts(handle: str, folder: Path | None) -> HuggingFaceFacts:
    """Of the files of a Hugging Face repository; nothing for KerasHub's own.

    Raises:
        WeightsError: they say what cannot be.
    """
    values: dict[str, Any] = {}
    for name in ("config.json", "tokenizer_config.json", "sentence_bert_config.json"):
        file = None if folder is None else folder / name
        if handle.startswith("hf://"):
            file = _fetched(handle.removeprefix("hf://"), name)
        if file is not None and file.exists():
            values |= _read_json(file)
    if "model_type" not in values or "registered_name" in values:
        return HuggingFaceFacts()
    try:
        return HuggingFaceFacts.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise WeightsError(
            "The preset's configuration cannot be used.",
            received=f"kerashub:{handle}: {first['loc'][0]}: {first['msg']}",
        ) from error


def _fetched(repository: str, name: str) -> Path | None:
    """A small file of a repository, out of the cache where it is there; None where it is not."""
    hub = importlib.import_module("huggingface_hub")
    try:
        return Path(hub.hf_hub_download(repository, name))
    except hub.errors.EntryNotFoundError:
        return None


# --- weights -------------------------------------------------------------------------------


def _translate(theirs: Any, pad: int, facts: HuggingFaceFacts, handle: str) -> keras.Model:
    """The house's network with KerasHub's weights, after it was seen to say the same."""
    if theirs.num_layers < 1:
        raise _unknown_kind(handle, "a network without layers")
    as_is = BertShape(
        n_layers=theirs.num_layers,
        width=theirs.hidden_dim,
        n_heads=theirs.num_heads,
        inner_width=theirs.intermediate_dim,
        n_tokens=theirs.vocabulary_size,
        max_tokens=theirs.max_sequence_length,
        epsilon=theirs.get_layer("embeddings_layer_norm").epsilon,
        dropout=theirs.dropout,
        approximate_gelu=_is_approximate(
            theirs.get_layer("transformer_layer_0").activation, handle
        ),
    )
    tensors = as_checkpoint(theirs, pad)
    # Both in float32, whatever the run computes in.
    with dtype_policy("float32"):
        difference = _difference(_filled(as_is, tensors, handle), theirs, pad)
    if not difference <= TOLERANCE:
        raise WeightsError(
            "The preset's network says something else here than in KerasHub.",
            received=f"kerashub:{handle}: hidden states differ by {difference:.2g}",
            allowed=f"{TOLERANCE:g}",
        )
    mended = as_is
    word = facts.hidden_act or facts.activation
    if word is not None:
        if word not in ACTIVATIONS:
            raise WeightsError(
                "The preset's activation is not known here.",
                received=f"kerashub:{handle}: {word}",
                allowed=", ".join(ACTIVATIONS),
            )
        mended = replace(mended, approximate_gelu=ACTIVATIONS[word])
    if facts.layer_norm_eps is not None:
        mended = replace(mended, epsilon=facts.layer_norm_eps)
    return _filled(mended, tensors, handle)


def _filled(shape: BertShape, tensors: Mapping[str, np.ndarray], handle: str) -> keras.Model:
    model = build_bert(shape, name="kerashub_encoder")
    try:
        load_bert_weights(model, tensors)
    except ValueError as error:
        raise WeightsError(
            f"The preset's weights do not fit: {error}.", received=f"kerashub:{handle}"
        ) from error
    return model


def as_checkpoint(theirs: keras.Model, pad: int) -> dict[str, np.ndarray]:
    """KerasHub's weights by the names and in the layout of a checkpoint of BERT.

    Args:
        theirs: a backbone of one of `KINDS`.
        pad: number of the token that fills up; it changes places with token 0, which the house
            fills up with.
    """
    tensors: dict[str, np.ndarray] = {}
    for variable in theirs.weights:
        values = np.array(variable)
        match = _BLOCK.fullmatch(variable.path)
        if match is not None:
            number, part, kind = match.groups()
            # Heads are an axis of their own there: (width, heads, size), or back.
            if kind == "kernel":
                sizes = (-1, values.shape[-1]) if part == _JOINED else (values.shape[0], -1)
                values = values.reshape(sizes).T
            else:
                values = values.ravel()
            tensors[f"encoder.layer.{number}.{_PARTS[part]}.{_KINDS[kind]}"] = values
        elif variable.path in _EMBEDDINGS:
            tensors[f"embeddings.{_EMBEDDINGS[variable.path]}.weight"] = values
        elif variable.path.startswith("embeddings_layer_norm/"):
            kind = variable.path.rpartition("/")[2]
            tensors[f"embeddings.LayerNorm.{_KINDS[kind]}"] = values
    words = tensors.get(_WORDS)
    if words is not None:
        tensors[_WORDS] = words[changing_places(np.arange(len(words)), pad)]
        tensors.setdefault(_TYPES, np.zeros((1, words.shape[1]), np.float32))
    return tensors


def changing_places(tokens: np.ndarray, pad: int) -> np.ndarray:
    """Token 0 and `pad` in each other's place; the rest as it is."""
    return np.where(tokens == 0, pad, np.where(tokens == pad, 0, tokens))


_JOINED = "self_attention_layer/attention_output"
_PARTS = {
    "self_attention_layer/query": "attention.self.query",
    "self_attention_layer/key": "attention.self.key",
    "self_attention_layer/value": "attention.self.value",
    _JOINED: "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "feedforward_intermediate_dense": "intermediate.dense",
    "feedforward_output_dense": "output.dense",
    "feedforward_layer_norm": "output.LayerNorm",
}
_KINDS = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
_BLOCK = re.compile(
    rf"transformer_layer_(\d+)/({'|'.join(map(re.escape, _PARTS))})/({'|'.join(_KINDS)})"
)
_WORDS, _TYPES = "embeddings.word_embeddings.weight", "embeddings.token_type_embeddings.weight"
_EMBEDDINGS = {
    f"{layer}{kind}_embedding/{name}": theirs
    for layer in ("", "embeddings/", "token_and_position_embedding/")
    for kind, name, theirs in (
        ("token", "embeddings", "word_embeddings"),
        ("position", "embeddings", "position_embeddings"),
        ("position", "position_embeddings", "position_embeddings"),
        ("segment", "embeddings", "token_type_embeddings"),
    )
}
"""Paths of KerasHub's variables -> names in the checkpoint."""


def _is_approximate(activation: Any, handle: str) -> bool:
    """Whether a GELU is the approximation; told by what it does."""
    x = np.linspace(-3, 3, 25, dtype=np.float32)
    told = np.array(activation(x))
    for approximate in (False, True):
        if np.abs(told - np.array(keras.activations.gelu(x, approximate=approximate))).max() < 1e-5:
            return approximate
    raise WeightsError(
        "The preset's activation is not known here.",
        received=f"kerashub:{handle}: {getattr(activation, '__name__', activation)}",
        allowed="GELU, exact or approximate",
    )


def _difference(model: keras.Model, theirs: Any, pad: int) -> float:
    """The largest of hidden states, over rows of tokens of two lengths."""
    length = min(12, theirs.max_sequence_length)
    tokens = np.random.default_rng(0).integers(0, theirs.vocabulary_size, (2, length))
    tokens = np.where(tokens == pad, (pad + 1) % theirs.vocabulary_size, tokens).astype(np.int32)
    stands = np.ones_like(tokens)
    stands[1, length // 2 :] = 0
    given = {"token_ids": tokens, "padding_mask": stands, "segment_ids": np.zeros_like(tokens)}
    wanted = {tensor.name for tensor in theirs.inputs}
    told = theirs({name: value for name, value in given.items() if name in wanted})
    told = told["sequence_output"] if isinstance(told, dict) else told
    mine = model((changing_places(tokens, pad) * stands).astype(np.int32))
    return float(np.abs(np.array(mine) - np.array(told) * stands[..., None]).max())


def _weights_sha256(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


# --- vocabulary ----------------------------------------------------------------------------


def _vocabulary(tokenizer: Any, facts: HuggingFaceFacts, handle: str) -> Vocabulary:
    """
    Raises:
        WeightsError: it is no tokenizer of these encoders.
    """
    if hasattr(tokenizer, "lowercase"):  # WordPiece, which the house does itself
        return _pieces(tokenizer, facts, handle)
    if getattr(tokenizer, "merges", None) is not None:
        # "</s>" in a text is plain text: nobody's mail can end a sentence early.
        tokenizer.unsplittable_tokens = []
        tokenizer.set_vocabulary_and_merges(dict(tokenizer.vocabulary), list(tokenizer.merges))
        content = json.dumps(
            [tokenizer.vocabulary, tokenizer.merges, tokenizer.add_prefix_space]
        ).encode()
    elif getattr(tokenizer, "proto", None) is not None:
        content = tokenizer.proto
    else:
        raise _unknown_kind(handle, type(tokenizer).__name__)
    return PresetVocabulary(
        tokenizer,
        start=int(tokenizer.start_token_id),
        end=int(tokenizer.end_token_id),
        pad=int(tokenizer.pad_token_id),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _pieces(tokenizer: Any, facts: HuggingFaceFacts, handle: str) -> Pieces:
    pieces = list(tokenizer.get_vocabulary())
    missing = [piece for piece in ("[UNK]", "[CLS]", "[SEP]", "[PAD]") if piece not in pieces]
    if missing or len(set(pieces)) < len(pieces):
        raise WeightsError(
            "The preset's vocabulary cannot be used.",
            received=f"kerashub:{handle}: "
            + (f"without {', '.join(missing)}" if missing else "with a piece that is there twice"),
            allowed="WordPiece as BERT has it",
        )
    pad = pieces.index("[PAD]")
    pieces[0], pieces[pad] = pieces[pad], pieces[0]
    lowercase = bool(tokenizer.lowercase)
    # BERT's own rule, where nothing else is said: with the case go the accents.
    strips = lowercase if facts.strip_accents is None else facts.strip_accents
    return Pieces(tuple(pieces), lowercase=lowercase, strip_accents=strips)
