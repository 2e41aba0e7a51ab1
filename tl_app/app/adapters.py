"""From a file of low-rank updates and its base to a SavedModel, without the run."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_app.app.materials import load_material
from tl_app.backbones.registry import text_specs
from tl_app.config import Config, Phase
from tl_app.errors import ConfigError
from tl_app.export.parity import TextEvidence
from tl_app.export.publish import ExportResult, export_model
from tl_app.features.extract import FrozenPart
from tl_app.progress import Reporter
from tl_app.records import Predictions
from tl_app.training.classifier import Classifier
from tl_app.training.hardware import choose_hardware
from tl_app.training.lora import load_adapter, read_adapter

SUFFIX = ".safetensors"

SAMPLES = (
    "A short text.",
    "Something longer, as people write it to each other, with a question at its end?",
    "Ümläute, 漢字, عربى and 🙂.",
)
"""Told by the classifier in memory and by its export, which must agree."""


def is_adapter_file(path: Path) -> bool:
    """Whether a path names a file of updates (and no run)."""
    return path.suffix == SUFFIX and path.is_file()


def export_adapter(
    path: Path, destination: Path, *, backbone: str | None = None, reporter: Reporter
) -> ExportResult:
    """Put updates on their base, and publish the classifier below `destination`.

    Args:
        path: `adapters/<phase>.safetensors` of a run on texts.
        destination: holds the versions; made if it is not there.
        backbone: the base; None takes what the file names, if that is in the registry: a file may
            not say what is fetched from elsewhere.
        reporter: is told where the base came from.

    Raises:
        RunError: it is no adapter, or its base is another by now.
        ConfigError: there is no such base.
        WeightsError: the base cannot be had.
        StorageError: the destination cannot be written.
    """
    about = read_adapter(path).about
    known = {spec.name for spec in text_specs()}
    if backbone is None and about.backbone not in known:
        raise ConfigError(
            "Which base do these updates belong to?",
            received=f"{path}: {about.backbone}",
            allowed=f"--backbone with the folder or name of this base, or {', '.join(known)}",
            next_step=f"tl-app export {shlex.quote(str(path))} DEST --backbone kerashub:FOLDER",
        )
    config = Config(
        backbone=backbone or about.backbone,
        head_hidden_units=about.head_hidden_units,
        precision="float32",
        phases=(Phase(name="head", views=0),),
    )
    hardware = choose_hardware(config, one_device=True)
    strategy = hardware.build_strategy()
    material = load_material("text", config, hardware, strategy, reporter)
    with strategy.scope():
        classifier = Classifier(material.backbone, len(about.class_names), config)
    load_adapter(classifier, path)
    model = classifier.probabilities()
    served = material.served()
    told = FrozenPart(model)(served.decode(tf.constant(list(SAMPLES)))[0])
    return export_model(
        model,
        served,
        about.class_names,
        destination,
        evidence=TextEvidence(names=SAMPLES, texts=SAMPLES),
        recorded=Predictions(
            paths=SAMPLES,
            y_true=np.full(len(SAMPLES), -1, np.int64),
            probabilities=told,
            class_names=about.class_names,
        ),
        reporter=reporter,
    )
