"""What was chosen by looking at the machine: written down once, then only read."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from tl_app.config import Phase
from tl_app.run import RunFolder, read_json, write_json

MAX_DISK_SHARE = 0.5
"""Kept activations take at most this share of the free disk."""


@dataclass(frozen=True, slots=True)
class PhaseDecision:
    """Where a phase's inputs come from.

    Attributes:
        source: "kept" activations at the boundary, or pictures "streamed" through it all.
        dtype: of kept activations.
        n_views: of each picture.
        n_bytes: on disk.
    """

    source: Literal["kept", "streamed"]
    dtype: str
    n_views: int
    n_bytes: int

    def describe(self) -> str:
        if self.source == "streamed":
            return "pictures streamed through the whole network"
        views = f"{self.n_views} views" if self.n_views > 1 else "one view"
        return f"kept activations, {views}, {self.dtype}, {self.n_bytes / 2**20:.0f} MB"


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
        n_views: int,
        n_train: int,
        n_validation: int,
    ) -> PhaseDecision:
        """Kept activations where they can be kept; chosen once a run.

        Args:
            phase: new pictures every epoch (`views=0`) and mixed ones cannot be kept.
            boundary: shape of one activation, or None where all blocks train.
            n_views, n_train, n_validation: how many activations.
        """
        key = f"phase {phase.name}"
        recorded = self.read().get(key)
        if recorded is not None:
            return PhaseDecision(**recorded)
        mixes = phase.mixup_alpha > 0 or phase.cutmix_alpha > 0
        dtype = "float32" if phase.unfreeze == 0 else "float16"
        size = int(np.prod(boundary or (0,))) * np.dtype(dtype).itemsize
        n_bytes = size * (max(n_views, 1) * n_train + n_validation)
        free = shutil.disk_usage(self._folder.path).free
        kept = (
            boundary is not None and n_views > 0 and not mixes and n_bytes < MAX_DISK_SHARE * free
        )
        decision = PhaseDecision("kept" if kept else "streamed", dtype, n_views, n_bytes)
        self.record(key, asdict(decision))
        return decision
