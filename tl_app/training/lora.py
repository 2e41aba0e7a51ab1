"""Low-rank updates in place of the weights of the unfrozen blocks.

LoRA (Hu et al., 2021): a kernel stays as it is, and the product of two thin matrices is added to
what it gives. QLoRA (Dettmers et al., 2023): what stays is rounded to 8 or 4 bits. A phase trains
a copy of its blocks in this shape; whenever its weights are worth keeping, the products are
added to the kernels of the classifier itself, which never changes its own shape: features,
checkpoints, the final model and its export know nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy

from tl_app.backbones.blocks import cut
from tl_app.config import Phase
from tl_app.errors import ConfigError, RunError
from tl_app.storage import write_atomic
from tl_app.training.classifier import Classifier, set_recompute

FORMAT = "tl_app adapter 1"


class Adapter:
    """The blocks of a phase with low-rank updates.

    Args:
        classifier: whose blocks above the phase's boundary are copied; `merge` writes to it.
        phase: its boundary, rank and number type.
        seed: of the first values of the updates.

    Attributes:
        variables: the updates, two for each kernel.
        seeds: of the copy's dropout; they belong to what a resumed run needs.

    Raises:
        ConfigError: the blocks have no kernels that take such updates.
    """

    def __init__(self, classifier: Classifier, phase: Phase, seed: int) -> None:
        self._classifier = classifier
        self._phase = phase
        original = cut(classifier.backbone, phase.unfreeze)[1]
        self._originals = _kernels(original)
        if not self._originals:
            raise ConfigError(
                f"{classifier.backbone.spec.name} has no Dense layers in these blocks that LoRA "
                "could update.",
                received=f"phase '{phase.name}': lora_rank {phase.lora_rank}, unfreeze "
                f"{phase.unfreeze}",
                allowed="an encoder of texts, or lora_rank 0",
                next_step=f"--set phases.N.lora_rank=0, N the number of phase '{phase.name}'",
            )
        self._part = keras.models.clone_model(original)
        self._part.set_weights(original.get_weights())
        self._adapted = _kernels(self._part)
        self._part.trainable = False
        set_recompute(self._part, phase.recompute)
        for number, layer in enumerate(self._adapted):
            if phase.base_weights != "float32":
                layer.quantize(phase.base_weights)
            layer.trainable = True
            layer.enable_lora(
                phase.lora_rank,
                a_initializer=keras.initializers.HeUniform(seed=seed * 4096 + number),
                lora_alpha=phase.lora_alpha or phase.lora_rank,
            )
        self.variables: list[keras.Variable] = []
        for layer in self._adapted:
            self.variables += [layer.lora_kernel_a, layer.lora_kernel_b]
        self.seeds = _seeds(self._part)
        for mine, theirs in zip(self.seeds, _seeds(original), strict=True):
            mine.assign(theirs)

    def above(self, x: Any, training: bool) -> Any:
        """The boundary to logits, through the updated blocks."""
        classifier = self._classifier
        features = classifier.pool(self._part(x, training=training))
        return classifier.head(features, training=training)

    def whole(self, x: Any, training: bool) -> Any:
        """The network's input to logits."""
        below = self._classifier.below(self._phase.unfreeze)
        return self.above(x if below is None else below(x, training=False), training)

    def merge(self) -> list[np.ndarray]:
        """Give the classifier's own kernels the updates; returns them as they were."""
        before = [np.array(layer.kernel) for layer in self._originals]
        for layer, adapted in zip(self._originals, self._adapted, strict=True):
            layer.kernel.assign(effective_kernel(adapted))
        return before

    def undo(self, before: Sequence[np.ndarray]) -> None:
        """Take back what `merge` did."""
        for layer, kernel in zip(self._originals, before, strict=True):
            layer.kernel.assign(kernel)

    def save(self, path: Path) -> None:
        """The updates and the head alone, to be loaded on the same base (`load_adapter`).

        Raises:
            StorageError: the disk is full.
        """
        tensors = {f"update/{i}": np.array(v, np.float32) for i, v in enumerate(self.variables)}
        for i, weight in enumerate(self._classifier.head.get_weights()):
            tensors[f"head/{i}"] = weight
        backbone = self._classifier.backbone
        about = {
            "format": FORMAT,
            "backbone": backbone.spec.name,
            "weights_sha256": backbone.weights_sha256,
            "phase": self._phase.model_dump(mode="json"),
        }
        content = safetensors.numpy.save(tensors, metadata={"tl_app": json.dumps(about)})
        write_atomic(path, lambda file: file.write(content))


def load_adapter(classifier: Classifier, path: Path) -> None:
    """Put the updates of a file into a classifier with the base's own weights.

    Raises:
        RunError: it is no adapter, or of another base or head.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("tl_app", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        raise RunError(f"The adapter cannot be read: {error}.", received=str(path)) from error
    backbone = classifier.backbone
    wanted = {
        "format": FORMAT,
        "backbone": backbone.spec.name,
        "weights_sha256": backbone.weights_sha256,
    }
    found = {key: about.get(key) for key in wanted}
    if found != wanted:
        raise RunError(
            "The adapter does not belong to this base.",
            received=f"{path}: {found}",
            allowed=str(wanted),
        )
    adapter = Adapter(classifier, Phase.model_validate(about["phase"]), seed=0)
    shapes = {f"update/{i}": tuple(v.shape) for i, v in enumerate(adapter.variables)}
    shapes |= {f"head/{i}": w.shape for i, w in enumerate(classifier.head.get_weights())}
    if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
        raise RunError(
            "The adapter has other shapes than this classifier.",
            received=str(path),
            allowed=f"{len(shapes)} tensors of its own shapes",
        )
    for i, variable in enumerate(adapter.variables):
        variable.assign(tensors[f"update/{i}"])
    n_head = len(classifier.head.get_weights())
    classifier.head.set_weights([tensors[f"head/{i}"] for i in range(n_head)])
    adapter.merge()


def effective_kernel(layer: keras.layers.Dense) -> np.ndarray:
    """What a Dense layer multiplies by, updates and rounding included: asked of the layer itself.

    Returns:
        float32, shape (n_inputs, n_outputs).
    """
    n_inputs = layer.input_spec.axes[-1]
    identity = np.eye(n_inputs, dtype=np.float32)
    nothing = np.zeros((1, n_inputs), np.float32)
    return np.array(layer(identity), np.float32) - np.array(layer(nothing), np.float32)


def count_updates(model: keras.Model, rank: int) -> int:
    """Parameters of the updates of a model's Dense layers."""
    return sum(rank * sum(layer.kernel.shape) for layer in _kernels(model))


def _kernels(model: keras.Model) -> list[keras.layers.Dense]:
    """Dense layers in the order in which they were built, nested ones too."""
    parts = model._flatten_layers(include_self=False)
    return [part for part in parts if isinstance(part, keras.layers.Dense)]


def _seeds(model: keras.Model) -> list[keras.Variable]:
    return [v for v in model.non_trainable_variables if "seed_generator" in v.path]
