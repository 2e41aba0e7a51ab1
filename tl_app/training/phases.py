"""All phases of a run, one loop.

Each phase starts from the best weights so far, and the best validation log-loss over all
phases wins: fine-tuning can hurt, and then the solved head is what remains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import takewhile

import keras
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax, softmax

from tl_app import interrupt
from tl_app.backbones.blocks import cut
from tl_app.config import Config, Phase, require_unmixed
from tl_app.data.listing import counted
from tl_app.data.wording import WORDINGS
from tl_app.errors import RunError
from tl_app.features.extract import ViewPass
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.records import EpochRecord
from tl_app.run import RunFolder
from tl_app.training.batches import (
    class_weights,
)
from tl_app.training.checkpoint import Checkpoints, TrainingState
from tl_app.training.classifier import BlockCount, Classifier
from tl_app.training.decisions import Decisions
from tl_app.training.descent import Descent, build_descent
from tl_app.training.estimate import estimate_ahead
from tl_app.training.hardware import Hardware
from tl_app.training.lora import Adapter, base_sha256, count_updates
from tl_app.training.phase_inputs import PhaseInputs, TrainingData
from tl_app.training.solving import solve_head
from tl_app.training.step import Forward
from tl_app.training.trackers import Tracker

MIN_GAIN = 1e-4
"""A validation log-loss must fall by this much to count as better within a phase."""


FLOAT_BYTES = 4
"""Optimizers keep their moments in float32, whatever the network computes in."""


def highest_unfreeze(phases: Iterable[Phase]) -> BlockCount:
    """The deepest boundary that any phase trains down to."""
    counts = [phase.unfreeze for phase in phases]
    return "all" if "all" in counts else max(counts)


def _n_parameters(variables: Iterable[keras.Variable]) -> int:
    return sum(int(np.prod(v.shape)) for v in variables)


def _is_over(state: TrainingState, phase: Phase) -> bool:
    """Asked before every epoch, so that a resumed run stops where the other would have."""
    stale = phase.patience_epochs is not None and state.epochs_without_gain >= phase.patience_epochs
    return stale or state.epoch >= phase.epochs


class PhaseTrainer:
    """Runs the phases of one run, from wherever its last checkpoint stands."""

    def __init__(
        self,
        classifier: Classifier,
        data: TrainingData,
        config: Config,
        hardware: Hardware,
        strategy: tf.distribute.Strategy,
        folder: RunFolder,
        store: FeatureStore,
        trackers: Sequence[Tracker],
        reporter: Reporter,
    ) -> None:
        """
        Raises:
            ConfigError: a phase changes pictures, and the data are texts.
        """
        self.classifier = classifier
        self.data = data
        self.config = config
        self.hardware = hardware
        self.strategy = strategy
        self.folder = folder
        self.trackers = trackers
        self.reporter = reporter
        if data.items.lengths is not None:
            require_unmixed(config.phases)
        self._untold: Sequence[Phase] = ()
        self.checkpoints = Checkpoints(folder.checkpoints)
        self.decisions = Decisions(folder)
        self.inputs = PhaseInputs(
            classifier,
            data,
            config,
            hardware,
            store,
            self.decisions,
            reporter,
        )
        self.variables = classifier.state_variables(highest_unfreeze(config.phases))
        # Nothing is restored yet: these are the pretrained weights.
        self.base_sha256 = (
            base_sha256(classifier.backbone.model)
            if any(phase.lora_rank for phase in config.phases)
            else None
        )
        self.decisions.record(
            "trainable", {"n_parameters": max(map(self._n_trainable, config.phases))}
        )
        self.class_weights = class_weights(
            data.labels[data.train_rows], data.n_classes, config.class_weights
        )

    def _n_trainable(self, phase: Phase) -> int:
        head = self.classifier.head.trainable_variables
        if phase.lora_rank:
            part = cut(self.classifier.backbone, phase.unfreeze)[1]
            return _n_parameters(head) + count_updates(part, phase.lora_rank)
        return _n_parameters(self.classifier.trainable(phase.unfreeze, 1.0)[0])

    def prepare(self) -> None:
        """Run the frozen part for the phases that are left, in one pass over the pictures.

        Raises:
            RunError: the checkpoint is damaged.
        """
        state = self._restore()
        phases = self.config.phases[state.phase :]
        self.inputs.prepare(phases, lambda passes: self._look_ahead(state, phases, passes))

    def kept_features(self) -> np.ndarray | None:
        """Pooled features of all sides, float32, shape (n_items, n_features), by the weights as
        they are; None where no phase needs them kept."""
        phases = self.config.phases
        if not any(phase.unfreeze == 0 and self.inputs.keeps(phase) for phase in phases):
            return None
        return self.inputs.plain_features()

    def run(self, *, before_descent: Callable[[], None] = lambda: None) -> TrainingState:
        """Train what is left to train; the classifier then holds the best weights.

        Args:
            before_descent: called once, before steps that may take long, or at the end.

        Raises:
            Interrupted: after saving, when a signal came.
            RunError: the checkpoint is damaged.
        """
        state = self._restore()
        has_descended = False
        for index in range(state.phase, len(self.config.phases)):
            phase = self.config.phases[index]
            if self.config.solver(phase) == "lbfgs":
                state = self._solve(state, phase)
            else:
                if not has_descended:
                    before_descent()
                    self._say_estimate(state, self._untold, ())
                    has_descended = True
                state = self._descend(state, phase)
            self.checkpoints.restore_best(state, self.variables)
            self.inputs.weights_changed()
            state = replace(
                state, phase=index + 1, epoch=0, step=0, sums=(0, 0, 0), epochs_without_gain=0
            )
            self.checkpoints.save(state, self.variables)
        if not has_descended:
            before_descent()
        kept = next(record for record in reversed(state.history) if record.is_best)
        self.reporter.message(
            f"Kept: phase '{kept.phase}'"
            + (f", epoch {kept.epoch}" if kept.learning_rate else "")
            + f", with the best validation log-loss ({kept.validation_log_loss:.3g})"
        )
        return state

    def _restore(self) -> TrainingState:
        """Where training stands, with the weights of then."""
        state = self.checkpoints.restore_state()
        if state is None:
            state = TrainingState(batch_size=self.config.batch_size)
            self.checkpoints.save(state, self.variables)
        else:
            self.checkpoints.restore_variables(self.variables)
        self.inputs.weights_changed()
        return state

    def predict_training_side(self) -> np.ndarray | None:
        """Probabilities of the training side with the weights as they are, from what was kept.

        Returns:
            float32, shape (n_train, n_classes); None where the pictures have to be read again:
            nothing was kept at the deepest boundary, or the layers above compute in half
            precision.
        """
        if self.hardware.precision != "float32":
            return None
        rows = self.inputs.plain_activations(highest_unfreeze(self.config.phases))
        if rows is None:
            return None
        forward = Forward(self.classifier.above(highest_unfreeze(self.config.phases)))
        size = self.hardware.extraction_batch
        batches = (np.arange(i, min(i + size, len(rows))) for i in range(0, len(rows), size))
        logits = forward(tf.constant(rows.take(batch).astype(np.float32)) for batch in batches)
        return softmax(logits.astype(np.float64), axis=1).astype(np.float32)

    # --- the head, solved --------------------------------------------------------------

    def _solve(self, state: TrainingState, phase: Phase) -> TrainingState:
        if any(record.phase == phase.name for record in state.history):
            return state  # killed after this was done, and before the next phase began
        features = self.inputs.features(phase)
        validation = self.inputs.validation_features(phase)
        started = time.perf_counter()
        solved = solve_head(
            features,
            self.data,
            phase,
            class_weights=self.class_weights,
            seed=self.config.seed,
            reporter=self.reporter,
        )
        self.classifier.set_linear_head(solved.head)
        record = self._record(
            state,
            phase,
            epoch=1,
            logits=solved.head.logits(validation),
            train_loss=solved.train_loss,
            train_accuracy=solved.train_accuracy,
            learning_rate=0.0,
            started=started,
        )
        self.reporter.message(
            f"Phase '{phase.name}': linear head solved, L2 {solved.head.l2:.2g}; validation "
            f"log-loss {record.validation_log_loss:.3g}, accuracy {record.validation_accuracy:.1%}"
        )
        state = replace(state, history=(*state.history, record))
        return self._keep_if_best(state, record)

    # --- gradient descent --------------------------------------------------------------

    def _descend(self, state: TrainingState, phase: Phase) -> TrainingState:
        while True:
            try:
                return self._descend_with(state, phase)
            except tf.errors.ResourceExhaustedError as error:
                wording = WORDINGS[self.classifier.backbone.spec.modality]
                n_devices = len(self.hardware.devices)
                halved = state.batch_size // 2 // n_devices * n_devices
                if halved < n_devices:
                    raise RunError(
                        f"The device's memory is too small for a single {wording.noun} a device.",
                        received=f"batch_size {state.batch_size}",
                        allowed=wording.lighter,
                        next_step="tl-app train ... "
                        + wording.lighten.format(index=self.config.phases.index(phase)),
                    ) from error
                # Back to the last checkpoint, the beginning of this epoch.
                state = self.checkpoints.restore_state() or state
                self.checkpoints.restore_variables(self.variables)
                self.reporter.warn(
                    "The device ran out of memory with "
                    f"{counted(state.batch_size, wording.noun)} a batch; phase "
                    f"'{phase.name}' goes on from epoch {state.epoch + 1} with {halved}."
                )
                state = replace(state, batch_size=halved, step=0, sums=(0.0, 0.0, 0.0))
                self.checkpoints.save_state(state)

    def _descend_with(self, state: TrainingState, phase: Phase) -> TrainingState:
        descent = build_descent(
            phase,
            self.classifier,
            self.data,
            self.config,
            self.hardware,
            self.strategy,
            self.inputs,
            class_weights=self.class_weights,
            batch_size=state.batch_size,
        )
        moments = descent.moments
        self._note_trained(phase, descent)
        if state.epoch or state.step:
            self.checkpoints.restore_optimizer(moments)
            # Where the batch was halved, an epoch has more steps than it had.
            descent.optimizer.iterations.assign(state.epoch * descent.n_steps + state.step)
        self.reporter.message(descent.describe(self.classifier, self.hardware, state.batch_size))

        phase_best = min(
            (r.validation_log_loss for r in state.history if r.phase == phase.name),
            default=float("inf"),
        )
        while not _is_over(state, phase):
            epoch = state.epoch
            started = time.perf_counter()
            title = f"{phase.name} {epoch + 1}/{phase.epochs}"
            with (
                interrupt.deferred(),
                self.reporter.bar(title, len(self.data.train_rows), self.data.items.unit) as bar,
            ):
                state = descent.epoch(
                    state, bar, lambda cut: self.checkpoints.save(cut, self.variables, moments)
                )
            loss, correct, count = state.sums
            logits = descent.validation_logits()
            if not (np.isfinite(loss) and np.isfinite(logits).all()):
                if state.best is None:
                    raise RunError(
                        "Training diverged before any weights were worth keeping.",
                        received=f"phase '{phase.name}', learning_rate "
                        f"{phase.peak_learning_rate:g}",
                        allowed="a lower learning rate",
                        next_step="train anew with a tenth of it",
                    )
                self.reporter.warn(
                    f"Phase '{phase.name}' diverged in epoch {epoch + 1} and ends here; the best "
                    "weights so far are kept. A learning_rate below "
                    f"{phase.peak_learning_rate:g} helps."
                )
                break
            record = self._record(
                state,
                phase,
                epoch=epoch + 1,
                logits=logits,
                train_loss=loss / descent.n_steps,
                train_accuracy=None if descent.targets.mixes else correct / count,
                learning_rate=descent.learning_rate(),
                started=started,
            )
            gained = record.validation_log_loss < phase_best - MIN_GAIN
            phase_best = min(phase_best, record.validation_log_loss)
            state = replace(
                state,
                epoch=epoch + 1,
                step=0,
                sums=(0.0, 0.0, 0.0),
                history=(*state.history, record),
                epochs_without_gain=0 if gained else state.epochs_without_gain + 1,
            )
            state = self._keep_if_best(state, record, moments, descent.adapter)
            self.reporter.message(
                f"  epoch {epoch + 1}/{phase.epochs}: loss {record.train_loss:.3g}, validation "
                f"log-loss {record.validation_log_loss:.3g}, accuracy "
                f"{record.validation_accuracy:.1%}{' (best so far)' if record.is_best else ''}"
            )
        if state.epoch < phase.epochs and state.epochs_without_gain:
            self.reporter.message(
                f"  stopped: {state.epochs_without_gain} epochs in which the validation log-loss "
                f"fell by less than {MIN_GAIN:g}"
            )
        return state

    def _note_trained(self, phase: Phase, descent: Descent) -> None:
        """What a phase trains, and what that takes, for the report."""
        noted = self.decisions.read().get("trained", {})
        noted[phase.name] = {
            "n_parameters": _n_parameters(descent.variables),
            "optimizer_bytes": FLOAT_BYTES * _n_parameters(descent.optimizer.variables),
        }
        self.decisions.record("trained", noted)

    def _look_ahead(
        self, state: TrainingState, phases: Sequence[Phase], passes: Sequence[ViewPass]
    ) -> None:
        """Tell what is ahead. Where a head can be solved at once, it need not wait until the steps
        behind it are timed."""
        solved = list(takewhile(lambda phase: self.config.solver(phase) == "lbfgs", phases))
        n_looks = sum(one.look(self.data.items.keys) for one in passes)
        told = solved if solved and not n_looks else phases
        self._untold = phases[len(told) :]
        self._say_estimate(state, told, passes)

    def _say_estimate(
        self, state: TrainingState, phases: Sequence[Phase], passes: Sequence[ViewPass]
    ) -> None:
        """Tell of phases, and keep what was told beside what then happens."""
        if not phases:
            return
        estimate = estimate_ahead(
            phases,
            passes,
            self.classifier,
            self.data,
            self.config,
            self.inputs,
            self.hardware,
            batch_size=state.batch_size,
        )
        known = self.decisions.read().get("estimate", {})
        told = {**estimate.to_dict(), **known}  # a resumed run has less ahead
        told["phases"] = {**estimate.to_dict()["phases"], **known.get("phases", {})}
        self.decisions.record("estimate", told)
        self.reporter.message(estimate.describe())

    # --- records -----------------------------------------------------------------------

    def _record(
        self,
        state: TrainingState,
        phase: Phase,
        *,
        epoch: int,
        logits: np.ndarray,
        train_loss: float,
        train_accuracy: float | None,
        learning_rate: float,
        started: float,
    ) -> EpochRecord:
        labels = self.data.labels[self.data.validation_rows]
        log_p = log_softmax(logits.astype(np.float64), axis=1)
        log_loss = float(-log_p[np.arange(len(labels)), labels].mean())
        record = EpochRecord(
            phase=phase.name,
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_log_loss=log_loss,
            validation_accuracy=float((logits.argmax(axis=1) == labels).mean()),
            learning_rate=learning_rate,
            seconds=time.perf_counter() - started,
            is_best=log_loss < state.best_loss,
        )
        for tracker in self.trackers:
            tracker.log(len(state.history), record)
        return record

    def _keep_if_best(
        self,
        state: TrainingState,
        record: EpochRecord,
        optimizer: Sequence[keras.Variable] = (),
        adapter: Adapter | None = None,
    ) -> TrainingState:
        if record.is_best:
            state = replace(state, best_loss=record.validation_log_loss)
            with nullcontext() if adapter is None else adapter.merged():
                state = self.checkpoints.save_best(
                    state, record.phase, record.epoch, self.variables
                )
            # After a phase that changed the blocks themselves, there is no base to go with it.
            if adapter is not None and adapter.base_sha256 == self.base_sha256:
                adapter.save(
                    self.folder.adapter_file(record.phase), self.config, self.data.class_names
                )
        self.checkpoints.save(state, self.variables, optimizer)
        return state
