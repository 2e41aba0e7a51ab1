"""A small format on its way into an export: written, asked what the run was asked, let through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_app.data.listing import counted
from tl_app.errors import ExportError, UnusablePicture
from tl_app.evaluation.formats import SmallFormat, compare_format
from tl_app.export.latency import measure_latency
from tl_app.export.parity import Evidence, picture_lost, pictures_changed
from tl_app.export.saved_model import saving_errors
from tl_app.export.small_model import SmallModel, file_name
from tl_app.inputs.ahead import MAX_THREADS
from tl_app.progress import Reporter
from tl_app.records import Predictions

SAME = 1e-4
"""Largest difference of a probability that float32 may have from the run: its pictures are decoded
and resized by other code, its sums are added in another order."""

MAX_ACCURACY_DROP = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallExport:
    """What writes a format into a candidate and checks it there.

    Attributes:
        small_format: "litert" or "onnx".
        precision: of its weights.
        convert: gives the content of its file.
        evidence: the original pictures, one a row of `recorded`.
        recorded: what the run's own model said of them, with their labels.
        groups: int64, one a row; examples of one number belong together.
        max_accuracy_drop: by how much its accuracy may be lower, a fraction.
        reporter: shows progress.
    """

    small_format: str
    precision: str
    convert: Callable[[], bytes]
    evidence: Evidence
    recorded: Predictions
    groups: np.ndarray
    max_accuracy_drop: float
    reporter: Reporter

    def __call__(self, candidate: Path) -> SmallFormat:
        """
        Raises:
            ExportError: it is worse than is allowed.
            DataError: a picture is gone, or another by now.
            EngineUnavailable: the model cannot be had in this format.
            StorageError: the disk is full.
        """
        content = self.convert()
        with saving_errors(candidate.parent.parent):
            (candidate / file_name(self.small_format)).write_bytes(content)
        model = SmallModel(candidate, self.small_format)
        told = self._ask(model)
        size = model.preprocessing.image_size_px
        pixels = np.random.default_rng(0).uniform(0, 255, (32, size, size, 3)).astype(np.float32)
        found = compare_format(
            self.recorded,
            told,
            self.groups,
            name=self.small_format,
            precision=self.precision,
            n_bytes=model.n_bytes,
            latency_ms=measure_latency(model.predict, lambda n: pixels[:n], reporter=self.reporter),
        )
        problem = self._problem(found)
        if problem is not None:
            self._require_unchanged()
            raise problem
        return found

    def _ask(self, model: SmallModel) -> np.ndarray:
        """float32, shape (n_examples, n_classes)."""
        names = self.evidence.names
        title = f"Checking {self.small_format} {self.precision}"
        rows: list[np.ndarray] = []
        with self.reporter.bar(title, total=len(names), unit="images") as bar:
            encoded = (self._readable(one) for one in self.evidence.read(2 * MAX_THREADS))
            for answer in model.answer_each(encoded):
                if isinstance(answer, UnusablePicture):
                    raise picture_lost(names[len(rows)], answer.reason)
                rows.append(answer)
                bar.advance()
        return np.stack(rows)

    def _readable(self, encoded: bytes | UnusablePicture) -> bytes:
        if isinstance(encoded, UnusablePicture):
            raise picture_lost("a picture of the run", encoded.reason)
        return encoded

    def _require_unchanged(self) -> None:
        """Whose fault a difference is: the pictures', where some have changed."""
        names = self.evidence.names
        changed = [name for row, name in enumerate(names) if self.evidence.changed(row)]
        if changed:
            raise pictures_changed(changed)

    def _problem(self, found: SmallFormat) -> ExportError | None:
        # Written so that a difference which is not a number is let through by neither.
        if self.precision == "float32" and not found.largest_difference <= SAME:
            return ExportError(
                f"The model as {found.format} does not say what the run recorded.",
                received=f"a probability that differs by {found.largest_difference:.2g}",
                allowed=f"at most {SAME:g} in float32",
                next_step="tl-app export RUN DEST, which writes a SavedModel",
            )
        if np.isfinite(found.largest_difference) and (
            found.difference.value >= -self.max_accuracy_drop
        ):
            return None
        low, high = found.difference.low, found.difference.high
        limits = "" if low is None or high is None else f" ({100 * low:.1f} to {100 * high:.1f})"
        return ExportError(
            f"The model as {found.format} {found.precision} tells fewer examples rightly.",
            received=f"{100 * found.difference.value:.1f} points of accuracy{limits} over "
            f"{counted(found.n_examples, 'example')}",
            allowed=f"{-100 * self.max_accuracy_drop:g} points or better",
            next_step="another --precision, or a larger --max-accuracy-drop",
        )
