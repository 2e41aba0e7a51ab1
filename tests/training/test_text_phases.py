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
from tl_app.config import Augmentation
from tl_app.errors import ConfigError, Interrupted, RunError
from tl_app.features.texts import TokenizedTexts
from tl_app.inputs.wordpiece import WordPiece
from tl_app.progress import SilentReporter
from tl_app.run import RunFolder
from tl_app.training.estimate import Estimate
from tl_app.training.step import TrainStep


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


def test_one_trace_serves_all_lengths(folder, monkeypatch):
    built: list[TrainStep] = []
    init = TrainStep.__init__

    def remembering(self, *arguments, **options):
        init(self, *arguments, **options)
        built.append(self)

    monkeypatch.setattr(TrainStep, "__init__", remembering)
    trainer = trainer_of(folder, tune_texts(epochs=2, unfreeze="all"))
    assert len(set(trainer.data.items.lengths)) > 2
    trainer.run()
    (step,) = built
    assert step._compiled.experimental_get_tracing_count() == 1


def test_validation_is_told_for_the_right_texts(folder):
    """They are looked at by length, and stand in their own order again."""
    trainer = trainer_of(folder, tune_texts(epochs=1))
    state = trainer.run()
    tokenizer = WordPiece(PIECES, SHAPE.max_tokens)
    texts, labels = make_texts()
    rows = trainer.data.validation_rows
    assert (np.diff(trainer.data.items.lengths[rows]) < 0).any()
    tokens = tokenizer(tf.constant([texts[row] for row in rows])).to_tensor()
    told = trainer.classifier.probabilities()(tokens, training=False).numpy()
    expected = -np.log(told[np.arange(len(rows)), labels[rows]]).mean()
    assert state.history[-1].validation_log_loss == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"augmentation": Augmentation(flip_horizontal=True)}, {"mixup_alpha": 0.2}],
)
def test_texts_are_neither_turned_nor_mixed(folder, settings):
    with pytest.raises(ConfigError, match="do not fit texts") as caught:
        trainer_of(folder, tune_texts(**settings))
    assert f"phase 'tune': {next(iter(settings))}" in str(caught.value)


def test_hidden_states_are_streamed_and_tuning_learns(folder):
    trainer = trainer_of(folder, head_phase(), tune_texts(epochs=12, learning_rate=3e-2))
    trainer.prepare()
    state = trainer.run()
    assert trainer.decisions.read()["phase tune"]["source"] == "streamed"
    assert trainer.decisions.read()["estimate"]["phases"]["tune"] > 0
    losses = [r.train_loss for r in state.history if r.phase == "tune"]
    assert min(losses[1:]) < 0.5 * losses[0]


def test_memory_that_is_too_small_is_told_in_words_of_texts(folder, monkeypatch):
    reporter = SilentReporter()
    trainer = trainer_of(folder, head_phase(), tune_texts(), reporter=reporter)

    def exhausted(self, *_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(TrainStep, "__call__", exhausted)
    with pytest.raises(RunError, match="too small for a single text a device") as caught:
        trainer.run()
    assert "8 texts a batch" in reporter.warnings[0]
    assert "picture" not in "".join((*reporter.warnings, str(caught.value)))
    assert "image" not in str(caught.value)
    assert "--set phases.1.recompute=true" in str(caught.value.next_step)


def test_the_estimate_counts_one():
    assert "(1 text)" in Estimate(1.0, {}, 1, 0, "text").describe()
    assert "(1 look at pictures)" in Estimate(1.0, {}, 1, 0).describe()
    assert "(2 looks at pictures)" in Estimate(1.0, {}, 2, 0).describe()
