"""Does the export say what the run recorded? Asked of the files themselves, not of a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_app.errors import DataError, ExportError, UnusablePicture
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.reading import read_ahead
from tl_app.progress import Reporter
from tl_app.records import Predictions

TOLERANCE = 1e-5
"""Largest difference of a probability; batch 1 and batch 32 alone differ by 1.4e-6."""


def check_parity(
    version_folder: Path,
    files: Sequence[Path],
    recorded: Predictions,
    *,
    max_pixels: int,
    file_hashes: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    batch_size: int = 32,
    reporter: Reporter,
) -> float:
    """Reload an export and compare it with what the run recorded for the same pictures.

    `probabilities` is asked for every picture, and `serving_default`, which runs the same
    graph up to its last step, for the first batch.

    Args:
        version_folder: the SavedModel.
        files: the original pictures, one a row of `recorded`.
        recorded: what the final float32 model said of these files.
        max_pixels: of the run.
        file_hashes: SHA-256 of each file when the run read it; tells a changed file from a
            changed model.
        tolerance: largest difference of any probability that is let through.
        batch_size: as when `recorded` was made, for the smallest difference.
        reporter: shows progress.

    Returns:
        The largest absolute difference of a probability.

    Raises:
        ExportError: the difference is larger (or not a number), the classes are others, or
            there is nothing to compare with.
        DataError: a picture is gone, unreadable or not what it was.
        RunError: the SavedModel cannot be loaded.
        ValueError: lengths differ.
    """
    n_examples = len(recorded.paths)
    if len(files) != n_examples or (file_hashes is not None and len(file_hashes) != n_examples):
        raise ValueError(f"{len(files)} files for {n_examples} recorded rows")
    if n_examples == 0:
        raise ExportError(
            "The export cannot be checked: the run recorded no predictions.",
            received="0 pictures",
            allowed="a run with a test or a validation part",
            next_step="tl-app train FOLDER",
        )
    with exact_float32():
        classifier = SavedModelClassifier(version_folder)
        _check_classes(classifier.class_names, recorded.class_names)
        reproduced = _reproduce(classifier, files, max_pixels, batch_size, reporter)
    differences = np.abs(reproduced.astype(np.float64) - recorded.probabilities).max(axis=1)
    # A difference that is not a number is larger than any.
    differences = np.where(np.isnan(differences), np.inf, differences)
    if not differences.max() <= tolerance:
        raise _refusal(files, recorded, reproduced, differences, tolerance, file_hashes)
    return float(differences.max())


@contextmanager
def exact_float32() -> Iterator[None]:
    """Full float32 products also on GPUs that round them to 10 bits (TF32) by default.

    Recording with it and checking with it keeps both within the tolerance.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _reproduce(
    classifier: SavedModelClassifier,
    files: Sequence[Path],
    max_pixels: int,
    batch_size: int,
    reporter: Reporter,
) -> np.ndarray:
    """float32, shape (n_examples, n_classes), what the SavedModel says of the files."""
    rows: list[np.ndarray] = []
    batch: list[bytes] = []
    with reporter.bar("Checking the export", total=len(files), unit="images") as bar:
        for path, encoded in read_ahead(files, max_pixels=max_pixels, n_ahead=batch_size):
            if isinstance(encoded, UnusablePicture):
                raise _picture_lost(path, encoded.reason)
            batch.append(encoded)
            if len(batch) < batch_size and len(rows) + len(batch) < len(files):
                continue
            for answer in classifier.answer_each(batch):
                if isinstance(answer, UnusablePicture):
                    raise _picture_lost(files[len(rows)], answer.reason)
                rows.append(answer)
            if len(rows) == len(batch):
                _check_top_labels(classifier, files, batch, rows)
            bar.advance(len(batch))
            batch = []
    return np.stack(rows)


def _check_classes(exported: tuple[str, ...], recorded: tuple[str, ...]) -> None:
    if exported != recorded:
        raise ExportError(
            "The export has other classes than the run recorded.",
            received=", ".join(map(repr, exported)),
            allowed=", ".join(map(repr, recorded)),
            next_step="tl-app export RUN DEST, with the run that made the predictions",
        )


def _check_top_labels(
    classifier: SavedModelClassifier,
    files: Sequence[Path],
    encoded: Sequence[bytes],
    probabilities: Sequence[np.ndarray],
) -> None:
    """`serving_default` must give the names and scores of the most probable classes."""
    column = {name: i for i, name in enumerate(classifier.class_names)}
    rows = zip(files, classifier.top_labels(encoded), probabilities, strict=False)
    for path, (labels, scores), row in rows:
        best = np.sort(row)[::-1][: len(labels)]
        of_labels = row[[column[label] for label in labels]]
        # The same picture in the same batch: what differs is one kernel's choice of order.
        if np.allclose(scores, best, atol=1e-6) and np.allclose(scores, of_labels, atol=1e-6):
            continue
        raise ExportError(
            f"The labels that the export serves do not fit its probabilities for {path}.",
            received=", ".join(f"{a!r} {b:.6f}" for a, b in zip(labels, scores, strict=True)),
            allowed=", ".join(
                f"{classifier.class_names[i]!r} {row[i]:.6f}"
                for i in row.argsort()[::-1][: len(labels)]
            ),
            next_step="train again; if it comes back, report it with the run's environment.json",
        )


def _refusal(
    files: Sequence[Path],
    recorded: Predictions,
    reproduced: np.ndarray,
    differences: np.ndarray,
    tolerance: float,
    file_hashes: Sequence[str] | None,
) -> ExportError | DataError:
    """Whose fault a difference is: the pictures', if each one that differs was changed."""
    order = np.argsort(-differences, kind="stable").tolist()
    rows = [row for row in order if not differences[row] <= tolerance]
    changed = [] if file_hashes is None else [r for r in rows if _hash(files[r]) != file_hashes[r]]
    if len(changed) == len(rows):
        return DataError(
            f"{len(changed)} pictures are not what they were when the run read them.",
            received=", ".join(str(files[row]) for row in changed[:5]),
            allowed="the same files, byte for byte",
            next_step="put the original pictures back, or train again",
        )
    worst = next(row for row in rows if row not in set(changed))
    column = int(np.nanargmax(np.abs(reproduced[worst] - recorded.probabilities[worst])))
    name = recorded.class_names[column]
    return ExportError(
        f"The export does not reproduce what the run recorded: {len(rows)} of "
        f"{len(files)} pictures differ, {files[worst]} most, by {differences[worst]:.2g}.",
        received=f"class {name!r}: exported {reproduced[worst, column]:.7f}, "
        f"recorded {recorded.probabilities[worst, column]:.7f}",
        allowed=f"a difference of at most {tolerance:g}",
        next_step="export on the machine and with the versions of the run's environment.json, "
        "or train again",
    )


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _picture_lost(path, f"{error.strerror}.") from error


def _picture_lost(path: Path, reason: str) -> DataError:
    return DataError(
        f"A picture that the export is checked with cannot be used. {reason}",
        received=str(path),
        allowed="the pictures as they were when the run read them",
        next_step="put the original picture back, or train again",
    )
