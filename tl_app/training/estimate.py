"""What a run is about to take, told before it begins: measured on a few pictures, then added up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from tl_app.config import Config, Phase
from tl_app.data.listing import counted
from tl_app.engines.base import Engine
from tl_app.environment import usable_cores
from tl_app.features.extract import ViewPass, loader
from tl_app.features.items import Items, by_shape
from tl_app.heads.linear import L2_GRID
from tl_app.inputs.ahead import run_ahead
from tl_app.records import Modality
from tl_app.training.batches import steps_per_epoch
from tl_app.training.classifier import Classifier
from tl_app.training.engine_choice import LOAD_SECONDS
from tl_app.training.hardware import Hardware
from tl_app.training.lora import Adapter
from tl_app.training.phase_inputs import PhaseInputs, TrainingData
from tl_app.units import bytes_text, duration_text

N_PROBE = 32
"""Pictures that the frozen part is timed with."""

FEW_STEPS = 20
"""A phase of so few is not timed: to trace a step and take some would last as long as it does."""

TRACE_FACTOR = 3.0
"""A phase of gradient descent begins with tracing its step and its validation, which takes so
many times what tracing the bare step does."""

STEP_SECONDS = 0.004
"""Of a step besides its arithmetic: gathering the batch, updating the weights."""

FOLD_EVALUATIONS, FINAL_EVALUATIONS = 20, 60
"""Of the loss and its gradient: for one strength on one fold, which starts from the strength
before, and for the head itself; counted on photographs."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds ahead, and bytes on disk.

    Attributes:
        features: for what the frozen part has still to say.
        phases: name of a phase -> at most so many seconds, early stopping aside.
        n_looks: pictures times views that are still to be looked at.
        disk_bytes: that kept features will take.
        modality: of what is looked at.
    """

    features: float
    phases: Mapping[str, float]
    n_looks: int
    disk_bytes: int
    modality: Modality = "image"

    def to_dict(self) -> dict[str, Any]:
        return {
            "features": round(self.features, 2),
            "phases": {name: round(seconds, 2) for name, seconds in self.phases.items()},
            "n_looks": self.n_looks,
            "disk_bytes": self.disk_bytes,
        }

    def describe(self) -> str:
        """One line for people."""
        looks = counted(self.n_looks, "look at pictures", "looks at pictures")
        if self.modality == "text":
            looks = counted(self.n_looks, "text")
        features = f"features {duration_text(self.features)} ({looks})"
        parts = [features] if self.n_looks else []
        parts += [f"{name} {duration_text(seconds)}" for name, seconds in self.phases.items()]
        if self.disk_bytes:
            parts.append(f"{bytes_text(self.disk_bytes)} of disk")
        if not parts:
            parts.append("nothing that takes time")
        return "Ahead, about: " + ", ".join(parts) + " (less where a phase stops early)"


def estimate_ahead(
    phases: Sequence[Phase],
    passes: Sequence[ViewPass],
    classifier: Classifier,
    data: TrainingData,
    config: Config,
    inputs: PhaseInputs,
    hardware: Hardware,
    *,
    batch_size: int,
) -> Estimate:
    """What is ahead of a run: the looks at pictures that are missing, then its phases."""
    seconds, n_looks, disk_bytes = measure_looks(
        data.items, passes, hardware.extraction_batch, inputs.look_seconds
    )
    ahead = estimate_phases(
        phases,
        classifier,
        data,
        config,
        inputs,
        batch_size=batch_size,
        n_devices=len(hardware.devices),
    )
    n_pictures, picture_bytes = inputs.pictures_to_keep(phases)
    return Estimate(
        seconds + n_pictures * LOAD_SECONDS,
        ahead,
        n_looks,
        disk_bytes + picture_bytes,
        classifier.backbone.spec.modality,
    )


def measure_looks(
    items: Items, passes: Sequence[ViewPass], batch_size: int, look_seconds: float
) -> tuple[float, int, int]:
    """How long `extract` will take.

    Args:
        items: where they come from.
        passes: what is wanted of them, the plain view first; engines are built here if they
            are not yet.
        batch_size: pictures that an engine is given at once.
        look_seconds: what a look took when engines were chosen. It is believed where the plain
            view is here already: the head can begin, and need not wait for an engine.

    Returns:
        Seconds, looks, and bytes on disk.
    """
    n_todo = [one.look(items.keys) for one in passes]
    positions = sorted(set().union(*(one.todo for one in passes)))
    if not positions:
        return 0.0, 0, 0
    disk_bytes = sum(
        n * table.row_bytes for one, n in zip(passes, n_todo, strict=True) for table in one.tables
    )
    if not n_todo[0]:
        return sum(n_todo) * look_seconds, sum(n_todo), disk_bytes
    load = loader(items, passes)
    probe = positions[:: max(1, len(positions) // N_PROBE)][:N_PROBE]
    list(run_ahead(probe[:8], load, n_ahead=8))  # the first calls trace, and wake the threads
    started = time.perf_counter()
    looks = list(run_ahead(probe, load, n_ahead=len(probe)))
    seconds = (time.perf_counter() - started) / len(probe) * len(positions)
    for number, (one, n) in enumerate(zip(passes, n_todo, strict=True)):
        mine = [p for _, found in looks if (p := found[number]) is not None][:batch_size]
        if mine:
            seconds += n * _engine_seconds(one.engine(), mine)
    return seconds, sum(n_todo), disk_bytes


def _engine_seconds(engine: Engine, items: Sequence[np.ndarray]) -> float:
    """An item, after a first call that may trace; of every shape a full batch is timed."""
    seconds = 0.0
    for alike in by_shape(items):
        seconds += _batch_seconds(engine, alike, len(items)) * len(alike)
    return seconds / len(items)


def _batch_seconds(engine: Engine, alike: np.ndarray, n: int) -> float:
    batch = np.resize(alike, (n, *alike.shape[1:]))
    engine(batch)
    return _median_seconds(lambda: engine(batch)) / n


def estimate_solving(n_examples: int, n_features: int, n_classes: int, *, choose: bool) -> float:
    """Seconds to solve a linear head, with or without the choice of its penalty."""
    random = np.random.default_rng(0)
    n_timed = min(n_examples, 2000)
    values = random.normal(size=(n_timed, min(n_features, n_timed)))
    kernel = random.normal(size=(values.shape[1], n_classes))

    def evaluate() -> None:
        logits = values @ kernel
        values.T @ (np.exp(logits - logits.max(axis=1, keepdims=True)))

    with threadpool_limits(1, "blas"):
        seconds = _median_seconds(evaluate)
    n_folds = 3 if n_examples > 1000 else 5
    rounds = -(-n_folds // usable_cores()) * (n_folds - 1) / n_folds
    n_evaluations = FINAL_EVALUATIONS
    if choose:
        n_evaluations += round(len(L2_GRID) * rounds * FOLD_EVALUATIONS)
    return seconds * n_evaluations * n_examples / n_timed


def estimate_descent(
    above: Callable,
    variables: Sequence[Any],
    shape: tuple[int, ...],
    dtype: str,
    *,
    phase: Phase,
    n_steps: int,
    n_validation: int,
) -> float | None:
    """Seconds of a phase that descends, all its epochs; its inputs are not counted.

    The step is taken on nothing and changes nothing.

    Args:
        above: inputs and `training` to logits.
        variables: what is trained.
        shape, dtype: of the batch that one device is given.
        phase: how many epochs.
        n_steps: of an epoch.
        n_validation: pictures.

    Returns:
        None where the memory does not hold a batch, which training will find out by itself.
    """
    values = [variable.value for variable in variables]

    @tf.function(autograph=False)
    def step(batch: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(above(batch, False))
        return tape.gradient(loss, values)

    try:
        batch = tf.zeros(shape, dtype)
        started = time.perf_counter()
        step(batch)
        first = time.perf_counter() - started
        seconds = _median_seconds(lambda: step(batch))
    except tf.errors.ResourceExhaustedError:
        return None
    tracing = TRACE_FACTOR * max(first - seconds, 0.0)
    steps = n_steps + n_validation / shape[0] / 3
    return tracing + phase.epochs * steps * (seconds + STEP_SECONDS)


def estimate_phases(
    phases: Sequence[Phase],
    classifier: Classifier,
    data: TrainingData,
    config: Config,
    inputs: PhaseInputs,
    *,
    batch_size: int,
    n_devices: int,
) -> dict[str, float]:
    """Name -> seconds if no phase stops early; those that cannot be told are left out."""
    n_train = len(data.train_rows)
    found: dict[str, float | None] = {}
    for phase in phases:
        if config.solver(phase) == "lbfgs":
            n_views = 1 + (phase.views if phase.augmentation.changes_pictures else 0)
            found[phase.name] = estimate_solving(
                n_views * n_train,
                classifier.head.input.shape[-1],
                data.n_classes,
                choose=phase.l2 == "auto",
            )
            continue
        n_steps = steps_per_epoch(n_train, batch_size)
        if phase.epochs * n_steps <= FEW_STEPS:
            continue
        decision = inputs.decide(phase)
        below = classifier.below(phase.unfreeze)
        streamed = decision.source == "streamed"
        shape, dtype = _step_input(data)
        if not streamed and below is not None:
            shape, dtype = tuple(below.output.shape[1:]), "float32"
        if phase.recompute:  # to take a step without it may need more memory than there is
            continue
        above = (classifier.whole if streamed else classifier.above)(phase.unfreeze)
        variables = classifier.trainable(phase.unfreeze, phase.layer_decay)[0]
        if phase.lora_rank:
            adapter = Adapter(classifier, phase, seed=0)
            above = adapter.whole if streamed else adapter.above
            variables = [*classifier.head.trainable_variables, *adapter.variables]
        descent = estimate_descent(
            above,
            variables,
            (batch_size // n_devices, *shape),
            dtype,
            phase=phase,
            n_steps=n_steps,
            n_validation=len(data.validation_rows),
        )
        if descent is not None and streamed and data.items.lengths is None:
            descent += phase.epochs * n_train * LOAD_SECONDS
        found[phase.name] = descent
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def _step_input(data: TrainingData) -> tuple[tuple[int, ...], str]:
    """Shape of an item in a batch of training, and its type; texts are as long as their mean."""
    items = data.items
    if items.lengths is None:
        return tuple(n for n in items.shape if n is not None), items.dtype
    return (round(float(items.lengths[data.train_rows].mean())),), items.dtype


def _median_seconds(work: Callable[[], object], *, repeats: int = 3) -> float:
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return median(found)
