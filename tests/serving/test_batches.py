"""Rows of requests that come together are computed together, and each gets its own answer."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.serving.servers import Engine, classifier, publish_saved_model, publish_small
from tl_app.environment import usable_cores
from tl_app.errors import RunError
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
from tl_app.serving.signatures import DEFAULT, Tensors, joined
from tl_app.serving.small import SmallServable
from tl_app.serving.workers import _parts

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
    tf.saved_model.save(module, str(folder), signatures={DEFAULT: module.add})
    loaded = tf.saved_model.load(str(folder))
    classifier: Any = SimpleNamespace(
        modality="text", processing=None, signatures=loaded.signatures, loaded=loaded
    )
    return BatchedServable(classifier, 0)


def test_two_models_never_answer_for_each_other(tmp_path):
    models = [adder(1000.0 * n, tmp_path / str(n)) for n in (1, 2, 3)]

    def ask(i: int) -> tuple[Tensors, float]:
        wanted = 1000.0 * (1 + i % 3) + i % 7
        return models[i % 3].run(DEFAULT, {"x": np.array([i % 7], np.float32)}), wanted

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
            return float(model.run(DEFAULT, {"x": row})["sum"][0])
        except RequestError as error:
            return -error.status

    with ThreadPoolExecutor(N_CALLERS) as threads:
        told = list(threads.map(ask, range(N_ASKED)))
    assert told == [-400 if i % 5 == 0 else i + 1.0 for i in range(N_ASKED)]


def test_rows_of_more_than_a_batch_come_in_their_order(tmp_path):
    model = adder(1.0, tmp_path)
    rows = np.arange(5.0 * BATCH_ROWS + 3, dtype=np.float32)
    parts = _parts(model, {"x": rows}, len(rows))
    with ThreadPoolExecutor(N_CALLERS) as threads:
        told = joined(list(threads.map(lambda part: model.run(DEFAULT, part), parts)))
    assert told["sum"].tolist() == (rows + 1).tolist()
    assert told["n"].max() == BATCH_ROWS
    # Whoever asks for more at a time, or for nothing, is not batched.
    assert set(model.run(DEFAULT, {"x": rows})["n"]) == {len(rows)}
    assert len(model.run(DEFAULT, {"x": rows[:0]})["sum"]) == 0


def test_what_is_not_batched_comes_no_more_than_one_a_core(tmp_path, monkeypatch):
    model = adder(1.0, tmp_path)
    together = most = 0
    lock = threading.Lock()

    def plainly(servable: SavedModelServable, signature: str, tensors: Any) -> Any:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.01)
        with lock:
            together -= 1
        return {"sum": tensors["x"]}

    monkeypatch.setattr(SavedModelServable, "_answer", plainly)
    rows = np.zeros(BATCH_ROWS + 1, np.float32)
    with ThreadPoolExecutor(N_CALLERS) as threads:
        list(threads.map(lambda _: model.run(DEFAULT, {"x": rows}), range(40)))
    assert 1 <= most <= usable_cores()


def test_pictures_are_told_as_one_by_one(exported: Path, pictures, offline):
    plain, batched = load_saved_model(exported / "full", 10**7)
    assert (type(plain), type(batched)) == (SavedModelServable, BatchedServable)
    asked = [*pictures, b"", pictures[0][:50]] * 4

    def ask(data: bytes) -> Tensors:
        return batched.run(DEFAULT, {batched.input_name: [data]})

    with ThreadPoolExecutor(N_CALLERS) as threads:
        told = list(threads.map(ask, asked))
    n = len(pictures)
    for i, answer in enumerate(told):
        place = i % (n + 2)
        if place < n:
            assert answer["status"] == [b"ok"]
            best = -np.sort(-offline[place])[: answer["probabilities"].shape[1]]
            np.testing.assert_allclose(answer["probabilities"][0], best, atol=1e-5)
        else:
            assert answer["status"] != [b"ok"]
    names = batched.run("class_names", {})["class_names"]
    assert names == plain.run("class_names", {})["class_names"]
    classifier = SavedModelClassifier(exported / "full")
    assert [name.decode() for name in names] == list(classifier.class_names)


def named(name: str) -> Engine:
    engine = Engine(name)
    engine.engine = name
    return engine


class Broken(Engine):
    engine = "broken"

    def run(self, signature: str, inputs: Tensors) -> Tensors:
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")


@pytest.mark.parametrize(
    ("rates", "taken"),
    [
        ([[100, 200]], "second"),
        ([[100, 105], [100, 105], [100, 105]], "first"),  # of equals the simpler
        ([[100, 10], [100, 120], [100, 130]], "second"),  # a slow turn decides nothing
        ([[100, 300], [100, 90], [100, 80]], "first"),  # nor does a fast one
        ([[100, np.nan]], "first"),
        ([[np.nan, 1]], "second"),
        ([[100, 120, 150]], "third"),
        ([[100, 150, 155]], "second"),
    ],
)
def test_what_answers_more_a_second_is_taken_and_of_equals_the_simpler(rates, taken, monkeypatch):
    monkeypatch.setattr(trial, "rows_per_second", lambda servables, n_threads: np.array(rates))
    servables = [named(name) for name in ("first", "second", "third")[: len(rates[0])]]
    assert loading._fastest(servables).engine == taken


@pytest.mark.parametrize(("n_callers", "n_at_once"), [(None, 3), (8, 8)])
def test_each_is_asked_by_as_many_as_it_takes(n_callers, n_at_once, monkeypatch):
    monkeypatch.setattr(trial, "N_ROWS", 2 * n_at_once)
    engine = named("engine")
    engine.n_callers = n_callers
    engine.together = threading.Barrier(n_at_once)  # opens for so many, and for no fewer
    rates = trial.rows_per_second([engine], 3)
    assert rates.shape[1] == 1
    assert np.isfinite(rates).all()


def test_an_engine_that_fails_is_not_taken(monkeypatch, caplog):
    monkeypatch.setattr(trial, "N_TURNS", 1)
    works = named("works")
    assert loading._fastest([Broken(), works]) is works
    assert loading._fastest([works, Broken()]) is works
    assert "broken cannot answer" in caplog.text
    with pytest.raises(RunError, match="Every engine fails"):
        loading._fastest([Broken(), Broken()])


def test_the_pictures_of_the_trial_are_usable(exported: Path):
    for max_pixels in (25_000_000, 10_000, 1):
        servable = SmallServable(exported / "light" / "1", "litert", max_pixels)
        pictures = trial.rows_for(servable)
        told = servable.run(DEFAULT, {servable.input_name: pictures})
        assert set(told["status"]) == {b"ok"}


@pytest.mark.slow
def test_with_a_gpu_all_engines_are_tried_and_later_versions_are_not(tmp_path, monkeypatch, caplog):
    model = classifier()
    folder = publish_small(model, tmp_path, "litert")
    publish_saved_model(model, tmp_path / "full")
    shutil.copytree(tmp_path / "full" / "1", folder, dirs_exist_ok=True)
    shutil.copytree(folder, tmp_path / "2")
    caplog.set_level("INFO", "tl_app.serving")
    load = build_loader("auto")
    assert load(folder).engine == "litert", "without a GPU TensorFlow is not even loaded"
    assert "answers a second" not in caplog.text
    monkeypatch.setattr(loading, "has_gpu", lambda: True)
    first = load(folder)
    for engine in ("litert", "savedmodel", "savedmodel in batches"):
        assert f"{engine} " in caplog.text.partition("answers a second: ")[2]
    n_tried = caplog.text.count("answers a second")
    assert load(tmp_path / "2").engine == first.engine
    assert caplog.text.count("answers a second") == n_tried
