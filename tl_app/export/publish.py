"""Write, check, publish: an export appears under its number only when it is right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from tl_app.evaluation.formats import SmallFormat
from tl_app.export.assets import write_assets
from tl_app.export.parity import TOLERANCE, Evidence, check_parity
from tl_app.export.saved_model import save_candidate, saving_errors
from tl_app.export.served_input import ServedInput
from tl_app.export.versions import MODEL_FILE, candidate_folder, find_version, publish, require_free
from tl_app.progress import Reporter
from tl_app.records import AnyProcessing, Modality, Predictions


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export ended with.

    Attributes:
        version_folder: the published SavedModel, DEST/<version>.
        largest_difference: of a probability, between the export and the run's record.
        n_examples: pictures or texts that were compared.
        small: the small formats in it.
    """

    version_folder: Path
    largest_difference: float
    n_examples: int
    small: tuple[SmallFormat, ...] = ()

    @property
    def has_saved_model(self) -> bool:
        """Whether TensorFlow can load it."""
        return (self.version_folder / MODEL_FILE).exists()


SmallPart = Callable[[Path], SmallFormat]
"""Writes a small format into a candidate and checks it there; see `small_export.SmallExport`."""


def export_model(
    model: keras.Model,
    served: ServedInput,
    class_names: Sequence[str],
    destination: Path,
    *,
    evidence: Evidence,
    recorded: Predictions,
    tolerance: float = TOLERANCE,
    version: int | None = None,
    small: Sequence[SmallPart] = (),
    reporter: Reporter,
) -> ExportResult:
    """Save `model`, compare the reloaded SavedModel with `recorded`, then publish it.

    Args:
        model: what `served` gives to float32 probabilities (n, n_classes).
        served: how pictures or texts become the model's input.
        class_names: one a column of the model's output.
        destination: holds the versions; made if it is not there.
        evidence, recorded, tolerance: as in `parity.check_parity`.
        version: a free number from 1; None takes the one after the largest.
        small: formats that go into the same version.
        reporter: shows progress.

    Raises:
        ExportError: the SavedModel does not reproduce the record; nothing is left of it.
        DataError: a picture is gone or changed; nothing is left.
        StorageError: the disk is full or the folder cannot be written; nothing is left.
        ConfigError: `version` is taken.
    """

    def fill(candidate: Path) -> float:
        save_candidate(model, served, class_names, candidate, reporter)
        return check_parity(candidate, evidence, recorded, tolerance=tolerance, reporter=reporter)

    return _publish(destination, fill, small, len(evidence.names), version)


def publish_copy(
    source: Path,
    destination: Path,
    *,
    evidence: Evidence,
    recorded: Predictions,
    tolerance: float = TOLERANCE,
    version: int | None = None,
    small: Sequence[SmallPart] = (),
    reporter: Reporter,
) -> ExportResult:
    """Copy a SavedModel to `destination`, check the copy, then publish it.

    Args:
        source: a version folder, or a folder of versions (the newest is taken).
        destination: holds the versions; made if it is not there.
        evidence, recorded, tolerance: as in `parity.check_parity`.
        version: a free number from 1; None takes the one after the largest.
        small: formats that go into the same version.
        reporter: shows progress.

    Raises:
        RunError: `source` has no SavedModel.
        ExportError, DataError, StorageError, ConfigError: as in `export_model`.
    """
    source = find_version(source)

    def fill(candidate: Path) -> float:
        with saving_errors(destination):
            _copy_folder(source, candidate)
        return check_parity(candidate, evidence, recorded, tolerance=tolerance, reporter=reporter)

    return _publish(destination, fill, small, len(evidence.names), version)


def export_small(
    modality: Modality,
    processing: AnyProcessing,
    class_names: Sequence[str],
    destination: Path,
    *,
    small: Sequence[SmallPart],
    n_examples: int,
    version: int | None = None,
) -> ExportResult:
    """Publish small formats alone, with the same plain files beside them as a SavedModel has.

    Args:
        modality, processing, class_names: as in `assets.write_assets`.
        destination: holds the versions; made if it is not there.
        small: the formats.
        n_examples: that they are checked with.
        version: a free number from 1; None takes the one after the largest.

    Raises:
        ExportError, DataError, StorageError, ConfigError: as in `export_model`.
        EngineUnavailable: the model cannot be had in a format.
    """

    def fill(candidate: Path) -> None:
        with saving_errors(destination):
            (candidate / "assets").mkdir(parents=True)
            write_assets(candidate / "assets", modality, processing, class_names)

    return _publish(destination, fill, small, n_examples, version)


def _publish(
    destination: Path,
    fill: Callable[[Path], float | None],
    small: Sequence[SmallPart],
    n_examples: int,
    version: int | None,
) -> ExportResult:
    """What `fill` makes of a candidate, and which difference it found, under a number."""
    require_free(destination, version)
    with candidate_folder(destination) as candidate:
        difference = fill(candidate)
        checked = tuple(write(candidate) for write in small)
        folder = publish(candidate, destination, version=version)
    if difference is None:
        difference = max(each.largest_difference for each in checked)
    return ExportResult(folder, difference, n_examples, checked)


def _copy_folder(source: Path, target: Path) -> None:
    """Copy contents; unlike shutil.copytree an error keeps its number (a full disk, say)."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_dir():
            _copy_folder(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)
