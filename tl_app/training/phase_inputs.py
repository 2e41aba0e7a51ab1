"""What a phase is fed: kept activations at its boundary, or streamed pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tl_app.backbones.blocks import count_blocks
from tl_app.config import Config, Phase
from tl_app.engines.base import Engine, SomeOutputs
from tl_app.features.extract import (
    PLAIN,
    TooLargeForFloat16,
    View,
    ViewPass,
    extract,
    n_missing,
    views_of,
)
from tl_app.features.items import Items, collate
from tl_app.features.keys import model_fingerprint
from tl_app.features.store import GB, FeatureStore
from tl_app.features.table import Rows, Table
from tl_app.progress import Reporter
from tl_app.training.batches import BatchSource, KeptActivations, Streamed, stream
from tl_app.training.classifier import BlockCount, Classifier
from tl_app.training.decisions import MAX_DISK_SHARE, Decisions, PhaseDecision
from tl_app.training.engine_choice import BUILD_SECONDS, MANY_ENOUGH, EngineSource
from tl_app.training.hardware import Hardware

N_PROBE = 16
"""Pictures that engines are measured with."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Pictures or texts, and which of them train and validate.

    Attributes:
        items: all sides; the test side is only looked at, for those who ask later.
        labels: int64, shape (n_items,).
        groups: int64, shape (n_items,), examples that never part.
        train_rows, validation_rows: int64, positions among the items.
        class_names: one a column of the logits.
    """

    items: Items
    labels: np.ndarray
    groups: np.ndarray
    train_rows: np.ndarray
    validation_rows: np.ndarray
    class_names: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """Columns of the logits."""
        return len(self.class_names)


class PhaseInputs:
    """Runs the frozen part for each phase, once a picture and view, and hands out batches.

    Args:
        classifier: is taken apart at the phases' boundaries.
        data: pictures of both sides.
        config: the phases and the seed.
        hardware: where the frozen part runs.
        store: keeps what it says.
        decisions: where a choice between keeping and streaming is recorded.
        reporter: shows progress.
    """

    def __init__(
        self,
        classifier: Classifier,
        data: TrainingData,
        config: Config,
        hardware: Hardware,
        store: FeatureStore,
        decisions: Decisions,
        reporter: Reporter,
    ) -> None:
        self._classifier = classifier
        self._data = data
        self._config = config
        self._store = store
        self._decisions = decisions
        self._batch_size = hardware.extraction_batch
        self._reporter = reporter
        self._engines = EngineSource(config, hardware, store, decisions, reporter, data.items.shape)
        self._built: dict[tuple[str, ...], Engine] = {}
        self._fingerprints: dict[BlockCount, str] = {}
        self._cut_of: dict[Path, BlockCount] = {}

    def seed(self, phase: Phase) -> int:
        """Of the random changes of a phase that streams."""
        return self._config.seed * 1009 + self._config.phases.index(phase) * 31 + 1

    @property
    def look_seconds(self) -> float:
        """To load a picture and run the frozen part on it."""
        return self._engines.look_seconds

    # --- the frozen part ---------------------------------------------------------------

    def prepare(
        self, phases: Sequence[Phase], announce: Callable[[Sequence[ViewPass]], None]
    ) -> None:
        """One pass over the pictures for all `phases` that stand on the weights as they are.

        What a phase needs that one before it will change is computed when it begins.

        Args:
            phases: that are left to train.
            announce: is told of the pass before it begins.
        """
        frozen = [p.unfreeze for p in phases if self._depth(p.unfreeze) < self._depth("all")]
        if frozen:
            self._choose_engine(self._ordered(frozen))
        plain: list[BlockCount] = []
        drawn: dict[View, list[BlockCount]] = {}
        for index, phase in enumerate(phases):
            depth = self._depth(phase.unfreeze)
            changed = any(self._depth(earlier.unfreeze) > depth for earlier in phases[:index])
            if changed or not self.keeps(phase):
                continue
            plain.append(phase.unfreeze)
            for view in self._views(phase):
                if view != PLAIN:
                    drawn.setdefault(view, []).append(phase.unfreeze)
        self._extract(plain, drawn, announce, later=True)

    def weights_changed(self) -> None:
        """Forget what was known of the weights below boundaries: a phase has trained."""
        before = dict(self._fingerprints)
        self._fingerprints.clear()
        if any(self._fingerprint(cut) != known for cut, known in before.items()):
            self._built.clear()

    def _extract(
        self,
        plain: Sequence[BlockCount],
        drawn: dict[View, list[BlockCount]],
        announce: Callable[[Sequence[ViewPass]], None] = lambda passes: None,
        *,
        later: bool = False,
    ) -> None:
        """Fill the tables of the plain view, for all sides, and of drawn views, for training."""
        data = self._data
        everything = np.arange(len(data.items.keys))
        wanted = [(PLAIN, self._ordered(plain), everything)] if plain else []
        wanted += [(view, self._ordered(cuts), data.train_rows) for view, cuts in drawn.items()]
        if not wanted:
            announce([])
            return
        self._choose_engine(wanted[0][1])
        whole = wanted[0][1]
        announce([self._pass(view, cuts, rows, whole) for view, cuts, rows in wanted])
        while True:
            passes = [self._pass(view, cuts, rows, whole) for view, cuts, rows in wanted]
            if later and not n_missing(data.items, passes[:1]):
                return  # nothing to share a pass with: each phase computes its own views
            n_looks = n_missing(data.items, passes)
            for one in passes:
                if one.todo:
                    one.engine()  # building it is no part of a look
            started = time.perf_counter()
            try:
                extract(
                    data.items,
                    passes,
                    batch_size=self._batch_size,
                    title="Computing features",
                    reporter=self._reporter,
                )
                if n_looks >= MANY_ENOUGH:
                    seconds = time.perf_counter() - started
                    self._engines.note_look_seconds(seconds / n_looks)
                    if "extraction" not in self._decisions.read():
                        self._decisions.record("extraction", {"seconds": round(seconds, 2)})
                return
            except TooLargeForFloat16 as error:
                self._widen(error.table)

    def _choose_engine(self, cuts: tuple[BlockCount, ...]) -> None:
        """Measure the engines on what runs up to `cuts`, unless it is known which one to take."""
        if self._engines.is_chosen:
            return
        built = self._engines.choose(
            self._fingerprint(0),
            lambda: self._joined(cuts),
            self._probe,
            len(self._data.items.keys),
            lambda: int(self._table(0, PLAIN).missing(self._data.items.keys).sum()),
        )
        if built is not None:
            self._built[tuple(self._fingerprint(cut) for cut in cuts)] = built

    def _probe(self) -> np.ndarray:
        """Some pictures (or texts) to measure with, shape (n, ...)."""
        rows = self._data.train_rows[:N_PROBE]
        return collate([self._data.items.load(int(row)) for row in rows])

    def _pass(
        self,
        view: View,
        cuts: tuple[BlockCount, ...],
        rows: np.ndarray,
        whole: tuple[BlockCount, ...],
    ) -> ViewPass:
        """What is wanted of a view; by the engine for the boundaries `whole` where that pays."""
        tables = [self._table(cut, view) for cut in cuts]
        if cuts == whole or not self._serves(whole, cuts, len(rows)):
            return ViewPass(view, lambda: self._engine(cuts), tables, rows)
        places = [whole.index(cut) for cut in cuts]
        return ViewPass(view, lambda: SomeOutputs(self._engine(whole), places), tables, rows)

    def _serves(
        self, whole: tuple[BlockCount, ...], cuts: tuple[BlockCount, ...], n_rows: int
    ) -> bool:
        """Whether to run further up than `cuts` costs less than to build another engine.

        Told by counts alone, so that a resumed run does the same.
        """
        if not set(cuts) <= set(whole):
            return False
        further = self._depth(cuts[0]) - self._depth(whole[0])
        share = further / len(self._classifier.backbone.blocks)
        return share * n_rows * self._engines.nominal_seconds < BUILD_SECONDS

    def _ordered(self, cuts: Iterable[BlockCount]) -> tuple[BlockCount, ...]:
        return tuple(sorted(set(cuts), key=self._depth))

    def _depth(self, cut: BlockCount) -> int:
        return count_blocks(self._classifier.backbone, cut)

    def _joined(self, cuts: tuple[BlockCount, ...]) -> keras.Model:
        """Pixels to the activations at every one of `cuts`."""
        model = self._classifier.backbone.model
        return keras.Model(model.input, [self._below(cut).output for cut in cuts])

    def _engine(self, cuts: tuple[BlockCount, ...]) -> Engine:
        """The engine for some boundaries, built once for the weights as they are."""
        key = tuple(self._fingerprint(cut) for cut in cuts)
        if key not in self._built:
            self._built[key] = self._engines.build(self._joined(cuts))
        return self._built[key]

    def _below(self, cut: BlockCount) -> keras.Model:
        below = self._classifier.below(cut)
        if below is None:
            raise ValueError("a phase that trains all blocks has no frozen part")
        return below

    def _fingerprint(self, cut: BlockCount) -> str:
        """Of what lies below a boundary, as its weights are now."""
        if cut not in self._fingerprints:
            self._fingerprints[cut] = model_fingerprint(self._below(cut))
        return self._fingerprints[cut]

    def _table(self, cut: BlockCount, view: View) -> Table:
        key = {
            "backbone": self._classifier.backbone.spec.name,
            # A SavedModel's graph is in no layer's configuration.
            "weights": self._classifier.backbone.weights_sha256,
            "unfreeze": cut,
            "model": self._fingerprint(cut),
            "engine": self._engines.identity,
            **self._data.items.key,
            **view.key(),
        }
        shape = tuple(self._below(cut).output.shape[1:])
        table = self._store.table("features", key, shape, self._dtype(cut))
        self._cut_of[table.folder] = cut
        return table

    def _dtype(self, cut: BlockCount) -> type:
        """Pooled features are few, and solved with: they are never rounded.

        Chosen once a run: what other runs find out meanwhile changes nothing.
        """
        if cut == 0:
            return np.float32
        kept = self._decisions.read().get("kept_dtypes", {})
        if str(cut) not in kept:
            wide = self._store.recall({"wide": self._fingerprint(cut)})
            kept = {**kept, str(cut): self._config.kept_dtype if wide is None else "float32"}
            self._decisions.record("kept_dtypes", kept)
        return np.dtype(kept[str(cut)]).type

    def _widen(self, table: Table) -> None:
        """From now on float32 for the boundary whose values a half float cannot hold."""
        cut = self._cut_of[table.folder]
        kept = self._decisions.read()["kept_dtypes"]
        self._decisions.record("kept_dtypes", {**kept, str(cut): "float32"})
        self._store.note({"wide": self._fingerprint(cut)}, {"dtype": "float32"})
        self._reporter.message(
            "Activations are too large for half floats; they are kept as float32."
        )

    # --- what phases ask for -----------------------------------------------------------

    def decide(self, phase: Phase) -> PhaseDecision:
        """Kept or streamed; chosen once a run."""
        below = self._classifier.below(phase.unfreeze)
        n_missing: int | None = None
        n_missing_drawn: int | None = None
        boundary = None if below is None else tuple(below.output.shape[1:])
        if boundary is not None and None in boundary:
            boundary = None  # hidden states of texts, as many as tokens: no table holds them
        if boundary is not None and self._draws_once(phase) and self._engines.is_chosen:
            n_missing, n_missing_drawn = self._n_missing(phase)
        return self._decisions.for_phase(
            phase,
            boundary,
            np.dtype(np.float32 if phase.unfreeze == 0 else self._config.kept_dtype),
            len(self._views(phase)) if self._draws_once(phase) else 0,
            len(self._data.train_rows),
            len(self._data.validation_rows),
            self.look_seconds,
            self._store.free_bytes(),
            n_missing=n_missing,
            n_missing_drawn=n_missing_drawn,
            limit_bytes=self._config.cache_limit_gb * GB,
        )

    def _n_missing(self, phase: Phase) -> tuple[int, int]:
        """Activations of a phase that are not in the store, and those of drawn views alone."""
        data = self._data
        both = np.concatenate([data.train_rows, data.validation_rows])
        plain, drawn = 0, 0
        for view in self._views(phase):
            rows = both if view == PLAIN else data.train_rows
            n = int(self._table(phase.unfreeze, view).missing(self._keys(rows)).sum())
            plain, drawn = (plain + n, drawn) if view == PLAIN else (plain, drawn + n)
        return plain + drawn, drawn

    def features(self, phase: Phase) -> np.ndarray:
        """Pooled features of the training side, the plain view first.

        Returns:
            float32, shape (1 + n_views, n_train, n_features).
        """
        self._ensure(phase)
        views = [self._rows(0, view, self._data.train_rows) for view in self._views(phase)]
        if len(views) == 1:
            return views[0].all()[np.newaxis]
        return np.stack([view.all() for view in views])

    def validation_features(self, phase: Phase) -> np.ndarray:
        """Pooled features of the validation side, float32, shape (n_validation, n_features)."""
        self._ensure(phase)
        return self._rows(0, PLAIN, self._data.validation_rows).all()

    def plain_features(self) -> np.ndarray:
        """Pooled features of every item, all sides, float32, shape (n_items, n_features)."""
        self._extract([0], {})
        return self._rows(0, PLAIN, np.arange(len(self._data.items.keys))).all()

    def source(self, phase: Phase, decision: PhaseDecision) -> BatchSource:
        """Training inputs at the phase's boundary."""
        data = self._data
        if decision.source == "streamed":
            # Where there is no room they are decoded again in every epoch.
            if self._fit(self._streamed_rows()):
                data.items.keep(self._streamed_rows(), self._reporter)
            return Streamed(data.items, data.train_rows, phase, self.seed(phase))
        self._ensure(phase)
        return KeptActivations(
            [self._rows(phase.unfreeze, view, data.train_rows) for view in self._views(phase)]
        )

    def pictures_to_keep(self, phases: Sequence[Phase]) -> tuple[int, int]:
        """How many pictures will be kept for phases that stream, and their bytes at most."""
        rows = self._streamed_rows()
        streams = any(not self.keeps(phase) for phase in phases)
        if not streams or not self._data.items.kept_bytes or not self._fit(rows):
            return 0, 0
        return len(rows), self._picture_bytes(rows)

    def _streamed_rows(self) -> list[int]:
        return [*self._data.train_rows.tolist(), *self._data.validation_rows.tolist()]

    def _picture_bytes(self, rows: Sequence[int]) -> int:
        return len(rows) * self._data.items.kept_bytes

    def _fit(self, rows: Sequence[int]) -> bool:
        return self._picture_bytes(rows) < MAX_DISK_SHARE * self._store.free_bytes()

    def validation(
        self, phase: Phase, decision: PhaseDecision, batch_size: int, order: np.ndarray
    ) -> Callable[[], Iterable[tf.Tensor]]:
        """A function that yields the validation inputs, plain.

        Args:
            phase: whose boundary they are wanted at.
            decision: where they come from.
            batch_size: that training goes with; where that had to get smaller, so do these.
            order: int64, positions on the validation side.
        """
        rows, size = self._data.validation_rows[order], min(self._batch_size, batch_size)
        batches = [np.arange(len(rows))[i : i + size] for i in range(0, len(rows), size)]
        if decision.source == "streamed":
            items = self._data.items
            return lambda: stream(items, [rows[batch] for batch in batches])
        self._ensure(phase)
        kept = self._rows(phase.unfreeze, PLAIN, rows)
        return lambda: (tf.constant(kept.take(batch).astype(np.float32)) for batch in batches)

    def plain_activations(self, cut: BlockCount) -> Rows | None:
        """The training side at a boundary; None where a run of this kind keeps none.

        What was kept and is gone is computed again: a run ends the same whatever was pruned.
        """
        phase = next(phase for phase in self._config.phases if phase.unfreeze == cut)
        if self._classifier.below(cut) is None or not self.keeps(phase):
            return None
        self._extract([cut], {})
        return self._rows(cut, PLAIN, self._data.train_rows)

    def _ensure(self, phase: Phase) -> None:
        """Compute what `prepare` could not."""
        drawn = {view: [phase.unfreeze] for view in self._views(phase) if view != PLAIN}
        self._extract([phase.unfreeze], drawn)

    def _rows(self, cut: BlockCount, view: View, rows: np.ndarray) -> Rows:
        return self._table(cut, view).rows(self._keys(rows))

    def _keys(self, rows: np.ndarray) -> list[bytes]:
        return [self._data.items.keys[row] for row in rows]

    def _draws_once(self, phase: Phase) -> bool:
        """Whether the phase's pictures are the same in every epoch, so that they can be kept."""
        return phase.views > 0 or not phase.augmentation.changes_pictures

    def _views(self, phase: Phase) -> list[View]:
        return views_of(phase.augmentation, phase.views)

    def keeps(self, phase: Phase) -> bool:
        """Whether a phase is fed with kept activations."""
        return self._config.solver(phase) == "lbfgs" or self.decide(phase).source == "kept"
