from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tl_app.config import Config
from tl_app.errors import ConfigError
from tl_app.records import EpochRecord
from tl_app.training import trackers
from tl_app.training.trackers import (
    MLflow,
    WeightsAndBiases,
    build_trackers,
    require_trackers,
)


def record(epoch: int, **values) -> EpochRecord:
    defaults = {
        "phase": "head",
        "epoch": epoch,
        "train_loss": 0.5,
        "train_accuracy": None,
        "validation_log_loss": 1.0 / (1 + epoch),
        "validation_accuracy": 0.75,
        "learning_rate": 1e-3,
        "seconds": 1.0,
        "is_best": True,
    }
    return EpochRecord(**{**defaults, **values})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_what_was_logged(folder):
    (tracker,) = build_trackers(Config(), folder)
    for step in range(3):
        tracker.log(step, record(step))
    tracker.close()
    events = EventAccumulator(str(folder.tensorboard), size_guidance={"tensors": 0})
    events.Reload()
    assert "train_accuracy" not in events.Tags()["tensors"]
    losses = events.Tensors("validation_log_loss")
    assert [e.step for e in losses] == [0, 1, 2]
    assert [float(tf.make_ndarray(e.tensor_proto)) for e in losses] == pytest.approx(
        [1.0, 0.5, 1 / 3]
    )


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        require_trackers(Config(trackers=("wandb", "mlflow")))
    assert "pip install 'tl_app[wandb,mlflow]'" in str(caught.value)


def test_no_trackers(folder):
    assert build_trackers(Config(trackers=()), folder) == []
    assert not folder.tensorboard.exists()


class FakeMLflow(ModuleType):
    """Knows its runs by number, and writes down what it is asked."""

    class MlflowException(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.calls: list[tuple[str, Any]] = []
        self.runs: list[str] = []

    def set_experiment(self, name):
        self.calls.append(("set_experiment", name))

    def start_run(self, run_id=None, *, run_name=None):
        self.calls.append(("start_run", run_id or run_name))
        if run_id is None:
            run_id = f"id-{len(self.runs)}"
            self.runs.append(run_id)
        elif run_id not in self.runs:
            raise self.MlflowException(f"Run '{run_id}' not found")
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def log_params(self, values):
        self.calls.append(("log_params", values))

    def log_metrics(self, values, *, step):
        self.calls.append(("log_metrics", step))

    def end_run(self):
        self.calls.append(("end_run", None))

    def take(self) -> list[tuple[str, Any]]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def mlflow(monkeypatch) -> FakeMLflow:
    module = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return module


def test_a_resumed_run_goes_on_in_its_own_mlflow_run(folder, mlflow):
    tracker = MLflow(folder, {"seed": 1})
    tracker.log(0, record(0))
    tracker.close()
    assert mlflow.take() == [
        ("set_experiment", "tl_app"),
        ("start_run", "run"),
        ("log_params", {"seed": "1"}),
        ("log_metrics", 0),
        ("end_run", None),
    ]
    # MLflow refuses to change a parameter, which a newer tl_app may write differently.
    tracker = MLflow(folder, {"seed": 2})
    tracker.log(1, record(1))
    tracker.close()
    assert mlflow.take() == [
        ("set_experiment", "tl_app"),
        ("start_run", "id-0"),
        ("log_metrics", 1),
        ("end_run", None),
    ]


def test_an_mlflow_run_that_is_gone_is_begun_anew(folder, mlflow):
    MLflow(folder, {})
    mlflow.runs[0] = "of somebody else"
    for expected in (["id-0", "run"], ["id-1"]):
        mlflow.take()
        MLflow(folder, {})
        assert [what for name, what in mlflow.take() if name == "start_run"] == expected


def test_an_mlflow_run_that_cannot_be_begun_is_not_written_down(folder, mlflow, monkeypatch):
    def down(values):
        raise mlflow.MlflowException("no connection")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "log_params", down)
        with pytest.raises(mlflow.MlflowException):
            MLflow(folder, {})
    assert not folder.mlflow_file.exists()


def test_a_resumed_run_goes_on_in_its_own_run_of_weights_and_biases(folder, monkeypatch):
    begun: list[dict[str, Any]] = []
    logged: list[tuple[dict[str, Any], int]] = []
    run = SimpleNamespace(
        log=lambda values, step: logged.append((values, step)), finish=lambda: None
    )

    def init(**options):
        begun.append(options)
        return run

    module = ModuleType("wandb")
    module.__dict__["init"] = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    for step in range(2):
        tracker = WeightsAndBiases(folder, {"seed": 1})
        tracker.log(step, record(step))
        tracker.close()
    assert [(options["id"], options["resume"]) for options in begun] == [("run", "allow")] * 2
    assert [step for _, step in logged] == [0, 1]
    assert logged[0][0]["phase"] == "head"
    assert logged[0][0]["validation_log_loss"] == 1.0
    assert "train_accuracy" not in logged[0][0]
