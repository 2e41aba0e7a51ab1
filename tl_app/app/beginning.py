"""Before the first step: load, check, say, and write down what decides the outcome."""

from __future__ import annotations

from datetime import UTC, datetime

import keras
import tensorflow as tf

from tl_app import environment
from tl_app.backbones.blocks import Backbone
from tl_app.backbones.loading import load_backbone
from tl_app.config import Config
from tl_app.data.side_checks import classes_missing, describe_leaks, leaks
from tl_app.errors import DataError
from tl_app.progress import Reporter
from tl_app.records import (
    SIDES,
    Dataset,
    Preprocessing,
    Split,
)
from tl_app.run import RUN_FORMAT, RunFolder
from tl_app.storage import write_json
from tl_app.training.classifier import dtype_policy
from tl_app.training.decisions import Decisions
from tl_app.training.hardware import Hardware


def load_for(
    config: Config,
    image_size_px: int,
    hardware: Hardware,
    strategy: tf.distribute.Strategy,
    reporter: Reporter,
) -> Backbone:
    keras.utils.set_random_seed(config.seed)
    with strategy.scope(), dtype_policy(hardware.precision):
        return load_backbone(
            config.backbone,
            image_size_px=image_size_px,
            weights=config.weights,
            reporter=reporter,
        )


def write_beginning(
    folder: RunFolder,
    config: Config,
    dataset: Dataset,
    split: Split,
    preprocessing: Preprocessing,
    hardware: Hardware,
    backbone: Backbone,
    command: str,
) -> None:
    write_json(folder.config_file, config.model_dump(mode="json"))
    folder.write_dataset(dataset, preprocessing)
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


def check_sides(dataset: Dataset, split: Split, config: Config) -> None:
    """Every side that the run needs has pictures, and training has every class."""
    needed = SIDES if config.data.test_fraction > 0 else SIDES[:2]
    empty = [side for side in needed if not len(split.indices(side))]
    if empty:
        raise DataError(
            "A side of the split has no pictures.",
            received=f"nothing for {' and '.join(empty)} out of {len(dataset.examples)} pictures",
            allowed="at least one picture a side; three groups a class give every class a place",
            next_step="bring more pictures, or --no-test",
        )
    present = set(dataset.labels[split.indices("train")].tolist())
    missing = [n for i, n in enumerate(dataset.class_names) if i not in present]
    if missing:
        raise DataError(
            "A class has no training picture.",
            received=", ".join(missing[:10]) + (" ..." if len(missing) > 10 else ""),
            allowed="every class in the training part",
            next_step="bring pictures of it, or take the class out",
        )


def say_hardware(hardware: Hardware, reporter: Reporter) -> None:
    problem = environment.gpu_problem()
    if problem is not None:
        reporter.warn(problem)
    reporter.message(f"Device: {hardware.describe()}")


def say_split(dataset: Dataset, split: Split, reporter: Reporter) -> None:
    counts = ", ".join(f"{len(split.indices(side)):,} {side}" for side in SIDES)
    reporter.message(
        f"{len(dataset.examples):,} pictures in {len(dataset.class_names):,} classes: {counts}"
    )
    leaked = describe_leaks(leaks(dataset, split))
    if leaked is not None:
        reporter.warn(leaked)
    for side, names in classes_missing(dataset, split).items():
        reporter.warn(
            f"No picture of {', '.join(names[:5])}{' ...' if len(names) > 5 else ''} is on the "
            f"{side} side; its figures say nothing about them"
        )
