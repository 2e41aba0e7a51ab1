"""Does the export say what the run recorded? Asked of the files themselves, not of a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from tl_app.data.listing import counted
from tl_app.errors import DataError, ExportError, UnusablePicture
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.reading import read_ahead
from tl_app.export.warm_up import replay_warm_up
from tl_app.features.texts import encode_text
from tl_app.progress import Reporter
from tl_app.records import Predictions

TOLERANCE = 1e-5
"""Largest difference of a probability; batch 1 and batch 32 alone differ by 1.4e-6."""


class Evidence(Protocol):
    """What an export is asked, one item a row of the record."""

    @property
    def names(self) -> Sequence[str]:
        """Of the items, for messages."""

    def read(self, n_ahead: int) -> Iterator[bytes | UnusablePicture]:
        """What the signatures take of each, or why it has none; `n_ahead` are held at most."""

    def changed(self, row: int) -> bool:
        """Whether an item is known to be another than the one that was recorded."""


@dataclass(frozen=True, slots=True)
class PictureEvidence:
    """The original files.

    Attributes:
        files: one a row of the record.
        max_pixels: of the run.
        file_hashes: SHA-256 of each file when the run read it; tells a changed file from a
            changed model.
    """

    files: Sequence[Path]
    max_pixels: int
    file_hashes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.file_hashes is not None and len(self.file_hashes) != len(self.files):
            raise ValueError(f"{len(self.file_hashes)} digests for {len(self.files)} files")

    @property
    def names(self) -> Sequence[str]:
        return [str(file) for file in self.files]

    def read(self, n_ahead: int) -> Iterator[bytes | UnusablePicture]:
        found = read_ahead(self.files, max_pixels=self.max_pixels, n_ahead=n_ahead)
        return (encoded for _, encoded in found)

    def changed(self, row: int) -> bool:
        if self.file_hashes is None:
            return False
        return _hash(self.files[row]) != self.file_hashes[row]


@dataclass(frozen=True, slots=True)
class TextEvidence:
    """The texts as the run keeps them: nothing can have changed them.

    Attributes:
        names: of the texts.
        texts: one a row of the record.
    """

    names: Sequence[str]
    texts: Sequence[str]

    def read(self, n_ahead: int) -> Iterator[bytes | UnusablePicture]:
        return (encode_text(text) for text in self.texts)

    def changed(self, row: int) -> bool:
        return False


def check_parity(
    version_folder: Path,
    evidence: Evidence,
    recorded: Predictions,
    *,
    tolerance: float = TOLERANCE,
    batch_size: int = 32,
    reporter: Reporter,
) -> float:
    """Reload an export and compare it with what the run recorded for the same items.

    `probabilities` is asked for every one, and `serving_default`, which runs the same
    graph up to its last step, for the first batch; and the requests beside the model are
    answered, as TensorFlow Serving will have it.

    Args:
        version_folder: the SavedModel.
        evidence: the original pictures or texts, one a row of `recorded`.
        recorded: what the final float32 model said of them.
        tolerance: largest difference of any probability that is let through.
        batch_size: as when `recorded` was made, for the smallest difference.
        reporter: shows progress.

    Returns:
        The largest absolute difference of a probability.

    Raises:
        ExportError: the difference is larger (or not a number), the classes are others, or
            there is nothing to compare with; or a warm-up request fails.
        DataError: a picture is gone, unreadable or not what it was.
        RunError: the SavedModel cannot be loaded.
        ValueError: lengths differ.
    """
    n_examples = len(recorded.paths)
    if len(evidence.names) != n_examples:
        raise ValueError(f"{len(evidence.names)} items for {n_examples} recorded rows")
    if n_examples == 0:
        raise ExportError(
            "The export cannot be checked: the run recorded no predictions.",
            received="nothing",
            allowed="a run with a test or a validation part",
            next_step="tl-app train FOLDER",
        )
    with exact_float32():
        classifier = SavedModelClassifier(version_folder)
        _check_classes(classifier.class_names, recorded.class_names)
        reproduced = _reproduce(classifier, evidence, batch_size, reporter)
        replay_warm_up(version_folder, classifier.signatures)
    differences = np.abs(reproduced.astype(np.float64) - recorded.probabilities).max(axis=1)
    # A difference that is not a number is larger than any.
    differences = np.where(np.isnan(differences), np.inf, differences)
    if not differences.max() <= tolerance:
        raise _refusal(evidence, recorded, reproduced, differences, tolerance)
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
    evidence: Evidence,
    batch_size: int,
    reporter: Reporter,
) -> np.ndarray:
    """float32, shape (n_examples, n_classes), what the SavedModel says of the evidence."""
    names = evidence.names
    unit = "images" if classifier.modality == "image" else "texts"
    rows: list[np.ndarray] = []
    batch: list[bytes] = []
    with reporter.bar("Checking the export", total=len(names), unit=unit) as bar:
        for encoded in evidence.read(batch_size):
            if isinstance(encoded, UnusablePicture):
                raise picture_lost(names[len(rows) + len(batch)], encoded.reason)
            batch.append(encoded)
            if len(batch) < batch_size and len(rows) + len(batch) < len(names):
                continue
            for answer in classifier.answer_each(batch):
                if isinstance(answer, UnusablePicture):
                    raise picture_lost(names[len(rows)], answer.reason)
                rows.append(answer)
            if len(rows) == len(batch):
                _check_top_labels(classifier, names, batch, rows)
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
    names: Sequence[str],
    encoded: Sequence[bytes],
    probabilities: Sequence[np.ndarray],
) -> None:
    """`serving_default` must give the names and scores of the most probable classes."""
    column = {name: i for i, name in enumerate(classifier.class_names)}
    rows = zip(names, classifier.top_labels(encoded), probabilities, strict=False)
    for name, (labels, scores), row in rows:
        best = np.sort(row)[::-1][: len(labels)]
        of_labels = row[[column[label] for label in labels]]
        # The same picture in the same batch: what differs is one kernel's choice of order.
        if np.allclose(scores, best, atol=1e-6) and np.allclose(scores, of_labels, atol=1e-6):
            continue
        raise ExportError(
            f"The labels that the export serves do not fit its probabilities for {name}.",
            received=", ".join(f"{a!r} {b:.6f}" for a, b in zip(labels, scores, strict=True)),
            allowed=", ".join(
                f"{classifier.class_names[i]!r} {row[i]:.6f}"
                for i in row.argsort()[::-1][: len(labels)]
            ),
            next_step="train again; if it comes back, report it with the run's environment.json",
        )


def _refusal(
    evidence: Evidence,
    recorded: Predictions,
    reproduced: np.ndarray,
    differences: np.ndarray,
    tolerance: float,
) -> ExportError | DataError:
    """Whose fault a difference is: the pictures', if each one that differs was changed."""
    order = np.argsort(-differences, kind="stable").tolist()
    rows = [row for row in order if not differences[row] <= tolerance]
    changed = [row for row in rows if evidence.changed(row)]
    names = evidence.names
    if len(changed) == len(rows):
        return pictures_changed([names[row] for row in changed])
    worst = next(row for row in rows if row not in set(changed))
    column = int(np.nanargmax(np.abs(reproduced[worst] - recorded.probabilities[worst])))
    class_name = recorded.class_names[column]
    return ExportError(
        f"The export does not reproduce what the run recorded: {len(rows)} of "
        f"{len(names)} differ, {names[worst]} most, by {differences[worst]:.2g}.",
        received=f"class {class_name!r}: exported {reproduced[worst, column]:.7f}, "
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
        raise picture_lost(str(path), f"{error.strerror}.") from error


def pictures_changed(names: Sequence[str]) -> DataError:
    """What to say of pictures that are others by now."""
    return DataError(
        f"{counted(len(names), 'picture is', 'pictures are')} not as the run read them.",
        received=", ".join(names[:5]),
        allowed="the same files, byte for byte",
        next_step="put the original pictures back, or train again",
    )


def picture_lost(name: str, reason: str) -> DataError:
    """What to say of a picture that cannot be read any more."""
    return DataError(
        f"A picture that the export is checked with cannot be used. {reason}",
        received=name,
        allowed="the pictures as they were when the run read them",
        next_step="put the original picture back, or train again",
    )
