"""The fastest engine is taken, and one that says something else never is."""

from __future__ import annotations

import json
import time

import keras
import numpy as np
import pytest

from tests.engines.makers import small_model, small_pictures
from tl_app.engines import choose
from tl_app.engines.base import Engine
from tl_app.engines.build import ENGINES, build_engine
from tl_app.engines.choose import EngineChoice, choose_engine
from tl_app.errors import EngineUnavailable


class Changed:
    """An engine that takes longer, or says something else."""

    def __init__(self, engine: Engine, *, seconds: float = 0.0, change=lambda answer: answer):
        self.name, self.identity = engine.name, engine.identity
        self._engine, self._seconds, self._change = engine, seconds, change

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        time.sleep(self._seconds)
        return self._change(self._engine(pixels))


@pytest.fixture
def changes(monkeypatch) -> dict[str, dict]:
    """What to change of which engine."""
    wanted: dict[str, dict] = {}

    def build(name: str, model: keras.Model, *, batch_size: int) -> Engine:
        engine = build_engine(name, model, batch_size=batch_size)
        return Changed(engine, **wanted[name]) if name in wanted else engine

    monkeypatch.setattr(choose, "build_engine", build)
    return wanted


def pick(names, **values) -> tuple[Engine, EngineChoice]:
    settings = {"batch_size": 4, "budget_seconds": 0.1, **values}
    return choose_engine(small_model(n_outputs=2), small_pictures(), names=names, **settings)


def test_every_engine_is_measured_and_the_choice_is_one_of_them() -> None:
    engine, choice = pick(ENGINES)
    assert engine.name == choice.name
    assert set(choice.images_per_second) == set(ENGINES)
    assert choice.refused == {}
    fastest = max(choice.images_per_second.values())
    assert choice.images_per_second[choice.name] >= 0.95 * fastest


@pytest.mark.parametrize("fast", ["folded", "tensorflow"])
def test_the_fastest_is_taken(changes, fast) -> None:
    slow = "tensorflow" if fast == "folded" else "folded"
    changes[slow] = {"seconds": 0.2}
    for names in ((slow, fast), (fast, slow)):
        engine, choice = pick(names)
        assert engine.name == fast
        assert choice.images_per_second[fast] > choice.images_per_second[slow]
        assert choice.images_per_second[slow] < 4 / 0.2


@pytest.mark.parametrize(("speed", "expected"), [(100.0, "folded"), (90.0, "tensorflow")])
def test_of_equally_fast_ones_the_first_is_taken(monkeypatch, speed, expected) -> None:
    speeds = {"folded": speed, "tensorflow": 103.0}
    monkeypatch.setattr(choose, "_measure", lambda *_: speeds)
    assert pick(("folded", "tensorflow"))[1].name == expected
    assert pick(("tensorflow", "folded"))[1].name == "tensorflow"


def shift_second(answer):
    first, second = answer
    return first, second + 1e-4 * np.abs(second).max()


def one_nan(answer):
    first, second = answer
    broken = first.copy()
    broken[0, 0] = np.nan
    return broken, second


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (shift_second, "output 1 differs by 1.0e-04"),
        (one_nan, "output 0 differs by nan"),
        (lambda answer: answer[:1], "outputs have shapes"),
        (lambda answer: answer[::-1], "outputs have shapes"),
    ],
)
def test_an_engine_that_says_something_else_is_refused(changes, change, reason) -> None:
    changes["litert"] = {"change": change}
    engine, choice = pick(("litert", "folded"))
    assert engine.name == choice.name == "folded"
    assert reason in choice.refused["litert"]
    assert "litert" not in choice.images_per_second
    with pytest.raises(EngineUnavailable, match="does not say what Keras says") as caught:
        pick(("litert",))
    assert reason in caught.value.problem


def test_a_single_engine_is_checked_but_not_measured(changes) -> None:
    changes["folded"] = {"seconds": 0.3}
    started = time.perf_counter()
    engine, choice = pick(("folded",), budget_seconds=60.0)
    assert time.perf_counter() - started < 10
    assert engine.name == "folded"
    assert choice == EngineChoice("folded")
    assert choice.describe() == "folded"


def test_where_all_are_refused_all_reasons_are_told(changes) -> None:
    changes["folded"] = changes["tensorflow"] = {"change": lambda answer: answer[:1]}
    with pytest.raises(EngineUnavailable, match="No engine can run this model") as caught:
        pick(("folded", "tensorflow", "liter"))
    for words in ("engine folded", "engine tensorflow", "no engine of this name"):
        assert words in str(caught.value).replace("There is no", "no")


def test_the_plain_graph_is_allowed_a_rounding_that_a_model_makes_much_of(changes) -> None:
    changes["tensorflow"] = changes["folded"] = {"change": shift_second}
    choice = pick(("folded", "tensorflow"))[1]
    assert choice.name == "tensorflow"
    assert set(choice.refused) == {"folded"}


def test_an_engine_that_fails_is_refused_with_what_it_said(changes) -> None:
    def fail(answer):
        raise RuntimeError("Node number 3 failed to invoke.\nand more")

    changes["litert"] = {"change": fail}
    choice = pick(("litert", "folded"))[1]
    assert choice.name == "folded"
    assert "Node number 3 failed to invoke." in choice.refused["litert"]


def test_half_precision_runs_in_tensorflow_only() -> None:
    model = small_model(dtype="mixed_bfloat16")
    engine, choice = choose_engine(
        model, small_pictures(), names=("litert", "tensorflow"), batch_size=4, budget_seconds=0.0
    )
    assert engine.name == "tensorflow"
    assert "bfloat16" in choice.refused["litert"]
    assert engine(small_pictures())[0].dtype == np.float32


def test_a_choice_survives_the_run_folder_and_reads_well() -> None:
    choice = EngineChoice(
        "litert", {"folded": 147.2, "litert": 178.4, "tensorflow": 9.75}, {"onnxruntime": "It is."}
    )
    again = EngineChoice.from_dict(json.loads(json.dumps(choice.to_dict())))
    assert again == choice
    assert choice.describe() == "litert (178 images/s; folded 147; tensorflow 9.8)"
