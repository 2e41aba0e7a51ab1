"""Low-rank updates in place of the weights of the unfrozen blocks.

LoRA (Hu et al., 2021): a kernel stays as it is, and the product of two thin matrices is added to
what it gives. QLoRA (Dettmers et al., 2023): what stays is rounded to 8 or 4 bits. A phase trains
a copy of its blocks in this shape; whenever its weights are worth keeping, the products are
added to the kernels of the classifier itself, which never changes its own shape: features,
checkpoints, the final model and its export know nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import keras
import numpy as np
import pydantic
import safetensors
import safetensors.numpy

from tl_app.backbones.blocks import Backbone, cut
from tl_app.backbones.registry import PRESET_PREFIX
from tl_app.config import Config, Phase
from tl_app.errors import ConfigError, RunError
from tl_app.storage import write_atomic
from tl_app.training.classifier import Classifier, set_recompute

FORMAT: Literal["tl_app adapter 1"] = "tl_app adapter 1"


class Adapter:
    """The blocks of a phase with low-rank updates.

    Args:
        classifier: whose blocks above the phase's boundary are copied; `merged` writes to it.
        phase: its boundary, rank and number type.
        seed: of the first values of the updates.

    Attributes:
        variables: the updates, two for each kernel.
        seeds: of the copy's dropout; they belong to what a resumed run needs.
        base_sha256: of the network's weights as the phase began, which the updates belong to.

    Raises:
        ConfigError: the blocks have no kernels that take such updates.
    """

    def __init__(self, classifier: Classifier, phase: Phase, seed: int) -> None:
        require_updatable(classifier.backbone, phase)
        self._classifier = classifier
        self._phase = phase
        self.base_sha256 = base_sha256(classifier.backbone.model)
        original = cut(classifier.backbone, phase.unfreeze)[1]
        self._originals = _kernels(original)
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
        self._rounded: list[np.ndarray] | None = None
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

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Inside, the classifier's own kernels have the updates: what a run keeps, and measures."""
        before = self.merge()
        try:
            yield
        finally:
            for layer, kernel in zip(self._originals, before, strict=True):
                layer.kernel.assign(kernel)

    def merge(self) -> list[np.ndarray]:
        """Give the classifier's own kernels the updates for good.

        Returns:
            The kernels as they were, float32 whatever the network computes in.
        """
        strength = (self._phase.lora_alpha or self._phase.lora_rank) / self._phase.lora_rank
        before = [np.array(layer.kernel, np.float32) for layer in self._originals]
        kernels = before
        if self._phase.base_weights != "float32":
            if self._rounded is None:  # slow to ask for, and the same throughout the phase
                self._rounded = [rounded(kernel, self._phase) for kernel in before]
            kernels = self._rounded
        for layer, adapted, kernel in zip(self._originals, self._adapted, kernels, strict=True):
            thin = np.array(adapted.lora_kernel_a, np.float32)
            wide = np.array(adapted.lora_kernel_b, np.float32)
            layer.kernel.assign(kernel + strength * (thin @ wide))
        return before

    def save(self, path: Path, config: Config, class_names: Sequence[str]) -> None:
        """The updates and the head alone, to be loaded on the same base (`load_adapter`).

        Args:
            path: of the file.
            config: whose head it is.
            class_names: one a column of the head.

        Raises:
            StorageError: the disk is full.
        """
        tensors = {f"update/{i}": np.array(v, np.float32) for i, v in enumerate(self.variables)}
        for i, weight in enumerate(self._classifier.head.get_weights()):
            tensors[f"head/{i}"] = weight
        about = About(
            backbone=_portable(config.backbone),
            base_sha256=self.base_sha256,
            phase=self._phase,
            head_hidden_units=config.head_hidden_units,
            class_names=tuple(class_names),
        )
        _write(path, about, tensors)


class About(pydantic.BaseModel):
    """What an adapter's file says of itself.

    Attributes:
        format: of the file.
        backbone: as the configuration names it; of a folder, its last name alone.
        base_sha256: of the network's weights that the updates are added to.
        phase: whose updates they are.
        head_hidden_units: of the head.
        class_names: one a column of the head.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    format: Literal["tl_app adapter 1"] = FORMAT
    backbone: str
    base_sha256: str
    phase: Phase
    head_hidden_units: tuple[Annotated[int, pydantic.Field(ge=1, le=100_000)], ...] = ()
    class_names: Annotated[tuple[str, ...], pydantic.Field(min_length=2, max_length=100_000)]

    @pydantic.field_validator("phase")
    @classmethod
    def _has_updates(cls, phase: Phase) -> Phase:
        if not phase.lora_rank:
            raise ValueError("lora_rank 0 has no updates")
        return phase


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter as it was read.

    Attributes:
        about: what it says of itself.
        tensors: "update/<i>" of the blocks and "head/<i>", float32.
    """

    about: About
    tensors: dict[str, np.ndarray]


