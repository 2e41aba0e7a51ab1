"""A run's model on its way out: as a SavedModel, and in small formats."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_app.app.finished import finished_run
from tl_app.app.materials import Material, load_material
from tl_app.app.picture_material import picture_evidence
from tl_app.app.text_material import text_evidence
from tl_app.engines.fold import fold_batch_normalization
from tl_app.engines.litert_engine import Precision, to_litert
from tl_app.engines.onnxruntime_engine import to_onnx
from tl_app.errors import ConfigError, DataError, UnusablePicture
from tl_app.export.parity import Evidence
from tl_app.export.publish import ExportResult, export_model, export_small, publish_copy
from tl_app.export.small_export import MAX_ACCURACY_DROP, SmallExport
from tl_app.inputs.ahead import MAX_THREADS, run_ahead
from tl_app.inputs.files import read_encoded
from tl_app.inputs.light import preprocess
from tl_app.progress import Reporter
from tl_app.records import Dataset, Preprocessing, Split
from tl_app.run import RunFolder
from tl_app.training.classifier import load_model
from tl_app.training.hardware import choose_hardware

SAVED_MODEL = "savedmodel"
FORMATS = (SAVED_MODEL, "litert", "onnx")

N_CALIBRATION = 200
"""Pictures by which int8 learns the ranges of its numbers."""


def export_trained(
    folder: RunFolder,
    served: keras.Model,
    material: Material,
    destination: Path,
    reporter: Reporter,
    small: Sequence[SmallExport] = (),
) -> ExportResult:
    """Write `served`, and hold it to what the run recorded of its evaluated side.

    Args:
        folder: of the run.
        served: its classifier, which may be folded.
        material: how its examples become the classifier's input.
        destination: holds the versions; made if it is not there.
        reporter: shows progress.
        small: formats that go into the same version.

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
        small=small,
        reporter=reporter,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an export holds.

    Attributes:
        formats: of FORMATS; one or more.
        precision: of the weights of litert; see `litert_engine.to_litert`.
        max_accuracy_drop: by how much the accuracy of a small format may be lower, a fraction.
    """

    formats: tuple[str, ...] = (SAVED_MODEL,)
    precision: Precision = "float32"
    max_accuracy_drop: float = MAX_ACCURACY_DROP

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise ConfigError(
                "There is no such format.",
                received=", ".join(unknown) or "none",
                allowed=", ".join(FORMATS),
            )
        if "onnx" in self.formats and importlib.util.find_spec("tf2onnx") is None:
            raise ConfigError(
                "Writing ONNX needs a package that is not installed: tf2onnx.",
                received="--format onnx",
                allowed=", ".join(name for name in FORMATS if name != "onnx"),
                next_step="pip install 'tl_app[onnx]' (in a clone: pip install -c constraints.txt "
                "'.[onnx]')",
            )
        if self.precision != "float32" and "litert" not in self.formats:
            raise ConfigError(
                "A precision belongs to litert; the other formats have float32.",
                received=f"{self.precision} with {', '.join(self.formats)}",
                next_step="--format litert",
            )
        if not 0 <= self.max_accuracy_drop <= 1:
            raise ConfigError(
                "This is no share of the examples.",
                received=f"a largest drop of {self.max_accuracy_drop:g}",
                allowed="0 to 1; 0.01 is one point of accuracy",
            )

    @property
    def small(self) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(self.formats) if name != SAVED_MODEL)


def export_finished(
    folder: RunFolder, destination: Path, reporter: Reporter, wanted: Wanted | None = None
) -> ExportResult:
    """Publish a finished run: its SavedModel, made where it was trained without, or small formats.

    Raises:
        RunError: it is not finished.
        ConfigError: small formats of a model for texts.
        WeightsError: the backbone, whose tokenizer or decoder belongs to it, cannot be had.
        EngineUnavailable: the model cannot be had in a format.
        ExportError, DataError, StorageError: as in `publish.export_model`.
    """
    wanted = wanted or Wanted()
    exported = finished_run(folder).saved_model
    dataset, split = folder.read_dataset(), folder.read_split()
    side = split.evaluated_side
    rows = split.indices(side)
    small = _small_exports(folder, dataset, split, wanted, reporter)
    if SAVED_MODEL not in wanted.formats:
        return export_small(
            dataset.modality,
            folder.read_processing(),
            dataset.class_names,
            destination,
            small=small,
            n_examples=len(rows),
        )
    if exported is not None:
        return publish_copy(
            exported,
            destination,
            evidence=_evidence(folder, dataset, rows),
            recorded=folder.read_predictions(side),
            small=small,
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
    return export_trained(folder, model, material, destination, reporter, small)


def _small_exports(
    folder: RunFolder, dataset: Dataset[Any], split: Split, wanted: Wanted, reporter: Reporter
) -> list[SmallExport]:
    """Each of the small formats that are wanted; the model is loaded when the first is written."""
    if not wanted.small:
        return []
    processing = folder.read_processing()
    if not isinstance(processing, Preprocessing):
        raise ConfigError(
            "Small formats are for pictures: what cuts texts into tokens is TensorFlow's.",
            received=", ".join(wanted.small),
            allowed=SAVED_MODEL,
            next_step=f"tl-app export {folder.path} DEST",
        )
    side = split.evaluated_side
    rows = split.indices(side)
    model = cache(lambda: load_model(folder.keras_model))

    def litert() -> bytes:
        sample = None
        if wanted.precision == "int8":
            sample = _calibration_pictures(dataset, split.indices("train"), processing)
        return to_litert(model(), precision=wanted.precision, sample=sample)

    def onnx() -> bytes:
        return to_onnx(model())

    converters: dict[str, Callable[[], bytes]] = {"litert": litert, "onnx": onnx}
    return [
        SmallExport(
            small_format=name,
            precision=wanted.precision if name == "litert" else "float32",
            convert=converters[name],
            evidence=picture_evidence(dataset, rows, processing),
            recorded=folder.read_predictions(side),
            groups=np.asarray(split.groups)[rows],
            max_accuracy_drop=wanted.max_accuracy_drop,
            reporter=reporter,
        )
        for name in wanted.small
    ]


def _calibration_pictures(
    dataset: Dataset[Any], rows: np.ndarray, processing: Preprocessing
) -> np.ndarray:
    """float32, shape (n, S, S, 3): pictures of the training side, evenly from all of it."""
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), N_CALIBRATION)).astype(int)]
    files = [Path(dataset.root) / dataset.examples[row].path for row in chosen.tolist()]

    def read(file: Path) -> np.ndarray:
        try:
            encoded = read_encoded(file, max_pixels=processing.max_pixels)
            return preprocess(encoded, processing)
        except UnusablePicture as problem:
            raise DataError(
                f"A picture of the training part cannot be used. {problem.reason}",
                received=str(file),
                allowed="the pictures as they were when the run read them",
                next_step="put the original picture back, or take another --precision",
            ) from problem

    return np.stack(list(run_ahead(files, read, n_ahead=2 * MAX_THREADS)))


def _evidence(folder: RunFolder, dataset: Dataset[Any], rows: np.ndarray) -> Evidence:
    processing = folder.read_processing()
    if isinstance(processing, Preprocessing):
        return picture_evidence(dataset, rows, processing)
    return text_evidence(dataset, rows)
