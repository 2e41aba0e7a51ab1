"""A SavedModel that takes texts: what it says, and that it needs nothing but TensorFlow."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.small_encoder import PIECES, SHAPE, build_encoder, make_texts
from tl_app.app.finished import TrainedRun, tell
from tl_app.backbones.bert import MaskedMean
from tl_app.errors import ConfigError, ExportError, RunError
from tl_app.export.assets import read_facts
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.parity import TextEvidence
from tl_app.export.publish import export_model
from tl_app.export.served_input import served_texts
from tl_app.features.texts import encode_text
from tl_app.inputs.wordpiece import WordPiece
from tl_app.progress import SilentReporter
from tl_app.records import Predictions, TextProcessing
from tl_app.run import RunFolder

CLASS_NAMES = ("bad", "good", "ngày 猫")
PROCESSING = TextProcessing(SHAPE.max_tokens, hashlib.sha256(b"pieces").hexdigest())
ODD = [
    "",
    " \n",
    "It was GOOD.",
    "good " * 500,
    "nul \0 and bell \a",
    "\uff27\uff2f\uff2f\uff24 \xbd \xdf \ufb01 [SEP]",
    "🎉",
]

NOTHING_ELSE = """
import json, sys
import tensorflow as tf
assert not any(name.split(".")[0] in ("tl_app", "tensorflow_text") for name in sys.modules)
model = tf.saved_model.load(sys.argv[1])
texts = tf.constant(json.loads(sys.argv[2]))
answer = model.signatures["serving_default"](texts=texts)
print(json.dumps({
    "labels": [[label.decode() for label in row] for row in answer["labels"].numpy()],
    "probabilities": answer["probabilities"].numpy().tolist(),
}))
"""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """An encoder with a head of random weights that tells texts clearly apart."""
    backbone = build_encoder().model
    head = keras.layers.Dense(
        len(CLASS_NAMES),
        activation="softmax",
        kernel_initializer=keras.initializers.RandomNormal(0.0, 4.0, seed=1),
    )
    return keras.Model(backbone.input, head(MaskedMean(name="pool")(backbone.output)))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [*ODD, *make_texts(70)[0]]


@pytest.fixture(scope="module")
def recorded(model, texts) -> Predictions:
    """Each text alone, without any of the export's code."""
    tokenizer = WordPiece(PIECES, SHAPE.max_tokens)
    rows = [model(tokenizer(tf.constant([text])).to_tensor()).numpy()[0] for text in texts]
    return Predictions(
        paths=tuple(f"table.csv:{i}" for i in range(len(texts))),
        y_true=np.zeros(len(texts), np.int64),
        probabilities=np.stack(rows),
        class_names=CLASS_NAMES,
    )


def export(model, destination: Path, texts, recorded):
    tokenizer = WordPiece(PIECES, SHAPE.max_tokens)
    return export_model(
        model,
        served_texts(PROCESSING, tokenizer),
        CLASS_NAMES,
        destination,
        evidence=TextEvidence(recorded.paths, texts),
        recorded=recorded,
        reporter=SilentReporter(),
    )


@pytest.fixture(scope="module")
def version_folder(tmp_path_factory, model, texts, recorded) -> Path:
    result = export(model, tmp_path_factory.mktemp("served"), texts, recorded)
    assert result.n_examples == len(texts)
    assert 0 < result.largest_difference <= 1e-5
    return result.version_folder


@pytest.fixture(scope="module")
def classifier(version_folder) -> SavedModelClassifier:
    return SavedModelClassifier(version_folder)


def test_probabilities_are_those_of_each_text_alone(classifier, texts, recorded):
    found = classifier.predict_texts(texts, reporter=SilentReporter())
    np.testing.assert_allclose(found, recorded.probabilities, atol=1e-5)
    assert found.max(axis=1).std() > 0.01  # they do differ
    assert classifier.predict_texts([], reporter=SilentReporter()).shape == (0, 3)


def test_half_a_surrogate_pair_is_a_text_like_any_other(classifier):
    found = classifier.predict_texts(["good \ud83d day"], reporter=SilentReporter())
    same = classifier.predict_texts(["good day"], reporter=SilentReporter())
    np.testing.assert_allclose(found, same, atol=1e-6)


