"""Rows of requests that come together are computed together, and each gets its own answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.serving.servers import Engine, classifier, publish_saved_model
from tl_app.export.classifier import SavedModelClassifier
from tl_app.serving import loading, trial
from tl_app.serving.loading import build_loader
from tl_app.serving.rest import RequestError
from tl_app.serving.saved_model import (
    BATCH_ROWS,
    N_CALLERS,
    BatchedServable,
    SavedModelServable,
    load_saved_model,
)
from tl_app.serving.signatures import Tensors

N_ASKED = 400


class Adder(tf.Module):
    """Adds a number, tells how many rows it was given, and refuses negative ones."""

    def __init__(self, number: float) -> None:
        self.number = tf.Variable(number)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, "x")])
    def add(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.debugging.assert_non_negative(x, "No negative number.")
        return {"sum": x + self.number, "n": tf.fill(tf.shape(x), tf.shape(x)[0])}


def adder(number: float, folder: Path) -> BatchedServable:
    module = Adder(number)
    tf.saved_model.save(module, str(folder), signatures={"add": module.add})
    loaded = tf.saved_model.load(str(folder))
    classifier: Any = SimpleNamespace(
        modality="text", processing=None, signatures=loaded.signatures, loaded=loaded
    )
    return BatchedServable(classifier, 0)


def test_two_models_never_answer_for_each_other(tmp_path):
    models = [adder(1000.0 * n, tmp_path / str(n)) for n in (1, 2, 3)]

    def ask(i: int) -> tuple[Tensors, float]:
        wanted = 1000.0 * (1 + i % 3) + i % 7
        return models[i % 3].run("add", {"x": np.array([i % 7], np.float32)}), wanted

    with ThreadPoolExecutor(N_CALLERS) as threads:
        told = list(threads.map(ask, range(3 * N_ASKED)))
    assert [float(answer["sum"][0]) for answer, _ in told] == [wanted for _, wanted in told]
    sizes = {int(answer["n"][0]) for answer, _ in told}
    assert max(sizes) > 1, "nothing was ever computed together"
    assert max(sizes) <= BATCH_ROWS


def test_what_one_asks_wrongly_harms_no_other(tmp_path):
    model = adder(1.0, tmp_path)

    def ask(i: int) -> float:
        row = np.array([-1.0 if i % 5 == 0 else i], np.float32)
        try:
            return float(model.run("add", {"x": row})["sum"][0])
        except RequestError as error:
            return -error.status

    with ThreadPoolExecutor(N_CALLERS) as threads:
        told = list(threads.map(ask, range(N_ASKED)))
    assert told == [-400 if i % 5 == 0 else i + 1.0 for i in range(N_ASKED)]


def test_rows_of_more_than_a_batch_come_in_their_order(tmp_path):
    model = adder(1.0, tmp_path)
    rows = np.arange(5.0 * BATCH_ROWS + 3, dtype=np.float32)
    assert model.run("add", {"x": rows})["sum"].tolist() == (rows + 1).tolist()
    assert len(model.run("add", {"x": rows[:0]})["sum"]) == 0


def test_pictures_are_told_as_one_by_one(exported: Path, pictures, offline):
    plain, batched = load_saved_model(exported / "full", 10**7)
    assert (type(plain), type(batched)) == (SavedModelServable, BatchedServable)
    asked = [*pictures, b"", pictures[0][:50]] * 4

    def ask(data: bytes) -> Tensors:
        return batched.run("probabilities", {batched.input_name: [data]})

    with ThreadPoolExecutor(N_CALLERS) as threads:
        told = list(threads.map(ask, asked))
    n = len(pictures)
    for i, answer in enumerate(told):
        place = i % (n + 2)
        if place < n:
            assert answer["status"] == [b"ok"]
            np.testing.assert_allclose(answer["probabilities"][0], offline[place], atol=1e-5)
        else:
            assert answer["status"] != [b"ok"]
    names = batched.run("class_names", {})["class_names"]
    assert names == plain.run("class_names", {})["class_names"]
    classifier = SavedModelClassifier(exported / "full")
    assert [name.decode() for name in names] == list(classifier.class_names)


def slow(name: str, seconds: float, n_callers: int | None = None) -> Engine:
    engine = Engine(name, seconds)
    engine.engine, engine.n_callers = name, n_callers
    return engine


def test_what_answers_more_a_second_is_taken_and_of_equals_the_simpler(monkeypatch):
    monkeypatch.setattr(trial, "N_TURNS", 3)
    monkeypatch.setattr(loading, "usable_cores", lambda: 2)
    alone = slow("alone", 0.004)
    assert loading._fastest([alone, slow("in batches", 0.016, 16)]).engine == "in batches"
    assert loading._fastest([alone, slow("as fast", 0.004)]) is alone
    assert loading._fastest([alone, slow("slower", 0.2, 16)]) is alone


@pytest.mark.slow
def test_with_a_gpu_all_engines_are_tried(tmp_path, monkeypatch, caplog):
    folder = publish_saved_model(classifier(), tmp_path)
    monkeypatch.setattr(loading, "has_gpu", lambda: True)
    caplog.set_level("INFO", "tl_app.serving")
    engine = build_loader("auto")(folder).engine
    assert engine in ("savedmodel", "savedmodel in batches")
    assert "answers a second: savedmodel " in caplog.text
