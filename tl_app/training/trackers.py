"""Where learning curves go besides the run's own history."""

from __future__ import annotations

import importlib.util
import math
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from tl_app.config import Config
from tl_app.errors import ConfigError, StorageError
from tl_app.records import EpochRecord
from tl_app.run import RunFolder
from tl_app.storage import read_json, write_json

METRICS = (
    "train_loss",
    "train_accuracy",
    "validation_log_loss",
    "validation_accuracy",
    "learning_rate",
)


class Tracker(Protocol):
    """Is told of every epoch."""

    def log(self, step: int, record: EpochRecord) -> None:
        """`step` counts epochs over all phases, from 0."""

    def close(self) -> None:
        """Write out what is pending."""


def _metrics(record: EpochRecord) -> dict[str, float]:
    values = asdict(record)
    return {
        name: float(values[name])
        for name in METRICS
        if values[name] is not None and math.isfinite(values[name])
    }


class TensorBoard:
    """Event files below the run; `tensorboard --logdir models` shows all runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._full_disk():
            self._writer = tf.summary.create_file_writer(str(folder))

    def log(self, step: int, record: EpochRecord) -> None:
        with self._full_disk(), self._writer.as_default():
            for name, value in _metrics(record).items():
                tf.summary.scalar(name, value, step=step)
            self._writer.flush()

    @contextmanager
    def _full_disk(self) -> Iterator[None]:
        """TensorFlow reports a full disk as it reports a full GPU, which must not be mixed up."""
        try:
            yield
        except (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError) as error:
            raise StorageError(
                "The learning curves cannot be written: the disk is full or the folder closed.",
                received=str(self._folder),
                allowed="free space, in a folder that this user may write",
            ) from error

    def close(self) -> None:
        self._writer.close()
        # TensorFlow puts the machine's name into the file's; a run names no machine.
        host = f".{socket.gethostname()}."
        for path in self._folder.glob(f"events.out.tfevents.*{host}*"):
            path.rename(path.with_name(path.name.replace(host, ".", 1)))


class WeightsAndBiases:
    """A run of Weights & Biases, of the same name; a resumed one goes on."""

    def __init__(self, folder: RunFolder, config: Mapping[str, Any]) -> None:
        import wandb

        self._run = wandb.init(
            project="tl_app",
            id=folder.name,
            name=folder.name,
            dir=str(folder.path),
            config=dict(config),
            resume="allow",
        )

    def log(self, step: int, record: EpochRecord) -> None:
        self._run.log({**_metrics(record), "phase": record.phase}, step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run of MLflow, where MLFLOW_TRACKING_URI says; a resumed one goes on."""

    def __init__(self, folder: RunFolder, config: Mapping[str, Any]) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment("tl_app")
        if folder.mlflow_file.exists() and self._goes_on(read_json(folder.mlflow_file)["run_id"]):
            return
        run = mlflow.start_run(run_name=folder.name)
        mlflow.log_params({key: str(value)[:500] for key, value in config.items()})
        write_json(folder.mlflow_file, {"run_id": run.info.run_id})

    def _goes_on(self, run_id: str) -> bool:
        try:
            self._mlflow.start_run(run_id=run_id)
        except self._mlflow.MlflowException:
            # Deleted meanwhile, or MLFLOW_TRACKING_URI names another place now.
            return False
        return True

    def log(self, step: int, record: EpochRecord) -> None:
        self._mlflow.log_metrics(_metrics(record), step=step)

    def close(self) -> None:
        self._mlflow.end_run()


def require_trackers(config: Config) -> None:
    """
    Raises:
        ConfigError: a tracker of the configuration is not installed.
    """
    missing = [name for name in config.trackers if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"The tracker {' and '.join(repr(name) for name in missing)} is not installed.",
            received=f"trackers: {', '.join(config.trackers)}",
            allowed="tensorboard, or an extra",
            next_step=f"pip install 'tl_app[{','.join(missing)}]'",
        )


def build_trackers(config: Config, folder: RunFolder) -> list[Tracker]:
    """The trackers that the configuration names.

    Raises:
        ConfigError: one of them is not installed.
        StorageError: the disk is full.
    """
    require_trackers(config)
    values = config.model_dump(mode="json")
    builders: dict[str, Callable[[], Tracker]] = {
        "tensorboard": lambda: TensorBoard(folder.tensorboard),
        "wandb": lambda: WeightsAndBiases(folder, values),
        "mlflow": lambda: MLflow(folder, values),
    }
    return [builders[name]() for name in config.trackers]
