"""Telling words of texts of which the encoder reads only the beginning."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tests.training.small_encoder import PIECES, build_encoder
from tl_app.app import text_material
from tl_app.app.text_material import TextMaterial
from tl_app.backbones.loading import TextEncoder
from tl_app.backbones.vocabulary import Pieces
from tl_app.config import Config, Phase
from tl_app.explain.occlusion import MOST_PARTS, TellingWord
from tl_app.features.extract import FrozenPart
from tl_app.progress import SilentReporter
from tl_app.records import Dataset, Predictions, TextExample
from tl_app.training.hardware import choose_hardware

BAD = PIECES.index("bad")
N_READ = MOST_PARTS - 10
"""Words: one part each."""


@pytest.fixture(scope="module")
def material() -> TextMaterial:
    encoder = TextEncoder(build_encoder(), Pieces(PIECES), max_tokens=N_READ + 2)
    config = Config(backbone="minilm-l6", phases=(Phase(name="head", views=0),))
    hardware = choose_hardware(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_material, "load_encoder", lambda *_, **__: encoder)
        return TextMaterial(config, hardware, hardware.build_strategy(), SilentReporter())


def by_bad() -> FrozenPart:
    """Sure of class 1 where it reads "bad"."""
    tokens = keras.Input((None,), dtype="int32")
    sure = 0.1 + 0.8 * ops.cast(ops.any(ops.equal(tokens, BAD), axis=1), "float32")
    return FrozenPart(keras.Model(tokens, ops.stack([1 - sure, sure], axis=1)))


def explain(material: TextMaterial, text: str, label: int) -> tuple[TellingWord, ...]:
    example = TextExample(
        path="mail.csv:2",
        label=1 - label,
        given_side=None,
        given_group=None,
        text=text,
        text_hash="0" * 64,
        normal_hash="0" * 64,
        n_characters=len(text),
    )
    dataset = Dataset("/data", "mail.csv", ("fine", "bad"), (example,), modality="text")
    said = np.eye(2, dtype=np.float32)[[label]]
    predictions = Predictions((example.path,), np.array([1 - label]), said, dataset.class_names)

    found = material.explain(dataset, predictions, np.array([0]), by_bad(), SilentReporter())
    assert found.heat is None
    return found.telling[example.path]


def test_the_parts_are_spent_on_what_is_read(material):
    text = "it was bad . " + "very day " * 1000
    [word] = explain(material, text, label=1)
    assert text[word.start : word.stop] == "bad"


def test_what_is_not_read_does_not_move_up_into_the_place_of_a_word(material):
    assert explain(material, "day " * N_READ + "bad", label=0) == ()
