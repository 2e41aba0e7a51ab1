"""The classifier: a backbone, pooling, and a Dense head, and how it is taken apart to train."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np

from tl_app.backbones.bert import MaskedMean
from tl_app.backbones.blocks import (
    Backbone,
    NTopBlocks,
    count_blocks,
    cut,
    layer_depths,
    set_trainable,
)
from tl_app.config import Config, Phase
from tl_app.data.listing import counted
from tl_app.errors import RunError
from tl_app.heads.linear import LinearHead

BlockCount = NTopBlocks
"""Blocks that train, from the top: a number, or "all"."""


POOL = "pool"
"""Name of the layer whose output is the features."""

POOLS: dict[int, Callable[..., keras.layers.Layer]] = {
    4: keras.layers.GlobalAveragePooling2D,
    3: MaskedMean,
    2: partial(keras.layers.Activation, "linear"),
}
"""How a backbone's output of so many axes becomes a vector: a map, hidden states, a vector."""


class Classifier:
    """A backbone with a head on its pooled features.

    Attributes:
        backbone: pixels (n, S, S, 3) float32 in 0..255 to a map or a vector, or int32 token
            numbers (n, length) to hidden states.
        pool: map or hidden states to vector; float32 whatever the policy.
        head: features float32 (n, n_features) to logits float32 (n, n_classes).
    """

    def __init__(self, backbone: Backbone, n_classes: int, config: Config) -> None:
        self.backbone = backbone
        output = backbone.model.output
        self.pool = POOLS[len(output.shape)](dtype="float32", name=POOL)
        self.head = _build_head(output.shape[-1], n_classes, config)
        self._parts: dict[BlockCount, tuple[keras.Model, keras.Model]] = {}
        self._pooled: keras.Model | None = None

    def probabilities(self) -> keras.Model:
        """Pixels to probabilities, softmax in float32."""
        logits = self.head(self.pool(self.backbone.model.output))
        probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
        return keras.Model(self.backbone.model.input, probabilities, name="classifier")

    def below(self, unfreeze: BlockCount) -> keras.Model | None:
        """Pixels to the boundary under the top blocks; None where all blocks train.

        With 0 the boundary is the pooled features.
        """
        model = self.backbone.model
        if unfreeze == 0:
            if self._pooled is None:
                self._pooled = keras.Model(model.input, self.pool(model.output))
            return self._pooled
        if count_blocks(self.backbone, unfreeze) == len(self.backbone.blocks):
            return None
        return self._cut(unfreeze)[0]

    def _cut(self, unfreeze: BlockCount) -> tuple[keras.Model, keras.Model]:
        """Below and above a boundary; asked for often, and slow to put together."""
        if unfreeze not in self._parts:
            self._parts[unfreeze] = cut(self.backbone, unfreeze)
        return self._parts[unfreeze]

    def whole(self, unfreeze: BlockCount) -> Callable:
        """A function of pictures and `training` to logits; what is frozen stays in inference
        mode (no dropout), as it would for kept activations.
        """
        below, above = self.below(unfreeze), self.above(unfreeze)
        if below is None:
            return above
        return lambda x, training: above(below(x, training=False), training)

    def above(self, unfreeze: BlockCount) -> Callable:
        """A function of the boundary and `training` to logits; it shares the layers."""
        if unfreeze == 0:
            return lambda x, training: self.head(x, training=training)
        part = self._cut(unfreeze)[1]
        return lambda x, training: self.head(
            self.pool(part(x, training=training)), training=training
        )

    def trainable(
        self, unfreeze: BlockCount, layer_decay: float
    ) -> tuple[list[keras.Variable], list[float]]:
        """Make `unfreeze` blocks trainable; their variables with each one's update factor.

        The head moves at the full rate, the block below it at `layer_decay` of it, and so on.
        """
        set_trainable(self.backbone, unfreeze)
        depths = layer_depths(self.backbone)
        variables = list(self.head.trainable_variables)
        factors = [1.0] * len(variables)
        for layer in self.backbone.model.layers:
            for variable in layer.trainable_variables:
                variables.append(variable)
                factors.append(layer_decay ** (depths.get(layer.name, 0) + 1))
        return variables, factors

    def state_variables(self, unfreeze: BlockCount) -> list[keras.Variable]:
        """Every variable that any phase up to `unfreeze` can change, dropout seeds included."""
        variables, _ = self.trainable(unfreeze, 1.0)
        seeds = [*self.head.non_trainable_variables, *self.backbone.model.non_trainable_variables]
        known = {id(v) for v in variables}
        return variables + [v for v in seeds if "seed_generator" in v.path and id(v) not in known]

    def set_linear_head(self, solved: LinearHead) -> None:
        """Put a solved head into the Dense layer."""
        self.head.get_layer("logits").set_weights([solved.kernel, solved.bias])

    def scale_logits(self, factor: float) -> None:
        """Multiply the logits: a temperature of T is a factor of 1/T."""
        layer = self.head.get_layer("logits")
        layer.set_weights([weight * np.float32(factor) for weight in layer.get_weights()])

    def get_weights(self) -> list[np.ndarray]:
        """All weights, in an order that another Classifier of the same shape accepts."""
        return [*self.backbone.model.get_weights(), *self.head.get_weights()]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        n_backbone = len(self.backbone.model.get_weights())
        self.backbone.model.set_weights(weights[:n_backbone])
        self.head.set_weights(weights[n_backbone:])


