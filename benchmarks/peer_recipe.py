"""The two-phase recipe that a Keras user writes by hand, as a program that times itself.

    python benchmarks/peer_recipe.py TRAIN TEST --backbone MODULE:FUNCTION --predictions FILE

TRAIN and TEST hold one folder a class. Pictures come from `image_dataset_from_directory`, are
mirrored and turned by layers inside the model, and run through the whole backbone in every
epoch. A Dense layer is trained on the frozen backbone with Adam at 1e-3, then the backbone with
it at 1e-5. Nothing is kept between epochs and nothing is tuned: this is the recipe of public
walk-throughs, in our own words.

Two variants: `published` unfreezes as it says (all of the backbone, unless --unfreeze names a
first layer) and trusts `training=False` to keep BatchNormalization still, which Keras 3 does
not honour once the layers are trainable. `repaired` keeps every BatchNormalization frozen and
asks for --unfreeze.

FUNCTION gives a Keras model without its top, and a callable that turns pixels in 0..255 into
the model's input. The last line on standard output is a JSON document.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

VALIDATION_FRACTION = 0.1
HEAD_RATE, TUNE_RATE = 1e-3, 1e-5
DROPOUT = 0.2
ROTATION = 0.1
"""Largest turn, as a share of a full one."""


def main() -> None:
    arguments = parse()
    started = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    keras.utils.set_random_seed(arguments.seed)
    backbone, preprocess = load(arguments.backbone)
    train, validation, test = read(arguments)
    files, class_names = test.file_paths, test.class_names
    train, validation, test = (part.prefetch(-1) for part in (train, validation, test))

    backbone.trainable = False
    model = build(backbone, preprocess, len(class_names), arguments.size)
    ready = time.perf_counter()
    head_epochs = fit(model, train, validation, HEAD_RATE, arguments.head_epochs)
    head_done = time.perf_counter()

    unfreeze(backbone, arguments.unfreeze, freeze_normalization=arguments.variant == "repaired")
    tune_epochs = fit(model, train, validation, TUNE_RATE, arguments.tune_epochs)
    tuned = time.perf_counter()

    logits = model.predict(test, verbose=0)
    y_true = np.array([class_names.index(Path(file).parent.name) for file in files])
    y_pred = logits.argmax(axis=1)
    paths = [os.fsencode(os.path.relpath(file, arguments.test)) for file in files]
    np.savez(arguments.predictions, paths=np.array(paths), y_true=y_true, logits=logits)
    ended = time.perf_counter()
    print(
        json.dumps(
            {
                "variant": arguments.variant,
                "seconds": {
                    "setup": ready - started,
                    "head": head_done - ready,
                    "tune": tuned - head_done,
                    "test": ended - tuned,
                },
                "epoch_seconds": {"head": head_epochs, "tune": tune_epochs},
                "total_seconds": ended - started,
                "test_accuracy": float((y_pred == y_true).mean()),
                "n_trainable_parameters": int(
                    sum(np.prod(v.shape) for v in model.trainable_variables)
                ),
                # ru_maxrss is in KiB on Linux.
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--backbone", required=True, metavar="MODULE:FUNCTION")
    parser.add_argument("--predictions", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--variant", choices=("published", "repaired"), default="published")
    parser.add_argument("--unfreeze", metavar="FIRST_LAYER", help="this layer and all above it")
    parser.add_argument("--head-epochs", type=int, default=10)
    parser.add_argument("--tune-epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=224, help="side of the pictures in pixels")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.variant == "repaired" and arguments.unfreeze is None:
        parser.error("--variant repaired needs --unfreeze FIRST_LAYER")
    return arguments


def load(name: str) -> tuple[Any, Any]:
    """Call MODULE:FUNCTION."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)()


def read(arguments: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Training, validation and test batches; pictures are squashed to the square."""
    import keras

    size = (arguments.size, arguments.size)
    train, validation = keras.utils.image_dataset_from_directory(
        arguments.train,
        validation_split=VALIDATION_FRACTION,
        subset="both",
        seed=arguments.seed,
        image_size=size,
        batch_size=arguments.batch_size,
    )
    test = keras.utils.image_dataset_from_directory(
        arguments.test, shuffle=False, image_size=size, batch_size=arguments.batch_size
    )
    return train, validation, test


def build(backbone: Any, preprocess: Any, n_classes: int, size: int) -> Any:
    """Pixels (n, size, size, 3) in 0..255 to logits (n, n_classes)."""
    import keras

    pixels = keras.Input((size, size, 3))
    x = keras.layers.RandomFlip("horizontal")(pixels)
    x = keras.layers.RandomRotation(ROTATION)(x)
    x = backbone(preprocess(x), training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(DROPOUT)(x)
    return keras.Model(pixels, keras.layers.Dense(n_classes)(x))


def unfreeze(backbone: Any, first_layer: str | None, *, freeze_normalization: bool) -> None:
    """Let `first_layer` and what stands above it train; all layers where it is None."""
    import keras

    names = [layer.name for layer in backbone.layers]
    first = 0 if first_layer is None else names.index(first_layer)
    backbone.trainable = True
    for index, layer in enumerate(backbone.layers):
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = index >= first and not (freeze_normalization and is_normalization)


def fit(model: Any, train: Any, validation: Any, rate: float, n_epochs: int) -> list[float]:
    """Train with Adam.

    Returns:
        Seconds of each epoch with its validation; tracing falls into the first.
    """
    import keras

    class EpochClock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []
            self._started = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.perf_counter() - self._started)

    clock = EpochClock()
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(train, epochs=n_epochs, validation_data=validation, callbacks=[clock], verbose=2)
    return clock.seconds


if __name__ == "__main__":
    main()
