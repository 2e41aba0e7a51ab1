"""Memory that ends, compilers that give up, threads that work together and end."""

from __future__ import annotations

import gc
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engines.makers import (
    SIZE,
    largest_difference,
    outputs_of,
    small_model,
    small_pictures,
)
from tl_app.engines import tensorflow_engine
from tl_app.engines.build import build_engine
from tl_app.engines.model_files import PACKED_BYTES, share_out
from tl_app.engines.tensorflow_engine import TensorFlowEngine

CONVERTED = ("litert", "onnxruntime")


class Greedy(keras.layers.Layer):
    """Asks for a petabyte where the batch is larger than `most`.

    Through Python, since TensorFlow's own allocator waits ten seconds for memory to come.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def call(self, x):
        def allocate(values):
            return values + np.zeros(2**50 if len(values) > self.most else 1)[0].astype("f")

        return tf.ensure_shape(tf.numpy_function(allocate, [x], tf.float32), x.shape)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype="float32")


def greedy_model(most: int) -> keras.Model:
    pixels = keras.Input((SIZE, SIZE, 3))
    return keras.Model(pixels, Greedy(most)(pixels))


def test_a_batch_that_is_too_large_is_halved_and_no_picture_lost() -> None:
    engine = build_engine("tensorflow", greedy_model(3), batch_size=8)
    assert "batch 8" in engine.identity
    pictures = small_pictures(11)
    np.testing.assert_array_equal(engine(pictures)[0], pictures)
    assert "batch 2" in engine.identity
    np.testing.assert_array_equal(engine(pictures)[0], pictures)


def test_a_picture_that_is_too_large_ends_it() -> None:
    engine = build_engine("folded", greedy_model(0), batch_size=4)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        engine(small_pictures())


@pytest.mark.parametrize("fold", [True, False])
def test_xla_stays_off_on_a_cpu(fold: bool) -> None:
    """Its convolutions take seventeen times as long there."""
    engine = TensorFlowEngine(small_model(), batch_size=4, fold=fold)
    assert engine._compiled._jit_compile is None
    assert "xla" not in engine.identity
    assert "cpu" in engine.identity


def test_what_xla_cannot_compile_runs_without_it(monkeypatch) -> None:
    monkeypatch.setattr(tensorflow_engine, "runs_on_gpu", lambda model: True)
    plain = small_model()
    engine = build_engine("tensorflow", plain, batch_size=4)
    (answer,) = engine(small_pictures())
    assert "gpu xla" in engine.identity
    assert largest_difference(answer, outputs_of(plain, small_pictures())[0]) <= 1e-5
    engine = build_engine("tensorflow", greedy_model(9), batch_size=4)  # it calls Python
    np.testing.assert_array_equal(engine(small_pictures())[0], small_pictures())
    assert "gpu batch 4" in engine.identity


def engine_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("tl_app-engine")]


@pytest.mark.parametrize("name", CONVERTED)
def test_threads_end_with_their_engine(name) -> None:
    others = set(engine_threads())
    engine = build_engine(name, small_model(), batch_size=4)
    engine(small_pictures(9))
    own = [thread for thread in engine_threads() if thread not in others]
    assert own
    del engine
    gc.collect()
    deadline = time.monotonic() + 10
    while any(thread.is_alive() for thread in own) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.is_alive() for thread in own)


@pytest.mark.parametrize("name", CONVERTED)
def test_several_callers_at_a_time_do_not_disturb_each_other(name) -> None:
    engine = build_engine(name, small_model(), batch_size=4)
    pictures = small_pictures(40)
    expected = engine(pictures)[0]
    answers: list[np.ndarray] = []
    callers = [
        threading.Thread(target=lambda: answers.append(engine(pictures)[0])) for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(answers) == 4
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


def test_a_failing_picture_is_told_and_the_engine_goes_on() -> None:
    engine = build_engine("litert", small_model(), batch_size=4)
    with pytest.raises(ValueError, match="mismatch"):
        engine(np.zeros((9, SIZE + 1, SIZE, 3), np.float32))
    assert len(engine(small_pictures(9))[0]) == 9


@pytest.mark.parametrize(
    ("cores", "n_bytes", "expected"),
    [
        (2, 13_000_000, (2, 1)),
        (64, 13_000_000, (64, 1)),
        (1, PACKED_BYTES * 2, (1, 1)),
        (64, PACKED_BYTES * 2, (1, 64)),
        (64, PACKED_BYTES // 10, (9, 7)),
        (16, PACKED_BYTES // 3, (2, 6)),
    ],
)
def test_interpreters_share_the_memory(cores, n_bytes, expected) -> None:
    n_interpreters, n_threads = share_out(cores, n_bytes)
    assert (n_interpreters, n_threads) == expected
    assert n_interpreters == 1 or n_interpreters * n_bytes <= PACKED_BYTES
    assert n_interpreters * n_threads <= cores
