from __future__ import annotations

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tl_app.config import Config
from tl_app.errors import ConfigError
from tl_app.records import EpochRecord
from tl_app.training import trackers
from tl_app.training.trackers import build_trackers, require_trackers


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
