"""Write, check, publish: an export appears under its number only when it is right."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from tl_app.export.parity import TOLERANCE, Evidence, check_parity
from tl_app.export.saved_model import save_candidate, saving_errors
from tl_app.export.served_input import ServedInput
from tl_app.export.versions import candidate_folder, find_version, publish, require_free
from tl_app.progress import Reporter
from tl_app.records import Predictions


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export ended with.

    Attributes:
        version_folder: the published SavedModel, DEST/<version>.
        largest_difference: of a probability, between the export and the run's record.
        n_examples: pictures that were compared.
    """

    version_folder: Path
    largest_difference: float
    n_examples: int


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
        reporter: shows progress.

    Raises:
        ExportError: the SavedModel does not reproduce the record; nothing is left of it.
        DataError: a picture is gone or changed; nothing is left.
        StorageError: the disk is full or the folder cannot be written; nothing is left.
        ConfigError: `version` is taken.
    """
    require_free(destination, version)
    with candidate_folder(destination) as candidate:
        save_candidate(model, served, class_names, candidate, reporter)
        difference = check_parity(
            candidate,
            evidence,
            recorded,
            tolerance=tolerance,
            reporter=reporter,
        )
        folder = publish(candidate, destination, version=version)
    return ExportResult(folder, difference, len(evidence.names))


def publish_copy(
    source: Path,
    destination: Path,
    *,
    evidence: Evidence,
    recorded: Predictions,
    tolerance: float = TOLERANCE,
    version: int | None = None,
    reporter: Reporter,
) -> ExportResult:
    """Copy a SavedModel to `destination`, check the copy, then publish it.

    Args:
        source: a version folder, or a folder of versions (the newest is taken).
        destination: holds the versions; made if it is not there.
        evidence, recorded, tolerance: as in `parity.check_parity`.
        version: a free number from 1; None takes the one after the largest.
        reporter: shows progress.

    Raises:
        RunError: `source` has no SavedModel.
        ExportError, DataError, StorageError, ConfigError: as in `export_model`.
    """
    source = find_version(source)
    require_free(destination, version)
    with candidate_folder(destination) as candidate:
        with saving_errors(destination):
            _copy_folder(source, candidate)
        difference = check_parity(
            candidate,
            evidence,
            recorded,
            tolerance=tolerance,
            reporter=reporter,
        )
        folder = publish(candidate, destination, version=version)
    return ExportResult(folder, difference, len(evidence.names))


def _copy_folder(source: Path, target: Path) -> None:
    """Copy contents; unlike shutil.copytree an error keeps its number (a full disk, say)."""
    target.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_dir():
            _copy_folder(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)
