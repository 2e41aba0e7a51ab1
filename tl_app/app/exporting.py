"""A run's SavedModel: written from its Keras model, or copied where the run has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_app.app.finished import finished_run
from tl_app.app.materials import Material, load_material
from tl_app.app.picture_material import picture_evidence
from tl_app.app.text_material import text_evidence
from tl_app.engines.fold import fold_batch_normalization
from tl_app.export.parity import Evidence
from tl_app.export.publish import ExportResult, export_model, publish_copy
from tl_app.progress import Reporter
from tl_app.records import Dataset, Preprocessing
from tl_app.run import RunFolder
from tl_app.training.classifier import load_model
from tl_app.training.hardware import choose_hardware


def export_trained(
    folder: RunFolder,
    served: keras.Model,
    material: Material,
    destination: Path,
    reporter: Reporter,
) -> ExportResult:
    """Write `served`, and hold it to what the run recorded of its evaluated side.

    Args:
        folder: of the run.
        served: its classifier, which may be folded.
        material: how its examples become the classifier's input.
        destination: holds the versions; made if it is not there.
        reporter: shows progress.

    Raises:
        ExportError, DataError, StorageError: as in `publish.export_model`.
    """
    dataset, split = folder.read_dataset(), folder.read_split()
    side = split.evaluated_side
    return export_model(
        served,
        material.served(),
        dataset.class_names,
        destination,
        evidence=material.evidence(dataset, split.indices(side)),
        recorded=folder.read_predictions(side),
        reporter=reporter,
    )


def export_finished(folder: RunFolder, destination: Path, reporter: Reporter) -> ExportResult:
    """Publish the SavedModel of a finished run, which is made where it was trained without.

    Raises:
        RunError: it is not finished.
        WeightsError: the backbone, whose tokenizer or decoder belongs to it, cannot be had.
        ExportError, DataError, StorageError: as in `publish.export_model`.
    """
    exported = finished_run(folder).saved_model
    if exported is not None:
        dataset, split = folder.read_dataset(), folder.read_split()
        side = split.evaluated_side
        return publish_copy(
            exported,
            destination,
            evidence=_evidence(folder, dataset, split.indices(side)),
            recorded=folder.read_predictions(side),
            reporter=reporter,
        )
    # Any machine will do, not only one with the devices that the run had.
    anywhere = {"precision": "float32", "devices": "auto"}
    config = folder.read_config().model_copy(update=anywhere)
    hardware = choose_hardware(config, one_device=True)
    material = load_material(
        folder.read_dataset().modality,
        config,
        hardware,
        hardware.build_strategy(),
        reporter,
        processing=folder.read_processing(),
    )
    model = fold_batch_normalization(load_model(folder.keras_model))
    return export_trained(folder, model, material, destination, reporter)


def _evidence(folder: RunFolder, dataset: Dataset[Any], rows: np.ndarray) -> Evidence:
    processing = folder.read_processing()
    if isinstance(processing, Preprocessing):
        return picture_evidence(dataset, rows, processing)
    return text_evidence(dataset, rows)
