"""Predicting with an exported SavedModel, and with nothing else of the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_app.backbones.hub_texts import bring_text_ops
from tl_app.data.listing import counted
from tl_app.errors import DataError, RunError, UnusablePicture
from tl_app.export.assets import REQUIRED_SIGNATURES, STATUS_OK, decode_name, read_facts
from tl_app.export.reading import read_ahead
from tl_app.export.served_input import INPUT_NAMES
from tl_app.export.versions import find_version
from tl_app.features.texts import encode_text
from tl_app.inputs.decode import decode_levels
from tl_app.progress import Reporter
from tl_app.records import AnyProcessing, Modality, Predictions, Preprocessing, SetAside

# What the graph raises for a picture's content, or for a picture too large for the memory.
_PICTURE_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.OutOfRangeError,
    tf.errors.UnimplementedError,
    tf.errors.ResourceExhaustedError,
)


class SavedModelClassifier:
    """A loaded export.

    Args:
        folder: a version folder, or the folder of versions (the newest is taken).

    Attributes:
        version_folder: what was loaded.
        class_names: in class order.
        modality: "image" or "text".
        processing: how it reads pictures or texts.
        signatures: name -> callable; `graph.build_serving_module` says what each takes.

    Raises:
        RunError: there is no SavedModel, tl_app did not write it, or it is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.version_folder = find_version(Path(folder))
        # Kept whole: its variables live as long as the loaded object.
        self._model = _load(self.version_folder)
        self.signatures = self._model.signatures
        missing = [name for name in REQUIRED_SIGNATURES if name not in self.signatures]
        if missing:
            raise RunError(
                f"This SavedModel has no signature {', '.join(missing)}.",
                received=f"{self.version_folder}: {', '.join(sorted(self.signatures)) or 'none'}",
                allowed="a SavedModel that tl-app export wrote",
                next_step="tl-app export RUN DEST",
            )
        facts = read_facts(self.version_folder)
        self.modality: Modality = facts["modality"]
        self.processing: AnyProcessing = facts["preprocessing"]
        names = self.signatures["class_names"]()["class_names"].numpy()
        self.class_names: tuple[str, ...] = tuple(decode_name(name) for name in names)

    def predict_files(
        self,
        paths: Sequence[Path],
        *,
        max_pixels: int | None = None,
        batch_size: int = 32,
        reporter: Reporter,
    ) -> tuple[Predictions, list[SetAside]]:
        """Probabilities of pictures; files that cannot be used are set aside with their reason.

        Args:
            paths: files, one row each, in this order.
            max_pixels: pictures with more are set aside; None takes the export's own limit.
            batch_size: pictures that run through the graph together.
            reporter: shows progress.

        Returns:
            Predictions with `y_true` -1 and `paths` as they were given, and the files left out.

        Raises:
            RunError: it is a model for texts.
        """
        preprocessing = self._of_pictures()
        limit = preprocessing.max_pixels if max_pixels is None else max_pixels
        kept: list[str] = []
        rows: list[np.ndarray] = []
        set_aside: list[SetAside] = []
        batch: list[tuple[Path, bytes]] = []

        with reporter.bar("Predicting", total=len(paths), unit="images") as bar:

            def run_batch() -> None:
                answers = self.answer_each([encoded for _, encoded in batch])
                for (path, _), answer in zip(batch, answers, strict=True):
                    if isinstance(answer, UnusablePicture):
                        set_aside.append(SetAside(str(path), answer.reason, answer.kind))
                    else:
                        kept.append(str(path))
                        rows.append(answer)
                bar.advance(len(batch))
                batch.clear()

            for path, encoded in read_ahead(paths, max_pixels=limit, n_ahead=batch_size):
                if isinstance(encoded, UnusablePicture):
                    set_aside.append(SetAside(str(path), encoded.reason, encoded.kind))
                    bar.advance()
                    continue
                batch.append((path, encoded))
                if len(batch) == batch_size:
                    run_batch()
            if batch:
                run_batch()
        predictions = Predictions(
            paths=tuple(kept),
            y_true=np.full(len(kept), -1, dtype=np.int64),
            probabilities=self._stack(rows),
            class_names=self.class_names,
        )
        return predictions, set_aside

    def predict_bytes(self, encoded: Sequence[bytes]) -> np.ndarray:
        """Probabilities of encoded pictures.

        Args:
            encoded: what `inputs.files.read_encoded` gives: JPEG, PNG, GIF, BMP or WebP.

        Returns:
            float32, shape (n, n_classes), in class order.

        Raises:
            DataError: some cannot be decoded; their positions are named.
        """
        answers = self.answer_each(encoded)
        bad = {i: a.reason for i, a in enumerate(answers) if isinstance(a, UnusablePicture)}
        if bad:
            raise DataError(
                f"{len(bad)} of {counted(len(encoded), 'picture')} cannot be decoded.",
                received="; ".join(f"number {i}: {reason}" for i, reason in list(bad.items())[:5]),
                allowed="the bytes of JPEG, PNG, GIF, BMP or WebP pictures",
            )
        return self._stack([a for a in answers if isinstance(a, np.ndarray)])

    def predict_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities of decoded pictures.

        Args:
            pixels: float32, shape (n, S, S, 3), RGB in 0..255, S = processing.image_size_px.

        Returns:
            float32, shape (n, n_classes), in class order.
        """
        answer = self.signatures["predict_tensor"](pixels=tf.constant(pixels, tf.float32))
        return answer["probabilities"].numpy()

    def top_labels(self, encoded: Sequence[bytes]) -> list[tuple[list[str], np.ndarray]]:
        """What `serving_default` says: for each picture its top labels and float32 scores (k,)."""
        answer = self.signatures["serving_default"](**self._given(encoded))
        labels, scores = answer["labels"].numpy(), answer["probabilities"].numpy()
        return [
            ([decode_name(name) for name in row], row_scores)
            for row, row_scores in zip(labels, scores, strict=True)
        ]

    def answer_each(self, encoded: Sequence[bytes]) -> list[np.ndarray | UnusablePicture]:
        """For each encoded picture its probabilities, float32 (n_classes,), or why it has none.

        A batch too large for the memory is halved; so is one with a bad picture in an export of
        format 1, which fails as a whole.
        """
        try:
            answer = self.signatures["probabilities"](**self._given(encoded))
            rows: list[np.ndarray | UnusablePicture] = list(answer["probabilities"].numpy())
            for row in np.flatnonzero(_status(answer, len(rows)) != STATUS_OK).tolist():
                # Among others it may have lacked nothing but memory.
                one = encoded[row : row + 1]
                rows[row] = (
                    self.answer_each(one)[0]
                    if len(rows) > 1
                    else _reason(one[0], self._of_pictures())
                )
            return rows
        except _PICTURE_ERRORS as error:
            if len(encoded) == 0:
                raise
            if len(encoded) == 1:
                return [_unusable(error)]
            half = len(encoded) // 2
            return self.answer_each(encoded[:half]) + self.answer_each(encoded[half:])

    def predict_texts(
        self, texts: Sequence[str], *, batch_size: int = 32, reporter: Reporter
    ) -> np.ndarray:
        """Probabilities of texts.

        Args:
            texts: any; what has no letters is told like an empty one.
            batch_size: texts that run through the graph together.
            reporter: shows progress.

        Returns:
            float32, shape (n, n_classes), in class order.

        Raises:
            RunError: it is a model for pictures.
        """
        if self.modality != "text":
            raise self._other_modality("texts", "pictures")
        # Those of like length together: a batch is as long as its longest.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        probabilities = np.zeros((len(texts), len(self.class_names)), np.float32)
        with reporter.bar("Predicting", total=len(texts), unit="texts") as bar:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                answer = self.signatures["probabilities"](
                    **self._given([encode_text(texts[row]) for row in rows])
                )
                probabilities[rows] = answer["probabilities"].numpy()
                bar.advance(len(rows))
        return probabilities

    def _given(self, encoded: Sequence[bytes]) -> dict[str, tf.Tensor]:
        """What a signature takes: string, shape (n,), also for n = 0."""
        strings = tf.reshape(tf.constant(list(encoded), dtype=tf.string), (len(encoded),))
        return {INPUT_NAMES[self.modality]: strings}

    def _of_pictures(self) -> Preprocessing:
        if not isinstance(self.processing, Preprocessing):
            raise self._other_modality("pictures", "texts")
        return self.processing

    def _other_modality(self, asked: str, made_for: str) -> RunError:
        return RunError(
            f"This model was trained on {made_for}, and cannot be asked about {asked}.",
            received=str(self.version_folder),
            allowed=made_for,
        )

    def _stack(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        shape = (len(rows), len(self.class_names))
        return np.array(rows, dtype=np.float32).reshape(shape)


def _status(answer: dict[str, tf.Tensor], n: int) -> np.ndarray:
    """bytes, shape (n,)."""
    return answer["status"].numpy() if "status" in answer else np.full(n, STATUS_OK)


def _load(version_folder: Path):
    try:
        try:
            return tf.saved_model.load(str(version_folder))
        except (tf.errors.NotFoundError, RuntimeError) as error:
            # Operations of TensorFlow Text; nobody should have to know.
            if "Op type not registered" not in str(error) or not bring_text_ops():
                raise
            return tf.saved_model.load(str(version_folder))
    except (OSError, ValueError, IndexError, RuntimeError, tf.errors.OpError) as error:
        if "Op type not registered" in str(error):
            raise RunError(
                "This SavedModel uses operations of TensorFlow Text, which is not installed.",
                received=str(version_folder),
                next_step="pip install 'tl_app[text]'",
            ) from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"This SavedModel cannot be loaded: {lines[0].rstrip('.')}.",
            received=str(version_folder),
            allowed="a complete SavedModel that tl-app export wrote",
            next_step="tl-app export RUN DEST",
        ) from error


def _reason(encoded: bytes, preprocessing: Preprocessing) -> UnusablePicture:
    """Why a picture cannot be used; the graph says only that."""
    try:
        decode_levels(tf.constant(encoded), preprocessing.max_pixels)
    except _PICTURE_ERRORS as error:
        return _unusable(error)
    return UnusablePicture("truncated", "It could not be decoded; try again.")


def _unusable(error: tf.errors.OpError) -> UnusablePicture:
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return UnusablePicture(
            "too_many_pixels", "There is not enough memory to decode it; make it smaller."
        )
    return UnusablePicture(
        "truncated",
        f"It is cut off or damaged ({_cause(error)}); copy or export it again.",
    )


def _cause(error: tf.errors.OpError) -> str:
    """The part of a graph's message that speaks of the picture: the line before the node."""
    lines = [line.strip() for line in error.message.split("[[{{node")[0].splitlines()]
    text = next((line for line in reversed(lines) if line), type(error).__name__)
    return text.split("}}")[-1].strip().removeprefix("assertion failed: ").rstrip(".")
