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
from tl_app.data.listing import counted
from tl_app.data.side_checks import classes_missing, describe_leaks, leaks
from tl_app.data.wording import WORDINGS
from tl_app.errors import DataError
from tl_app.progress import Reporter
from tl_app.records import (
    SIDES,
    AnyProcessing,
    Dataset,
    Split,
)
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


def check_sides(dataset: Dataset[Any], split: Split, config: Config) -> None:
    """Every side that the run needs has examples, and training has every class."""
    wording = WORDINGS[dataset.modality]
    needed = SIDES if config.data.test_fraction > 0 else SIDES[:2]
    empty = [side for side in needed if not len(split.indices(side))]
    if empty:
        raise DataError(
            f"A side of the split has no {wording.nouns}.",
            received=f"nothing for {' and '.join(empty)} out of "
            f"{counted(len(dataset.examples), wording.noun)}",
            allowed=f"at least one {wording.noun} a side; three groups a class give every class "
            "a place",
            next_step=f"bring more {wording.nouns}, or --no-test",
        )
    present = set(dataset.labels[split.indices("train")].tolist())
    missing = [n for i, n in enumerate(dataset.class_names) if i not in present]
    if missing:
        raise DataError(
            f"A class has no training {wording.noun}.",
            received=", ".join(missing[:10]) + (" ..." if len(missing) > 10 else ""),
            allowed="every class in the training part",
            next_step=f"bring {wording.nouns} of it, or take the class out",
        )


def say_hardware(hardware: Hardware, reporter: Reporter) -> None:
    problem = environment.gpu_problem()
    if problem is not None:
        reporter.warn(problem)
    reporter.message(f"Device: {hardware.describe()}")


def say_split(dataset: Dataset[Any], split: Split, reporter: Reporter) -> None:
    wording = WORDINGS[dataset.modality]
    counts = ", ".join(f"{len(split.indices(side)):,} {side}" for side in SIDES)
    reporter.message(
        f"{counted(len(dataset.examples), wording.noun)} in {len(dataset.class_names):,} "
        f"classes: {counts}"
    )
    leaked = describe_leaks(leaks(dataset, split), wording)
    if leaked is not None:
        reporter.warn(leaked)
    for side, names in classes_missing(dataset, split).items():
        reporter.warn(
            f"No {wording.noun} of {', '.join(names[:5])}{' ...' if len(names) > 5 else ''} is "
            f"on the {side} side; its figures say nothing about them"
        )