def _build_head(n_features: int, n_classes: int, config: Config) -> keras.Model:
    inputs = keras.Input((n_features,), dtype="float32", name="features")
    x = inputs
    for i, units in enumerate(config.head_hidden_units):
        x = keras.layers.Dense(units, activation="relu", dtype="float32", name=f"hidden_{i}")(x)
    # The rate is a phase's own (`set_dropout`); the layer exists where any phase drops.
    highest = max(phase.dropout for phase in config.phases)
    if highest > 0:
        x = keras.layers.Dropout(highest, dtype="float32", seed=config.seed, name="dropout")(x)
    logits = keras.layers.Dense(
        n_classes,
        dtype="float32",
        kernel_initializer=keras.initializers.GlorotUniform(seed=config.seed),
        name="logits",
    )(x)
    return keras.Model(inputs, logits, name="head")


def load_model(path: Path) -> keras.Model:
    """A saved classifier: float32 pixels (n, S, S, 3) in 0..255 to probabilities.

    Raises:
        RunError: the file is missing or damaged.
    """
    # Importing registers the layers that a saved backbone is made of.
    for room in ("layers", "bert"):
        importlib.import_module(f"tl_app.backbones.{room}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(
            f"The run's model cannot be loaded: {error}.",
            received=str(path),
            allowed="model.keras as tl-app train wrote it",
            next_step=f"delete {path}, then go on with the run: tl-app train --resume RUN",
        ) from error


def set_dropout(head: keras.Model, rate: float) -> None:
    """Give the head this phase's dropout, before its step is traced."""
    for layer in head.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = rate


def set_recompute(model: keras.Model, on: bool) -> None:
    """Let the blocks that can compute their activations again do so, before a step is traced."""
    for layer in model.layers:
        if hasattr(layer, "recompute"):
            layer.recompute = on


def describe_phase(
    phase: Phase, classifier: Classifier, variables: Sequence[keras.Variable]
) -> str:
    """What a phase trains, and at which learning rates, in one line.

    Args:
        phase: its settings.
        classifier: whose blocks are unfrozen.
        variables: all that the phase trains.
    """
    n_parameters = sum(int(np.prod(v.shape)) for v in variables)
    blocks = classifier.backbone.blocks
    how = ""
    if phase.lora_rank:
        base = "" if phase.base_weights == "float32" else f" on {phase.base_weights} weights"
        how = f", LoRA of rank {phase.lora_rank}{base}"
    if phase.unfreeze == 0:
        what = "head"
    elif phase.unfreeze == "all":
        what = f"head and all {len(blocks)} blocks" if len(blocks) > 1 else "head and the one block"
    else:
        names = ", ".join(block.name for block in blocks[-phase.unfreeze :])
        what = f"head and the top {phase.unfreeze} of {counted(len(blocks), 'block')} ({names})"
    highest = phase.peak_learning_rate
    lowest = highest * phase.layer_decay ** count_blocks(classifier.backbone, phase.unfreeze)
    rates = f"{highest:g}"
    if lowest != highest and not phase.lora_rank:
        rates += f" (lowest block {lowest:.2g})"
    return (
        f"Phase '{phase.name}': {what} ({n_parameters:,} parameters{how}), learning rate {rates}, "
        f"{phase.schedule}"
    )
