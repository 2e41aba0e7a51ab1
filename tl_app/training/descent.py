"""Gradient descent of one phase: its step, its inputs, its learning rate, one epoch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from tl_app import interrupt
from tl_app.config import Config, Phase
from tl_app.data.wording import WORDINGS
from tl_app.errors import Interrupted
from tl_app.progress import Bar
from tl_app.training.batches import BatchSource, EpochPlan, Targets, plan_epoch, steps_per_epoch
from tl_app.training.checkpoint import TrainingState
from tl_app.training.classifier import Classifier, describe_phase, set_dropout, set_recompute
from tl_app.training.decisions import PhaseDecision
from tl_app.training.hardware import Hardware
from tl_app.training.lora import Adapter
from tl_app.training.optimizer import build_optimizer
from tl_app.training.phase_inputs import PhaseInputs, TrainingData
from tl_app.training.step import Forward, TrainStep


@dataclass(frozen=True, slots=True)
class Descent:
    """One phase, ready to go on from any step of any epoch.

    Attributes:
        phase: what it follows.
        decision: where its inputs come from.
        variables: what is trained.
        optimizer: built on them; where it stands is its own state.
        n_steps: of an epoch.
        plan: an epoch's number to the examples of its batches.
        source: training inputs.
        targets: what the loss compares with.
        step: takes one step.
        validation_logits: with the weights as they are; float32, shape (n_validation, n_classes).
        learning_rate: of the step that was taken last.
        adapter: low-rank updates, where the phase trains those in place of its blocks.
    """

    phase: Phase
    decision: PhaseDecision
    variables: Sequence[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    n_steps: int
    plan: Callable[[int], EpochPlan]
    source: BatchSource
    targets: Targets
    step: TrainStep
    validation_logits: Callable[[], np.ndarray]
    learning_rate: Callable[[], float]
    adapter: Adapter | None = None

    @property
    def moments(self) -> list[keras.Variable]:
        """All that a resumed run needs besides the classifier's own weights."""
        extra = [] if self.adapter is None else [*self.adapter.variables, *self.adapter.seeds]
        return [*self.optimizer.variables, *extra]

    def epoch(
        self, state: TrainingState, bar: Bar, save: Callable[[TrainingState], None]
    ) -> TrainingState:
        """The steps of one epoch, from `state.step` on.

        Args:
            state: where training stands.
            bar: is advanced by pictures.
            save: is called before a signal ends the epoch early.

        Raises:
            Interrupted: after saving, when a signal came.
        """
        plan = self.plan(state.epoch)
        loss, correct, count = state.sums
        bar.advance(int(plan.real[: state.step].sum()))
        inputs = self.source.inputs(plan, state.epoch, state.step)
        for number, batch in enumerate(inputs, start=state.step):
            step_loss, step_correct = self.step(
                *self.targets.batch(batch, plan, state.epoch, number)
            )
            n_real = int(plan.real[number].sum())
            loss, correct, count = loss + step_loss, correct + step_correct, count + n_real
            state = replace(state, step=number + 1, sums=(loss, correct, count))
            bar.advance(n_real, note=f"loss {loss / (number + 1):.3g}")
            signal_number = interrupt.requested()
            if signal_number is not None:
                save(state)
                raise Interrupted(signal_number)
        return state

    def describe(self, classifier: Classifier, hardware: Hardware, batch_size: int) -> str:
        """One line for people: what trains, on what, how long at most."""
        unit = WORDINGS[classifier.backbone.spec.modality].nouns
        return (
            f"{describe_phase(self.phase, classifier, self.variables)}, up to "
            f"{self.phase.epochs} epochs of {self.n_steps} steps of {batch_size} {unit}; "
            f"{self.decision.describe()}; {hardware.describe()}"
        )


def build_descent(
    phase: Phase,
    classifier: Classifier,
    data: TrainingData,
    config: Config,
    hardware: Hardware,
    strategy: tf.distribute.Strategy,
    inputs: PhaseInputs,
    *,
    class_weights: np.ndarray,
    batch_size: int,
) -> Descent:
    """Build what a phase trains with; the pictures are looked at here, where they were not yet.

    Args:
        phase: is solved by gradient descent.
        classifier: whose layers above the phase's boundary train.
        data: pictures of both sides.
        config: the seed, and the phase's place among the others.
        hardware: precision matters.
        strategy: holds the optimizer's variables.
        inputs: hands out activations or pictures.
        class_weights: float64, shape (n_classes,).
        batch_size: over all devices.
    """
    set_dropout(classifier.head, phase.dropout)
    decision = inputs.decide(phase)
    # Streamed pictures run through the frozen part too, in the same graph.
    streamed = decision.source == "streamed"
    set_recompute(classifier.backbone.model, phase.recompute)
    adapter = None
    # What is kept is the classifier itself, with what LoRA learned merged into it: that is told.
    kept = trained = (classifier.whole if streamed else classifier.above)(phase.unfreeze)
    if phase.lora_rank:
        with strategy.scope():
            adapter = Adapter(classifier, phase, inputs.seed(phase))
        trained = adapter.whole if streamed else adapter.above
    source = inputs.source(phase, decision)
    lengths = data.items.lengths if streamed else None
    spec = None
    if lengths is not None:
        spec = tf.TensorSpec((None, *data.items.shape), data.items.dtype)
    order = validation_order(data)
    validation = inputs.validation(phase, decision, batch_size, order)
    back = np.argsort(order)
    n_train = len(data.train_rows)
    n_steps = steps_per_epoch(n_train, batch_size)
    with strategy.scope():
        variables, factors = classifier.trainable(phase.unfreeze, phase.layer_decay)
        if adapter is not None:
            heads = list(classifier.head.trainable_variables)
            variables = [*heads, *adapter.variables]
            factors = [1.0] * len(variables)
        optimizer, schedule = build_optimizer(
            phase,
            variables,
            factors,
            steps_per_epoch=n_steps,
            precision=hardware.precision,
        )
    kernels = [v for v in classifier.head.trainable_variables if len(v.shape) > 1]
    number = config.phases.index(phase)
    forward = Forward(kept, spec)

    def validation_logits() -> np.ndarray:
        with nullcontext() if adapter is None else adapter.merged():
            return forward(validation())[back]

    return Descent(
        phase=phase,
        decision=decision,
        variables=variables,
        optimizer=optimizer,
        n_steps=n_steps,
        plan=lambda epoch: plan_epoch(
            n_train,
            batch_size,
            seed=config.seed,
            phase=number,
            epoch=epoch,
            lengths=None if lengths is None else lengths[data.train_rows],
        ),
        source=source,
        targets=Targets(data.labels[data.train_rows], class_weights, phase, inputs.seed(phase)),
        step=TrainStep(
            trained,
            variables,
            kernels,
            optimizer,
            strategy,
            phase,
            classifier.backbone.model,
            spec,
        ),
        validation_logits=validation_logits,
        learning_rate=lambda: float(schedule(optimizer.iterations - 1)),
        adapter=adapter,
    )


def validation_order(data: TrainingData) -> np.ndarray:
    """In which the validation side is looked at: int64, positions on it; texts by length."""
    if data.items.lengths is None:
        return np.arange(len(data.validation_rows))
    return np.argsort(data.items.lengths[data.validation_rows], kind="stable")