def read_adapter(path: Path) -> AdapterFile:
    """
    Raises:
        RunError: it is no adapter, or damaged.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = About.model_validate_json((file.metadata() or {}).get("tl_app", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, TypeError, safetensors.SafetensorError) as error:
        raise RunError(f"The adapter cannot be read: {error}.", received=str(path)) from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "all of it"
        raise RunError(
            "This is no adapter, or it is damaged.",
            received=f"{path}: {where}: {first['msg']}",
            allowed="adapters/<phase>.safetensors as tl-app train wrote it",
        ) from error
    return AdapterFile(about, tensors)


def replace_head(path: Path, head_weights: Sequence[np.ndarray]) -> None:
    """Give a file of updates another head, such as the calibrated one.

    Args:
        path: as `Adapter.save` wrote it.
        head_weights: float32, of the shapes of those that are there.

    Raises:
        RunError: it is no adapter.
        StorageError: the disk is full.
    """
    read = read_adapter(path)
    heads = {f"head/{i}": weight for i, weight in enumerate(head_weights)}
    _write(path, read.about, {**read.tensors, **heads})


def _write(path: Path, about: About, tensors: dict[str, np.ndarray]) -> None:
    content = safetensors.numpy.save(tensors, metadata={"tl_app": about.model_dump_json()})
    write_atomic(path, lambda file: file.write(content))


def load_adapter(classifier: Classifier, path: Path) -> None:
    """Put the updates of a file into a classifier that stands where its phase began.

    Args:
        classifier: on the pretrained weights.
        path: as `Adapter.save` wrote it.

    Raises:
        RunError: it is no adapter, or of another base or head.
    """
    read = read_adapter(path)
    backbone = classifier.backbone
    sha256 = base_sha256(backbone.model)
    if sha256 != read.about.base_sha256:
        raise RunError(
            "The adapter does not belong to this base.",
            received=f"{path}: {read.about.backbone}, weights with SHA-256 "
            f"{read.about.base_sha256}",
            allowed=f"{backbone.spec.name}, weights with SHA-256 {sha256}",
            next_step="load it on the weights that it was trained on",
        )
    adapter = Adapter(classifier, read.about.phase, seed=0)
    shapes = {f"update/{i}": tuple(v.shape) for i, v in enumerate(adapter.variables)}
    shapes |= {f"head/{i}": w.shape for i, w in enumerate(classifier.head.get_weights())}
    if shapes != {name: tensor.shape for name, tensor in read.tensors.items()}:
        raise RunError(
            "The adapter has other shapes than this classifier.",
            received=str(path),
            allowed=f"{len(shapes)} tensors of its own shapes",
        )
    for i, variable in enumerate(adapter.variables):
        variable.assign(read.tensors[f"update/{i}"])
    n_head = len(classifier.head.get_weights())
    classifier.head.set_weights([read.tensors[f"head/{i}"] for i in range(n_head)])
    adapter.merge()


def _portable(backbone: str) -> str:
    """A name without the folders of this machine."""
    if not backbone.startswith(PRESET_PREFIX):
        return backbone
    return PRESET_PREFIX + Path(backbone.removeprefix(PRESET_PREFIX)).name


def require_updatable(backbone: Backbone, phase: Phase) -> None:
    """
    Raises:
        ConfigError: the phase wants updates of blocks without Dense layers, or of a backbone for
            pictures.
    """
    if not phase.lora_rank:
        return
    is_fitting = backbone.spec.modality == "text" and not backbone.spec.is_hub
    if not is_fitting or not _kernels(cut(backbone, phase.unfreeze)[1]):
        raise ConfigError(
            f"LoRA has nothing to update in these blocks of {backbone.spec.name}.",
            received=f"phase '{phase.name}': lora_rank {phase.lora_rank}, unfreeze "
            f"{phase.unfreeze}",
            allowed="an encoder of texts that is no SavedModel, or lora_rank 0",
            next_step=f"--set phases.N.lora_rank=0, N the number of phase '{phase.name}'",
        )


def rounded(kernel: np.ndarray, phase: Phase) -> np.ndarray:
    """What a Dense layer with this kernel multiplies by, once its weights are those of the phase.

    Args:
        kernel: float32, shape (n_inputs, n_outputs).
        phase: its base_weights.

    Returns:
        float32, same shape: asked of the layer itself, row by row.
    """
    if phase.base_weights == "float32":
        return kernel
    layer = keras.layers.Dense(kernel.shape[1], use_bias=False, dtype="float32")
    layer.build((None, kernel.shape[0]))
    layer.kernel.assign(kernel)
    layer.quantize(phase.base_weights)
    return np.array(layer(np.eye(kernel.shape[0], dtype=np.float32)))


def base_sha256(model: keras.Model) -> str:
    """Of all weights of a network, hexadecimal: what updates are added to."""
    digest = hashlib.sha256()
    for weight in _weights(model.variables):
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()


def _weights(variables: Iterable[keras.Variable]) -> Iterator[np.ndarray]:
    return (np.array(v, np.float32) for v in variables if "seed_generator" not in v.path)


def count_updates(model: keras.Model, rank: int) -> int:
    """Parameters of the updates of a model's Dense layers."""
    return sum(rank * sum(layer.kernel.shape) for layer in _kernels(model))


def _kernels(model: keras.Model) -> list[keras.layers.Dense]:
    """Dense layers in the order in which they were built, nested ones too."""
    parts = model._flatten_layers(include_self=False)
    return [part for part in parts if isinstance(part, keras.layers.Dense)]


def _seeds(model: keras.Model) -> list[keras.Variable]:
    return [v for v in model.non_trainable_variables if "seed_generator" in v.path]
