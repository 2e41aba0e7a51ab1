"""Before the first step: load, check, say, and write down what decides the outcome."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import keras
import tensorflow as tf

from tl_app import environment
from tl_app.backbones.blocks import Backbone
from tl_app.backbones.policy import dtype_policy
from tl_app.config import Config
from tl_app.progress import Reporter
from tl_app.records import AnyProcessing, Dataset, Split
from tl_app.run import RUN_FORMAT, RunFolder
from tl_app.storage import write_json
from tl_app.training.decisions import Decisions
from tl_app.training.hardware import Hardware

T = TypeVar("T")


def load_for(
    load: Callable[[], T], seed: int, hardware: Hardware, strategy: tf.distribute.Strategy
) -> T:
    """What `load` builds, on the run's devices and in its number type."""
    keras.utils.set_random_seed(seed)
    with strategy.scope(), dtype_policy(hardware.precision):
        return load()


def write_beginning(
    folder: RunFolder,
    config: Config,
    dataset: Dataset[Any],
    split: Split,
    processing: AnyProcessing,
    hardware: Hardware,
    backbone: Backbone,
    command: str,
) -> None:
    write_json(folder.config_file, config.model_dump(mode="json"))
    folder.write_dataset(dataset, processing)
    write_json(folder.split_file, split.to_dict())
    write_json(folder.environment_file, environment.describe())
    decisions = Decisions(folder)
    decisions.record("hardware", hardware.to_dict())
    decisions.record(
        "backbone",
        {
            "name": backbone.spec.name,
            # Without its folder, which may name a user.
            "weights_file": None if backbone.weights_file is None else backbone.weights_file.name,
            "weights_sha256": backbone.weights_sha256,
        },
    )
    # Last: a folder with run.json can be resumed.
    write_json(
        folder.info_file,
        {
            "format": RUN_FORMAT,
            "status": "training",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "seconds": {},
        },
    )


def say_hardware(hardware: Hardware, reporter: Reporter) -> None:
    problem = environment.gpu_problem()
    if problem is not None:
        reporter.warn(problem)
    reporter.message(f"Device: {hardware.describe()}")
