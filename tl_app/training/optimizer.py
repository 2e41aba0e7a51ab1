"""AdamW whose update, not whose gradient, is scaled layer by layer.

Adam divides by the gradient's own size, so a scaled gradient trains at the same speed: only
scaling the update makes lower layers move less (and their weight decay with it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import ops

from tl_app.config import Phase


@keras.saving.register_keras_serializable(package="tl_app")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a cosine or linear decay to zero, or a constant rate.

    Args:
        peak: learning rate after the warm-up.
        total_steps: steps of the whole phase.
        warmup_steps: steps that lead up to `peak`.
        shape: "cosine", "linear" or "constant".
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int, shape: str) -> None:
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.shape = shape

    def __call__(self, step):
        step = ops.cast(step, "float32")
        # The first step already moves: a rate of zero would waste it.
        warm = (step + 1.0) / (self.warmup_steps + 1.0)
        span = max(self.total_steps - self.warmup_steps, 1)
        progress = ops.clip((step - self.warmup_steps) / span, 0.0, 1.0)
        if self.shape == "cosine":
            decay = 0.5 * (1.0 + ops.cos(math.pi * progress))
        elif self.shape == "linear":
            decay = 1.0 - progress
        else:
            decay = ops.ones_like(progress)
        return self.peak * ops.where(step < self.warmup_steps, warm, decay)

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
        }


class LayerwiseAdamW(keras.optimizers.Adam):
    """AdamW with one factor a variable on the whole update, decay included.

    Args:
        learning_rate: a float or a schedule.
        factors: one a trainable variable, in the order given to `build`.
        weight_decay: applied to matrices and kernels only, never to biases or scales.
    """

    def __init__(self, learning_rate, factors: Sequence[float], weight_decay: float) -> None:
        super().__init__(learning_rate)
        self._factors = tuple(factors)
        self._decay = weight_decay

    def update_step(self, gradient, variable, learning_rate):
        rate = learning_rate * self._factors[self._get_variable_index(variable)]
        if self._decay and len(variable.shape) > 1:
            shrink = ops.cast(rate * self._decay, variable.dtype)
            self.assign_sub(variable, ops.multiply(variable, shrink))
        super().update_step(gradient, variable, rate)


def build_optimizer(
    phase: Phase,
    variables: Sequence[keras.Variable],
    factors: Sequence[float],
    *,
    steps_per_epoch: int,
    precision: str,
) -> tuple[keras.optimizers.Optimizer, WarmupSchedule]:
    """The optimizer of one phase, built on its variables (loss-scaled under float16), and the
    learning rate of each of its steps.
    """
    total = phase.epochs * steps_per_epoch
    schedule = WarmupSchedule(
        phase.peak_learning_rate, total, round(total * phase.warmup_fraction), phase.schedule
    )
    inner = LayerwiseAdamW(schedule, factors, phase.weight_decay)
    optimizer = (
        keras.optimizers.LossScaleOptimizer(inner) if precision == "mixed_float16" else inner
    )
    optimizer.build(list(variables))
    return optimizer, schedule
