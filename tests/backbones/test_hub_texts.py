"""Text encoders of TensorFlow Hub: both kinds, as SavedModels that the test builds."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.helpers import (
    write_bert_encoder,
    write_feature_vector,
    write_preprocessor,
    write_string_encoder,
)
from tests.training.small_encoder import PIECES, SHAPE, build_encoder
from tl_app.backbones.bert import MaskedMean
from tl_app.backbones.blocks import set_trainable
from tl_app.backbones.hub_texts import needed_packages
from tl_app.backbones.loading import load_encoder
from tl_app.backbones.vocabulary import Pieces
from tl_app.errors import ConfigError, WeightsError
from tl_app.inputs.wordpiece import WordPiece

TEXTS = tf.constant(["It was good.", "bad day", "", "very very very days days."])


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build_encoder().model


@pytest.fixture(scope="module")
def tokenizer() -> WordPiece:
    return WordPiece(PIECES, 32)


@pytest.fixture(scope="module", params=["strings", "bert"])
def handles(request, tmp_path_factory, model, tokenizer) -> tuple[str, str | None]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "strings":
        return f"hub:{write_string_encoder(folder / 'encoder', model, tokenizer)}", None
    return (
        f"hub:{write_bert_encoder(folder / 'encoder', model)}",
        str(write_preprocessor(folder / "preprocessor", tokenizer)),
    )


@pytest.fixture
def loaded(handles, reporter):
    name, preprocessor = handles
    return load_encoder(name, preprocessor=preprocessor, reporter=reporter)


def test_vectors_are_those_of_the_model_inside(loaded, model, tokenizer):
    expected = MaskedMean()(model(tokenizer(TEXTS).to_tensor(), training=False))
    np.testing.assert_allclose(loaded.backbone.model(TEXTS), expected, atol=1e-6)
    assert loaded.vocabulary is None
    assert loaded.needs == ()
    assert len(loaded.backbone.blocks) == 1
    assert loaded.backbone.model.output_shape == (None, SHAPE.width)
    assert loaded.backbone.model.trainable_variables == []


def test_it_trains_and_comes_back_from_a_keras_file(loaded, tmp_path):
    model = loaded.backbone.model
    set_trainable(loaded.backbone, "all")
    assert model.trainable_variables
    before = model(TEXTS).numpy()
    optimizer = keras.optimizers.Adam(1e-2)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(TEXTS, training=True)[:, 0])
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        pairs = zip(gradients, model.trainable_variables, strict=True)
        optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
    after = model(TEXTS).numpy()
    assert np.abs(after - before).max() > 1e-3
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(TEXTS), after, atol=1e-6)
    module = tf.Module()
    module.model = again
    module.serve = tf.function(
        lambda texts: {"vectors": again(texts, training=False)},
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.serve)
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    np.testing.assert_allclose(served(texts=TEXTS)["vectors"], after, atol=1e-6)


@pytest.mark.slow
def test_the_real_weights_say_the_same_in_a_saved_model(tmp_path, reporter):
    real = load_encoder("minilm-l6", reporter=reporter)
    assert isinstance(real.vocabulary, Pieces)
    whole = real.backbone.model
    lowest = keras.Model(whole.input, whole.get_layer("layer_1").output)
    words = WordPiece(real.vocabulary.pieces, 32)
    texts = tf.constant(["A good film.", "I did not like it at all, to be honest."])
    expected = MaskedMean()(lowest(words(texts).to_tensor(), training=False))
    strings = write_string_encoder(tmp_path / "strings", lowest, words)
    bert = write_bert_encoder(tmp_path / "bert", lowest)
    first = write_preprocessor(tmp_path / "preprocessor", words)
    for name, preprocessor in ((strings, None), (bert, str(first))):
        loaded = load_encoder(f"hub:{name}", preprocessor=preprocessor, reporter=reporter)
        np.testing.assert_allclose(loaded.backbone.model(texts), expected, atol=1e-5)


def test_what_does_not_fit_is_told(tmp_path, model, reporter):
    bert = write_bert_encoder(tmp_path / "bert", model)
    with pytest.raises(WeightsError, match="does not take texts by itself") as caught:
        load_encoder(f"hub:{bert}", reporter=reporter)
    assert "preprocessor" in str(caught.value.next_step)
    pictures = write_feature_vector(tmp_path / "pictures")
    with pytest.raises(WeightsError, match="does not take texts"):
        load_encoder(f"hub:{pictures}", reporter=reporter)
    with pytest.raises(WeightsError, match="nothing here"):
        load_encoder(f"hub:{tmp_path / 'gone'}", reporter=reporter)
    with pytest.raises(ConfigError, match="its own tokenizer"):
        load_encoder("minilm-l6", preprocessor=str(bert), reporter=reporter)


def test_operations_of_tensorflow_text_are_told_of(tmp_path):
    """By name: the package itself need not be here."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = SavedModel()
    graph = content.meta_graphs.add().graph_def
    graph.node.add(name="a", op="Identity")
    (tmp_path / "saved_model.pb").write_bytes(content.SerializeToString())
    assert needed_packages([tmp_path]) == ()
    graph.library.function.add().node_def.add(name="b", op="WordpieceTokenizeWithOffsets")
    (tmp_path / "saved_model.pb").write_bytes(content.SerializeToString())
    assert needed_packages([tmp_path]) == ("tensorflow_text",)
    Path(tmp_path / "saved_model.pb").write_bytes(b"\xff\xff not a model")
    with pytest.raises(WeightsError, match="cannot be read"):
        needed_packages([tmp_path])
