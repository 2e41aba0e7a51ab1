"""BERT as built here says what its definition says, however a batch is padded and cut."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.python.platform import tf_logging

from tests.backbones.bert_reference import random_tensors, sentence_vector
from tl_app.backbones.bert import BertShape, MaskedMean, build_bert, load_bert_weights
from tl_app.backbones.blocks import boundary_layers, find_blocks

SHAPE = BertShape(n_layers=3, width=24, n_heads=4, inner_width=48, n_tokens=50, max_tokens=32)
TENSORS = random_tensors(SHAPE)
SENTENCES = st.lists(
    st.lists(st.integers(1, SHAPE.n_tokens - 1), min_size=2, max_size=12), min_size=1, max_size=5
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    built = build_bert(SHAPE)
    load_bert_weights(built, TENSORS)
    return built


def padded(sentences: list[list[int]], length: int) -> np.ndarray:
    return np.array([[*s, *[0] * (length - len(s))] for s in sentences], np.int32)


@settings(max_examples=30, deadline=None)
@given(SENTENCES, st.integers(0, 8))
def test_sentences_are_told_as_the_definition_tells_them(model, sentences, more):
    length = max(map(len, sentences)) + more
    found = MaskedMean()(model(padded(sentences, length), training=False))
    expected = [sentence_vector(TENSORS, SHAPE, sentence) for sentence in sentences]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_padding_stays_zero_through_every_block(model):
    tokens = padded([[5, 6, 7], [8]], 6)
    x = tokens
    for layer in model.layers[1:]:
        x = layer(x, training=True)  # dropout as well
        np.testing.assert_array_equal(np.any(np.asarray(x) != 0, axis=-1), tokens != 0)


def test_nothing_but_padding_is_no_error(model):
    found = MaskedMean()(model(padded([[]], 4), training=False))
    np.testing.assert_array_equal(found, np.zeros((1, SHAPE.width)))


def test_it_can_be_cut_between_any_two_blocks(model):
    names = [layer.name for layer in model.layers[1:]]
    assert boundary_layers(model)[1:] == names
    blocks = find_blocks(model, r"(embedding|layer_\d+)")
    assert [block.name for block in blocks] == ["embedding", "layer_0", "layer_1", "layer_2"]
    tokens = padded([[1, 2, 3], [4]], 5)
    for name in names[:-1]:
        boundary = model.get_layer(name).output
        below, above = keras.Model(model.input, boundary), keras.Model(boundary, model.output)
        np.testing.assert_array_equal(
            above(below(tokens, training=False), training=False), model(tokens, training=False)
        )


def test_a_saved_model_says_the_same(model, tmp_path):
    model.save(tmp_path / "bert.keras")
    again = keras.saving.load_model(tmp_path / "bert.keras", safe_mode=True)
    tokens = padded([[9, 8, 7, 6], [5, 4]], 4)
    np.testing.assert_array_equal(model(tokens), again(tokens))


def test_tensors_that_do_not_fit_are_all_named_and_nothing_is_changed():
    model = build_bert(SHAPE)
    before = [values.copy() for values in model.get_weights()]
    tensors = dict(TENSORS)
    del tensors["encoder.layer.1.output.dense.bias"]
    tensors["encoder.layer.0.attention.self.key.weight"] = np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match=r"output\.dense\.bias is missing") as caught:
        load_bert_weights(model, tensors)
    assert "key.weight has the shape (3, 3), not (24, 24)" in str(caught.value)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_prefix_of_the_whole_model_is_taken_off(model):
    other = build_bert(SHAPE)
    load_bert_weights(other, {f"bert.{name}": values for name, values in TENSORS.items()})
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("traced", [False, True])
def test_recomputing_gives_the_same_gradients_and_no_warnings(model, traced, caplog, monkeypatch):
    """TensorFlow warns, five times a process, where gradients are asked of whole numbers."""
    monkeypatch.setattr(tf_logging, "_log_counter_per_token", {})
    block = model.get_layer("layer_1")
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 5, SHAPE.width)), tf.float32)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(block(x, training=True) ** 2)
        return tape.gradient(loss, [x, *(v.value for v in block.trainable_variables)])

    found = []
    for recompute in (False, True):
        monkeypatch.setattr(block, "recompute", recompute)
        block.seed_generator.state.assign([7, 0])
        found.append((tf.function(gradients) if traced else gradients)())
    assert not caplog.records
    assert any(np.any(values) for values in found[0])
    for kept, again in zip(*found, strict=True):
        np.testing.assert_allclose(kept, again, rtol=1e-4, atol=1e-6)
