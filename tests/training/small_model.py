"""A small convolutional backbone with BatchNormalization and dropout, and tiny pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import keras
import numpy as np

from tl_app.backbones.blocks import Backbone, find_blocks, set_trainable
from tl_app.backbones.policy import dtype_policy
from tl_app.backbones.registry import get_spec
from tl_app.config import Augmentation, Config, Phase
from tl_app.features.pictures import PICTURE_BYTES, PICTURE_SCALE, to_pixels
from tl_app.features.store import FeatureStore
from tl_app.progress import SilentReporter
from tl_app.run import RunFolder
from tl_app.training.classifier import Classifier
from tl_app.training.hardware import Hardware
from tl_app.training.phase_inputs import TrainingData
from tl_app.training.phases import PhaseTrainer

SIZE = 16
N_TRAIN = 21
"""Not a multiple of the batch: the last batch is filled up."""


def build_backbone(drop: float = 0.1) -> Backbone:
    """Three blocks: conv, BatchNormalization, relu, dropout."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for block in range(3):
        name = f"block{block}_"
        x = keras.layers.Conv2D(6, 3, 2, padding="same", name=f"{name}conv")(x)
        x = keras.layers.BatchNormalization(name=f"{name}bn")(x)
        x = keras.layers.ReLU(name=f"{name}relu")(x)
        x = keras.layers.Dropout(drop, seed=block, name=f"{name}out")(x)
    model = keras.Model(inputs, x)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(size=6))
            layer.moving_variance.assign(random.uniform(0.5, 2.0, size=6))
    backbone = Backbone(get_spec("efficientnet_lite0"), model, find_blocks(model, r"(block\d)_out"))
    set_trainable(backbone, 0)
    return backbone


class ArrayPictures:
    """Pictures in memory, uint16 (n, size, size, 3) in fixed point."""

    dtype = "float32"
    lengths = None
    unit = "images"

    def __init__(self, pictures: np.ndarray) -> None:
        self.pictures = pictures
        self.keys = tuple(hashlib.sha256(picture.tobytes()).digest() for picture in pictures)
        self.shape = pictures.shape[1:]
        self.kept_bytes = PICTURE_BYTES * pictures.shape[1] ** 2
        self.key = {"preprocessing": "none"}
        self.loaded: list[int] = []

    def load(self, position: int) -> np.ndarray:
        self.loaded.append(position)
        return to_pixels(self.pictures[position])

    def keep(self, positions, reporter) -> None:
        pass


def make_data(seed: int = 0, n_classes: int = 3, size: int = SIZE) -> TrainingData:
    random = np.random.default_rng(seed)
    n = N_TRAIN + 8
    labels = np.arange(n) % n_classes
    pictures = random.integers(0, 120, (n, size, size, 3)) + 40 * labels[:, None, None, None]
    return TrainingData(
        items=ArrayPictures((pictures * PICTURE_SCALE).astype(np.uint16)),
        labels=labels.astype(np.int64),
        groups=np.arange(n),
        train_rows=np.arange(N_TRAIN),
        validation_rows=np.arange(N_TRAIN, n),
        class_names=tuple(f"class {i}" for i in range(n_classes)),
    )


def head_phase(**values) -> Phase:
    return Phase(**{"name": "head", "l2": 0.01, "views": 0, **values})


def tune_phase(**values) -> Phase:
    defaults = {
        "name": "tune",
        "unfreeze": 2,
        "epochs": 3,
        "learning_rate": 1e-2,
        "layer_decay": 0.5,
        "weight_decay": 0.01,
        "views": 2,
        "patience_epochs": None,
        "augmentation": Augmentation(flip_horizontal=True, rotation_degrees=10),
    }
    return Phase(**{**defaults, **values})


def build_trainer(
    folder: RunFolder,
    *phases: Phase,
    reporter=None,
    trackers=(),
    precision: str = "float32",
    devices: tuple[str, ...] = ("CPU:0",),
    drop: float = 0.1,
    store: FeatureStore | None = None,
    build: Callable[[], Backbone] | None = None,
    data: TrainingData | None = None,
    **settings,
) -> PhaseTrainer:
    """A trainer of the small model with its own backbone, as a new process would have it.

    Where `build` gives another backbone, the pictures are of its size, or `data` fits it.
    """
    config = Config(phases=phases, batch_size=8, **settings)
    hardware = Hardware(devices, precision, 8)
    strategy = hardware.build_strategy()
    with strategy.scope(), dtype_policy(precision):
        backbone = build_backbone(drop) if build is None else build()
        classifier = Classifier(backbone, 3 if data is None else data.n_classes, config)
    return PhaseTrainer(
        classifier,
        make_data(size=backbone.model.input.shape[1]) if data is None else data,
        config,
        hardware,
        strategy,
        folder,
        store or FeatureStore(folder.path / "store"),
        trackers,
        reporter or SilentReporter(),
    )


def all_weights(trainer: PhaseTrainer) -> list[np.ndarray]:
    """Of the backbone and the head."""
    return trainer.classifier.get_weights()
