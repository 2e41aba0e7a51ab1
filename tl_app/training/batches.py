"""Batches of one epoch: from kept activations, or streamed through augmentation.

Every batch has the full size: the last one is filled up with repeated examples of weight
zero, so that a step is traced once and every device gets its share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from tl_app.config import Augmentation, Phase
from tl_app.features.extract import N_AHEAD, traced_augment, view_seeds
from tl_app.features.items import Items, collate
from tl_app.features.table import Rows
from tl_app.inputs.ahead import run_ahead
from tl_app.inputs.augment import mix_batch

ALIKE_WINDOW = 50
"""Batches whose texts are sorted by length among themselves: enough to find neighbours of like
length, few enough that a batch is drawn from much of the data."""


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """Which examples make up each batch.

    Attributes:
        rows: int64, shape (n_steps, batch_size), positions among the training examples.
        real: bool, same shape; False where an example only fills up the last batch.
    """

    rows: np.ndarray
    real: np.ndarray

    @property
    def n_steps(self) -> int:
        return len(self.rows)


def steps_per_epoch(n_examples: int, batch_size: int) -> int:
    """Batches that hold every example once, the last one filled up."""
    return -(-n_examples // batch_size)


def plan_epoch(
    n_examples: int,
    batch_size: int,
    *,
    seed: int,
    phase: int,
    epoch: int,
    lengths: np.ndarray | None = None,
) -> EpochPlan:
    """A new order for every epoch, the same for the same numbers.

    Args:
        n_examples: of the training side.
        batch_size: examples of a step.
        seed, phase, epoch: decide the order.
        lengths: int64, shape (n_examples,), of texts. Batches are then made of texts of nearly
            one length, so that little is filled up, and come in a random order: long texts
            are no more likely at one end of the epoch than at the other.
    """
    random = np.random.default_rng([seed, phase, epoch])
    order = random.permutation(n_examples)
    n_steps = steps_per_epoch(n_examples, batch_size)
    real = (np.arange(n_steps * batch_size) < n_examples).reshape(n_steps, -1)
    if lengths is None:
        return EpochPlan(np.resize(order, n_steps * batch_size).reshape(n_steps, -1), real)
    # The few of a batch that is not full weigh more: drawn before the sorting, they are any.
    n_full = n_examples // batch_size * batch_size
    full, rest = order[:n_full], order[n_full:]
    window = ALIKE_WINDOW * batch_size
    parts = [full[i : i + window] for i in range(0, n_full, window)]
    alike = [part[np.argsort(lengths[part], kind="stable")] for part in parts]
    filled = np.concatenate([*alike, np.resize(rest, (n_steps * batch_size - n_full,))])
    steps = random.permutation(n_steps)
    return EpochPlan(filled.reshape(n_steps, -1)[steps], real[steps])


class BatchSource(Protocol):
    """Where a phase's inputs come from."""

    def inputs(self, plan: EpochPlan, epoch: int, first_step: int) -> Iterator[tf.Tensor]:
        """The input of every step from `first_step` on."""


@dataclass(frozen=True, slots=True)
class KeptActivations:
    """Activations at the boundary; views, each one row a training example, are cycled."""

    views: Sequence[Rows]

    def inputs(self, plan: EpochPlan, epoch: int, first_step: int) -> Iterator[tf.Tensor]:
        n_views = len(self.views)
        for rows in plan.rows[first_step:]:
            view_of = (rows + epoch) % n_views
            batch = np.empty((len(rows), *self.views[0].shape), np.float32)
            for number, view in enumerate(self.views):
                mine = view_of == number
                if mine.any():
                    batch[mine] = view.take(rows[mine])
            yield tf.constant(batch)


