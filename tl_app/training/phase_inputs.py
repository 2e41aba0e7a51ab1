"""What a phase is fed: kept activations at its boundary, or streamed pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_app.backbones.blocks import count_blocks
from tl_app.config import Config, Phase
from tl_app.features.extract import FrozenPart, extract, picture_stream
from tl_app.progress import Reporter
from tl_app.training.batches import BatchSource, KeptActivations, StreamedPictures
from tl_app.training.classifier import BlockCount, Classifier
from tl_app.training.decisions import Decisions, PhaseDecision


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Pictures of the training and the validation side.

    Attributes:
        pictures: uint16, shape (n_pictures, S, S, 3), both sides, as `keep_pictures` gives.
        labels: int64, shape (n_pictures,).
        groups: int64, shape (n_pictures,), examples that never part.
        train_rows, validation_rows: int64, positions among the pictures.
        n_classes: columns of the logits.
    """

    pictures: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    train_rows: np.ndarray
    validation_rows: np.ndarray
    n_classes: int


class PhaseInputs:
    """Runs the frozen part for each phase, once a picture and view, and hands out batches.

    Args:
        classifier: is taken apart at the phases' boundaries.
        data: pictures of both sides.
        config: the phases and the seed.
        work: folder of the kept arrays; what is there is used again.
        decisions: where a choice between keeping and streaming is recorded.
        batch_size: pictures a batch through the frozen part.
        reporter: shows progress.
    """

    def __init__(
        self,
        classifier: Classifier,
        data: TrainingData,
        config: Config,
        work: Path,
        decisions: Decisions,
        batch_size: int,
        reporter: Reporter,
    ) -> None:
        self._classifier = classifier
        self._data = data
        self._config = config
        self._work = work
        self._decisions = decisions
        self._batch_size = batch_size
        self._reporter = reporter
        self._frozen_parts: dict[BlockCount, FrozenPart | None] = {}

    def seed(self, phase: Phase) -> int:
        """Of the random changes of a phase."""
        return self._config.seed * 1009 + self._config.phases.index(phase) * 31 + 1

    def decide(self, phase: Phase) -> PhaseDecision:
        """Kept or streamed; chosen once a run."""
        below = self._frozen(phase.unfreeze)
        return self._decisions.for_phase(
            phase,
            None if below is None else below.boundary,
            phase.views if phase.augmentation.changes_pictures else 1,
            len(self._data.train_rows),
            len(self._data.validation_rows),
        )

    def features(self, phase: Phase) -> np.ndarray:
        """Pooled features of the training side, the plain view first.

        Returns:
            float32, shape (1 + n_views, n_train, n_features).
        """
        rows = self._data.train_rows
        plain = self._kept(phase, rows, "train", np.float32)
        if not (phase.views and phase.augmentation.changes_pictures):
            return plain
        views = self._kept(phase, rows, "views", np.float32, n_views=phase.views)
        return np.concatenate([plain, views])

    def validation_features(self, phase: Phase) -> np.ndarray:
        """Pooled features of the validation side, float32, shape (n_validation, n_features)."""
        return self._kept(phase, self._data.validation_rows, "validation", np.float32)[0]

    def source(self, phase: Phase, decision: PhaseDecision) -> BatchSource:
        """Training inputs at the phase's boundary."""
        data = self._data
        if decision.source == "streamed":
            return StreamedPictures(data.pictures, data.train_rows, phase, self.seed(phase))
        dtype = np.dtype(decision.dtype).type
        if not phase.augmentation.changes_pictures:
            return KeptActivations(self._kept(phase, data.train_rows, "train", dtype))
        return KeptActivations(
            self._kept(phase, data.train_rows, "views", dtype, n_views=decision.n_views)
        )

    def validation(
        self, phase: Phase, decision: PhaseDecision
    ) -> Callable[[], Iterable[tf.Tensor]]:
        """A function that yields the validation inputs, plain, in order."""
        rows, size = self._data.validation_rows, self._batch_size
        if decision.source == "streamed":
            batches = [rows[i : i + size] for i in range(0, len(rows), size)]
            return lambda: picture_stream(
                self._data.pictures, batches, augmentation=None, view=0, seed=0
            )
        kept = self._kept(phase, rows, "validation", np.dtype(decision.dtype).type)[0]
        return lambda: (
            tf.constant(kept[i : i + size].astype(np.float32)) for i in range(0, len(rows), size)
        )

    def _frozen(self, unfreeze: BlockCount) -> FrozenPart | None:
        """What lies below a boundary, traced once a run; None where all blocks train."""
        if unfreeze not in self._frozen_parts:
            below = self._classifier.below(unfreeze)
            self._frozen_parts[unfreeze] = None if below is None else FrozenPart(below)
        return self._frozen_parts[unfreeze]

    def _kept(
        self, phase: Phase, rows: np.ndarray, what: str, dtype: type, *, n_views: int = 0
    ) -> np.ndarray:
        """Activations at the boundary, shape (max(n_views, 1), n_rows, ...)."""
        below = self._frozen(phase.unfreeze)
        if below is None:
            raise ValueError(f"phase '{phase.name}' has no frozen part")
        # Views are a phase's own; plain activations are shared by the phases that stand on the
        # same weights.
        owner = phase.name if n_views else f"plain-{self._weights_below(phase)}"
        name = f"{owner}-{what}-{phase.unfreeze}-{np.dtype(dtype).name}.npy"
        return extract(
            below,
            self._data.pictures,
            self._work / name,
            dtype=dtype,
            batch_size=self._batch_size,
            title=f"Computing features ({f'{n_views} views' if n_views else what})",
            reporter=self._reporter,
            rows=rows,
            augmentation=phase.augmentation if n_views else None,
            n_views=n_views,
            seed=self.seed(phase),
        )

    def _weights_below(self, phase: Phase) -> str:
        """Which earlier phase last changed the weights below this one's boundary, if any."""
        backbone = self._classifier.backbone
        depth = count_blocks(backbone, phase.unfreeze)
        changed = [
            earlier.name
            for earlier in self._config.phases[: self._config.phases.index(phase)]
            if count_blocks(backbone, earlier.unfreeze) > depth
        ]
        return f"after-{changed[-1]}" if changed else "pretrained"
