"""One step of gradient descent, on one device or on several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tl_app.config import Phase


class TrainStep:
    """Weighted cross-entropy plus penalties, gradients, update; the same on every strategy.

    Args:
        above: inputs and `training` to logits.
        variables: what is trained, in the optimizer's order.
        penalised: kernels of the head, for `l1` and `l2`.
        optimizer: built on `variables`.
        strategy: shares each batch out over its devices.
        phase: penalties.
        backbone: its own losses (a hub model's regularisation) are added.
        inputs_spec: of inputs that differ in length, so that one trace serves them all (on
            several devices it is each length's own); None: of one shape.
    """

    def __init__(
        self,
        above: Callable,
        variables: Sequence[keras.Variable],
        penalised: Sequence[keras.Variable],
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        phase: Phase,
        backbone: keras.Model,
        inputs_spec: tf.TensorSpec | None = None,
    ) -> None:
        self._backbone = backbone
        self._above = above
        self._variables = list(variables)
        self._penalised = list(penalised)
        self._optimizer = optimizer
        self._strategy = strategy
        self._n_replicas = strategy.num_replicas_in_sync
        self._l1 = phase.l1
        self._l2 = 0.0 if phase.l2 == "auto" else phase.l2
        signature = None
        if inputs_spec is not None and self._n_replicas == 1:
            targets_spec = tf.TensorSpec((None, None), tf.float32)
            signature = [inputs_spec, targets_spec, tf.TensorSpec((None,), tf.float32)]
        # Nothing here needs its Python translated, which takes time and leaves files behind a kill.
        self._compiled = tf.function(self._distributed, input_signature=signature, autograph=False)

    def __call__(
        self, inputs: tf.Tensor, targets: np.ndarray, weights: np.ndarray
    ) -> tuple[float, float]:
        """Take one step.

        Args:
            inputs: float32, shape (batch_size, ...); of texts int32, (batch_size, length).
            targets: float32, shape (batch_size, n_classes).
            weights: float32, shape (batch_size,), already divided by the batch size.

        Returns:
            The weighted loss without penalties, and how many weighted examples were right.
        """
        shared = (self._share(tf.convert_to_tensor(t)) for t in (inputs, targets, weights))
        loss, correct = self._compiled(*shared)
        return float(loss), float(correct)

    def _share(self, tensor: tf.Tensor):
        if self._n_replicas == 1:
            return tensor
        per_replica = tensor.shape[0] // self._n_replicas
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tensor[
                context.replica_id_in_sync_group * per_replica : (
                    context.replica_id_in_sync_group + 1
                )
                * per_replica
            ]
        )

    def _distributed(self, inputs, targets, weights):
        losses, correct = self._strategy.run(self._replica, args=(inputs, targets, weights))
        total = tf.distribute.ReduceOp.SUM
        return (
            self._strategy.reduce(total, losses, axis=None),
            self._strategy.reduce(total, correct, axis=None),
        )

    def _replica(self, inputs, targets, weights):
        with tf.GradientTape() as tape:
            logits = self._above(inputs, True)
            losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_sum(losses * weights)
            # Every replica adds its share, since gradients are summed over replicas.
            penalty = tf.add_n(
                [
                    self._l1 * tf.reduce_sum(tf.abs(v)) + self._l2 * tf.reduce_sum(tf.square(v))
                    for v in self._penalised
                ]
                + [tf.cast(loss, tf.float32) for loss in self._backbone.losses]
            )
            scaled = self._optimizer.scale_loss(loss + penalty / self._n_replicas)
        gradients = tape.gradient(scaled, [v.value for v in self._variables])
        self._optimizer.apply(gradients, self._variables)
        right = tf.equal(tf.argmax(logits, axis=1), tf.argmax(targets, axis=1))
        counted = tf.cast(right & (weights > 0), tf.float32)
        return loss, tf.reduce_sum(counted)


class Forward:
    """Logits in inference mode, traced once a batch shape, or once for all that fit a spec."""

    def __init__(self, above: Callable, inputs_spec: tf.TensorSpec | None = None) -> None:
        signature = None if inputs_spec is None else [inputs_spec]
        self._compiled = tf.function(
            lambda inputs: above(inputs, False), input_signature=signature, autograph=False
        )

    def __call__(self, batches: Iterable[tf.Tensor]) -> np.ndarray:
        """float32, shape (n_examples, n_classes)."""
        return np.concatenate([self._compiled(batch).numpy() for batch in batches])