@dataclass(frozen=True, slots=True)
class Streamed:
    """Pictures augmented anew every epoch, or texts, for what cannot be kept.

    Attributes:
        items: of both sides.
        rows: int64, which of them are the training examples.
        phase: its augmentation.
        seed: of the changes.
    """

    items: Items
    rows: np.ndarray
    phase: Phase
    seed: int

    def inputs(self, plan: EpochPlan, epoch: int, first_step: int) -> Iterator[tf.Tensor]:
        augmentation = self.phase.augmentation
        return stream(
            self.items,
            [self.rows[rows] for rows in plan.rows[first_step:]],
            augmentation=augmentation if augmentation.changes_pictures else None,
            draw=epoch,
            seed=self.seed,
        )


def stream(
    items: Items,
    batches: Sequence[np.ndarray],
    *,
    augmentation: Augmentation | None = None,
    draw: int = 0,
    seed: int = 0,
) -> Iterator[tf.Tensor]:
    """Batches of pictures or texts, as the network takes them, loaded and changed by threads.

    Args:
        items: where they come from.
        batches: positions of each batch, in order.
        augmentation: None for the plain view.
        draw, seed: of the random changes.
    """
    change = None if augmentation is None else traced_augment(augmentation, items)

    def load(position: int) -> np.ndarray:
        item = items.load(position)
        if change is None:
            return item
        return change(item, view_seeds([items.keys[position]], draw, salt=seed + 1)[0])

    positions = (int(position) for batch in batches for position in batch)
    loaded = run_ahead(positions, load, n_ahead=N_AHEAD)
    for batch in batches:
        yield tf.constant(collate([next(loaded) for _ in batch]))


@dataclass(frozen=True, slots=True)
class Targets:
    """Labels as the loss wants them.

    Attributes:
        labels: int64, shape (n_examples,), of the training examples.
        class_weights: float64, shape (n_classes,), mean 1 over the training examples.
        phase: label smoothing and mixing.
        seed: of the mixing.
    """

    labels: np.ndarray
    class_weights: np.ndarray
    phase: Phase
    seed: int

    @property
    def mixes(self) -> bool:
        return self.phase.mixup_alpha > 0 or self.phase.cutmix_alpha > 0

    def batch(
        self, inputs: tf.Tensor, plan: EpochPlan, epoch: int, step: int
    ) -> tuple[tf.Tensor, np.ndarray, np.ndarray]:
        """Inputs (mixed where asked), targets (n, n_classes) and weights (n,), float32.

        Weights are divided by the batch size, so that a plain sum of weighted losses is the
        loss of the whole batch, however it is shared out over devices.
        """
        n_classes = len(self.class_weights)
        targets = np.eye(n_classes, dtype=np.float32)[self.labels[plan.rows[step]]]
        if self.mixes:
            seed = view_seeds([b"mix"], step, salt=self.seed * 4096 + epoch)[0]
            inputs, mixed = mix_batch(
                inputs,
                tf.constant(targets),
                tf.constant(seed),
                self.phase.mixup_alpha,
                self.phase.cutmix_alpha,
            )
            targets = mixed.numpy()
        # Weighted after mixing: a mixed picture weighs what its two classes weigh.
        weights = targets @ self.class_weights * plan.real[step] / plan.real[step].sum()
        smoothing = self.phase.label_smoothing
        targets = targets * (1.0 - smoothing) + smoothing / n_classes
        return inputs, targets.astype(np.float32), weights.astype(np.float32)


def class_weights(labels: np.ndarray, n_classes: int, setting: str) -> np.ndarray:
    """One weight a class; the mean over the examples is 1.

    Args:
        labels: int64, training labels.
        n_classes: columns.
        setting: "balanced", "none", or "auto" (balanced where the largest class has more than
            1.5 times the examples of the smallest).

    Returns:
        float64, shape (n_classes,).
    """
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    present = counts > 0
    balanced = setting == "balanced" or (
        setting == "auto" and counts[present].max() > 1.5 * counts[present].min()
    )
    weights = np.ones(n_classes)
    if balanced:
        weights[present] = len(labels) / (present.sum() * counts[present])
    return weights
