"""What was chosen by looking at the machine: written down once, then only read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tl_app.config import Phase
from tl_app.run import RunFolder
from tl_app.storage import read_json, write_json
from tl_app.units import bytes_text, duration_text

MAX_DISK_SHARE = 0.5
"""Kept activations of all phases take at most this share of the free disk."""

PHASE = "phase "
"""How the keys of phases' decisions begin."""

WRITE_BYTES_PER_SECOND, READ_BYTES_PER_SECOND = 300e6, 1e9
"""Of kept activations: a plain disk, and pages that mostly stay in memory."""

STREAM_FACTOR = 1.5
"""A streamed picture takes longer than one look: TensorFlow's own graph runs it."""


@dataclass(frozen=True, slots=True)
class PhaseDecision:
    """Where a phase's inputs come from.

    Attributes:
        source: "kept" activations at the boundary, or pictures "streamed" through it all.
        dtype: of kept activations.
        n_views: of each picture.
        n_bytes: on disk.
        kept_seconds, streamed_seconds: estimates of what each way adds to the phase; None
            where a way is none.
        new_bytes: of `n_bytes`, those that no earlier run has kept.
    """

    source: Literal["kept", "streamed"]
    dtype: str
    n_views: int
    n_bytes: int
    kept_seconds: float | None = None
    streamed_seconds: float | None = None
    new_bytes: int = 0

    def describe(self) -> str:
        if self.source == "streamed":
            text = "streamed through the whole network"
            other = ("keeping activations", self.kept_seconds)
        else:
            views = f"{self.n_views} views" if self.n_views > 1 else "one view"
            text = f"kept activations, {views}, {self.dtype}, {bytes_text(self.n_bytes)}"
            other = ("streaming", self.streamed_seconds)
        if other[1] is None or self.kept_seconds is None or self.streamed_seconds is None:
            return text
        own = self.kept_seconds if self.source == "kept" else self.streamed_seconds
        return f"{text} (about {duration_text(own)}; {other[0]}: {duration_text(other[1])})"


class Decisions:
    """decisions.json of a run."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def read(self) -> dict[str, Any]:
        file = self._folder.decisions_file
        return read_json(file) if file.exists() else {}

    def record(self, key: str, values: Mapping[str, Any]) -> None:
        write_json(self._folder.decisions_file, {**self.read(), key: dict(values)})

    def for_phase(
        self,
        phase: Phase,
        boundary: tuple[int, ...] | None,
        dtype: np.dtype,
        n_views: int,
        n_train: int,
        n_validation: int,
        look_seconds: float,
        free_bytes: int,
        *,
        n_missing: int | None = None,
        n_missing_drawn: int | None = None,
        limit_bytes: float = math.inf,
    ) -> PhaseDecision:
        """Kept activations where they can be kept and pay; chosen once a run.

        Args:
            phase: new pictures every epoch (`views=0`) and mixed ones cannot be kept.
            boundary: shape of one activation, or None where all blocks train.
            dtype: that activations would be kept in.
            n_views: the plain one, which is looked at in any case, and the drawn ones; 0 where
                they are drawn anew every epoch.
            n_train, n_validation: pictures.
            look_seconds: to load a picture and run the frozen part on it.
            free_bytes: where activations would be kept.
            n_missing: activations that no earlier run has kept; None: all of them.
            n_missing_drawn: those of them that are of drawn views.
            limit_bytes: what the store is brought down to after a run.
        """
        key = PHASE + phase.name
        recorded = self.read().get(key)
        if recorded is not None:
            return PhaseDecision(**recorded)
        mixes = phase.mixup_alpha > 0 or phase.cutmix_alpha > 0
        streamed_seconds = phase.epochs * n_train * look_seconds * STREAM_FACTOR
        if boundary is None or n_views == 0 or mixes:
            decision = PhaseDecision("streamed", dtype.name, n_views, 0, None, streamed_seconds)
        else:
            row_bytes = int(np.prod(boundary)) * dtype.itemsize
            n_bytes = row_bytes * (n_views * n_train + n_validation)
            n_looks = (n_views - 1) * n_train if n_missing_drawn is None else n_missing_drawn
            new_bytes = n_bytes if n_missing is None else n_missing * row_bytes
            kept_seconds = (
                n_looks * look_seconds
                + new_bytes / WRITE_BYTES_PER_SECOND
                + phase.epochs * n_train * row_bytes / READ_BYTES_PER_SECOND
            )
            kept = [
                values
                for name, values in self.read().items()
                if name.startswith(PHASE) and values["source"] == "kept"
            ]
            promised = sum(values.get("new_bytes", values["n_bytes"]) for values in kept)
            fits = (
                promised + new_bytes <= MAX_DISK_SHARE * free_bytes
                and sum(values["n_bytes"] for values in kept) + n_bytes <= limit_bytes
            )
            pays = kept_seconds <= streamed_seconds
            decision = PhaseDecision(
                "kept" if fits and pays else "streamed",
                dtype.name,
                n_views,
                n_bytes,
                kept_seconds,
                streamed_seconds,
                new_bytes,
            )
        self.record(key, asdict(decision))
        return decision
