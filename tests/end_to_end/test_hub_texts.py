"""Runs on text encoders of TensorFlow Hub, with MiniLM's lowest layers inside."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.backbones.helpers import write_bert_encoder, write_preprocessor
from tests.end_to_end.test_texts import sentences
from tl_app.backbones.loading import load_encoder
from tl_app.backbones.vocabulary import Pieces
from tl_app.cli.main import main
from tl_app.inputs.wordpiece import WordPiece
from tl_app.progress import SilentReporter
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow

TEXT_OPS = """
import sys
import tensorflow as tf
import tensorflow_text as text

class Encoder(tf.__internal__.tracking.AutoTrackable):
    def __init__(self):
        self.splitter = text.WhitespaceTokenizer()
        self.table = tf.Variable(tf.random.stateless_normal((64, 16), (1, 2)), name="table")
        self.trainable_variables = self.variables = [self.table]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def __call__(self, texts):
        words = self.splitter.tokenize(tf.strings.lower(texts))
        places = tf.strings.to_hash_bucket_fast(words.values, 64)
        rows = words.with_values(tf.gather(self.table, places))
        return tf.math.divide_no_nan(
            tf.reduce_sum(rows, axis=1), tf.cast(words.row_lengths(), tf.float32)[:, None])

tf.saved_model.save(Encoder(), sys.argv[1])
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("hub_texts") / "mail.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label"), *sentences(60)])
    return file


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Arguments of the command line: an encoder and what feeds it."""
    folder = tmp_path_factory.mktemp("hub_encoder")
    real = load_encoder("minilm-l6", reporter=SilentReporter())
    assert isinstance(real.vocabulary, Pieces)
    whole = real.backbone.model
    lowest = keras.Model(whole.input, whole.get_layer("layer_1").output)
    bert = write_bert_encoder(folder / "bert", lowest, 32)
    first = write_preprocessor(folder / "preprocessor", WordPiece(real.vocabulary.pieces, 32), 32)
    return ("--backbone", f"hub:{bert}", "--set", f"preprocessor={first}")


def test_a_run_on_an_encoder_and_its_preprocessor(encoder, table, tmp_path, capfd):
    options = ["--set", "phases.1.epochs=1", "--output", str(tmp_path)]
    code = main(["train", str(table), "--name", "bert", *encoder, *options])
    said = capfd.readouterr()
    assert code == 0, said.err
    assert "the one block" in said.err
    run = RunFolder.open("bert", tmp_path)
    assert run.read_evaluation().headline["accuracy"].value >= 0.8
    assert run.read_config().backbone.startswith("hub:/")
    assert not (run.saved_model / "1" / "NEEDS.txt").exists()
    assert main(["predict", str(run.path), "--text", "It was superb."]) == 0
    assert "praise" in capfd.readouterr().out


def test_operations_of_tensorflow_text_are_brought_without_the_user_knowing(table, tmp_path, capfd):
    pytest.importorskip("tensorflow_text")
    made = [sys.executable, "-c", TEXT_OPS, str(tmp_path / "encoder")]
    subprocess.run(made, check=True, capture_output=True)
    options = ["--backbone", f"hub:{tmp_path / 'encoder'}", "--set", "phases.1.epochs=1"]
    tl_app = [sys.executable, "-m", "tl_app"]
    done = subprocess.run(
        [*tl_app, "train", str(table), "--name", "ops", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = RunFolder.open("ops", tmp_path)
    note = (run.saved_model / "1" / "NEEDS.txt").read_text()
    assert "import tensorflow_text" in note
    assert "TensorFlow Text" in done.stderr
    asked = subprocess.run(
        [*tl_app, "predict", "ops", "--text", "It was superb."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    assert np.isfinite(run.read_predictions("test").probabilities).all()