def test_it_loads_with_nothing_but_tensorflow(version_folder, texts, recorded):
    asked = [*ODD[1:4], texts[-1]]
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_ELSE, str(version_folder), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=True,
        cwd=version_folder,
    )
    answer = json.loads(done.stdout)
    rows = [recorded.probabilities[texts.index(text)] for text in asked]
    for labels, scores, row in zip(answer["labels"], answer["probabilities"], rows, strict=True):
        assert labels == [CLASS_NAMES[i] for i in np.argsort(-row)]
        np.testing.assert_allclose(scores, np.sort(row)[::-1], atol=1e-5)


def test_signatures(version_folder):
    signatures = tf.saved_model.load(str(version_folder)).signatures
    taken = {
        name: {key: (spec.dtype.name, spec.shape.as_list()) for key, spec in inputs.items()}
        for name, signature in signatures.items()
        for inputs in (signature.structured_input_signature[1],)
    }
    assert taken == {
        "serving_default": {"texts": ("string", [None])},
        "classify": {"inputs": ("string", [None])},
        "probabilities": {"texts": ("string", [None])},
        "features": {"texts": ("string", [None])},
        "predict_tensor": {"tokens": ("int32", [None, None])},
        "class_names": {},
    }


def test_every_text_is_answered(version_folder, texts, model):
    signatures = tf.saved_model.load(str(version_folder)).signatures
    given = tf.constant([encode_text(text) for text in texts])
    top = signatures["serving_default"](texts=given)
    assert set(top["status"].numpy()) == {b"ok"}
    examples = []
    for text in given.numpy():
        example = tf.train.Example()
        example.features.feature["texts"].bytes_list.value.append(text)
        examples.append(example.SerializeToString())
    told = signatures["classify"](inputs=tf.constant(examples))
    assert np.array_equal(told["classes"], top["labels"])
    tokens = WordPiece(PIECES, SHAPE.max_tokens)(given).to_tensor()
    pooled = keras.Model(model.input, model.get_layer("pool").output)(tokens)
    np.testing.assert_allclose(
        signatures["features"](texts=given)["features"], pooled, rtol=1e-4, atol=1e-5
    )


def test_it_says_what_it_reads(version_folder, classifier):
    facts = read_facts(version_folder)
    assert (facts["modality"], facts["preprocessing"]) == ("text", PROCESSING)
    assert classifier.processing == PROCESSING
    with pytest.raises(RunError, match="trained on texts, and cannot be asked about pictures"):
        classifier.predict_files([Path("a.jpg")], reporter=SilentReporter())


def test_texts_are_told_with_what_they_are_and_a_doubtful_first_line_is_warned_of(
    tmp_path, classifier
):
    (tmp_path / "t.csv").write_text("it was good\nit was bad\n")
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    reporter = SilentReporter()
    paths = [tmp_path / "t.csv", tmp_path / "cat.png"]
    predictions, set_aside = tell(classifier, paths, texts=["very good"], reporter=reporter)
    assert predictions.texts == ("it was bad", "very good")
    assert predictions.paths == (f"{tmp_path / 't.csv'}:2", "very good")
    assert [entry.path for entry in set_aside] == [str(tmp_path / "cat.png")]
    (warning,) = reporter.warnings
    assert "'it was good' is not predicted" in warning


def test_a_finished_run_takes_lists_alone(tmp_path):
    run = TrainedRun(RunFolder.create(tmp_path, "r"), None, tmp_path, tmp_path, {})
    with pytest.raises(ConfigError, match="texts takes a list"):
        run.predict(texts="Where is it?")
    with pytest.raises(ConfigError, match="paths takes a list"):
        run.predict("new.jpg")


def test_a_model_of_another_maker_is_told_without_a_guess_at_what_it_reads(tmp_path):
    with pytest.raises(RunError, match="is not beside the model: tl-app export did not write it"):
        read_facts(tmp_path)


def test_another_record_is_refused_and_nothing_is_left(tmp_path, model, texts, recorded):
    changed = recorded.probabilities.copy()
    changed[8, 0] += 2e-5
    wrong = Predictions(recorded.paths, recorded.y_true, changed, CLASS_NAMES)
    with pytest.raises(ExportError, match=r"1 of 77 differ, table\.csv:8 most"):
        export(model, tmp_path / "served", texts, wrong)
    assert list(tmp_path.iterdir()) == []
