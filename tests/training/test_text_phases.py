"""Phases on texts: what a text's length may change, and what it must not."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tests.training.small_encoder import (
    PIECES,
    SHAPE,
    build_encoder,
    make_text_data,
    make_texts,
    tune_texts,
)
from tests.training.small_model import all_weights, build_trainer, head_phase
from tl_app import interrupt
from tl_app.errors import Interrupted
from tl_app.features.texts import TokenizedTexts
from tl_app.inputs.wordpiece import WordPiece
from tl_app.run import RunFolder


def trainer_of(folder, *phases, data=None, **options):
    return build_trainer(
        folder,
        *phases,
        build=build_encoder,
        data=make_text_data() if data is None else data,
        engine="tensorflow",
        **options,
    )


def test_kept_features_are_those_of_each_text_alone(folder):
    phase = head_phase()
    trainer = trainer_of(folder, phase)
    trainer.prepare()
    (kept,) = trainer.inputs.features(phase)
    below = trainer.classifier.below(0)
    tokenizer = WordPiece(PIECES, SHAPE.max_tokens)
    texts, _ = make_texts()
    for row, text in zip(kept, texts, strict=False):
        alone = below(tokenizer(tf.constant([text])).to_tensor(), training=False)[0]
        np.testing.assert_allclose(row, alone, atol=1e-6)


def test_kept_features_do_not_depend_on_the_texts_beside(tmp_path):
    phase = head_phase()
    data = make_text_data()
    texts, _ = make_texts()
    turned = replace(data, items=TokenizedTexts(texts[::-1], WordPiece(PIECES, SHAPE.max_tokens)))
    found = []
    for name, one in (("plain", data), ("turned", turned)):
        trainer = trainer_of(RunFolder.create(tmp_path, name), phase, data=one)
        trainer.prepare()
        found.append(trainer.inputs.features(phase)[0])
    n = len(texts)
    same = [i for i in range(n) if i < len(found[0]) and n - 1 - i < len(found[1])]
    assert len(same) > 10
    for i in same:
        np.testing.assert_array_equal(found[0][i], found[1][n - 1 - i])


@pytest.mark.parametrize("unfreeze", [1, "all"])
def test_stopped_and_resumed_is_the_same_bit_for_bit(tmp_path, unfreeze, monkeypatch):
    phases = (head_phase(), tune_texts(unfreeze=unfreeze))
    whole = trainer_of(RunFolder.create(tmp_path, "whole"), *phases)
    expected_state = whole.run()
    folder = RunFolder.create(tmp_path, "cut")
    counter = itertools.count(1)
    with monkeypatch.context() as patch:
        patch.setattr(
            interrupt,
            "requested",
            lambda: signal.SIGTERM if next(counter) == 5 else None,
        )
        with pytest.raises(Interrupted):
            trainer_of(folder, *phases).run()
    resumed = trainer_of(folder, *phases)
    state = resumed.run()
    for a, b in zip(all_weights(whole), all_weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [replace(r, seconds=0) for r in state.history] == [
        replace(r, seconds=0) for r in expected_state.history
    ]


def test_hidden_states_are_streamed_and_tuning_learns(folder):
    trainer = trainer_of(folder, head_phase(), tune_texts(epochs=12, learning_rate=3e-2))
    trainer.prepare()
    state = trainer.run()
    assert trainer.decisions.read()["phase tune"]["source"] == "streamed"
    assert trainer.decisions.read()["estimate"]["phases"]["tune"] > 0
    losses = [r.train_loss for r in state.history if r.phase == "tune"]
    assert min(losses[1:]) < 0.5 * losses[0]
