"""What every engine is to its callers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

ENGINES = ("litert", "onnxruntime", "folded", "tensorflow")
"""Names of all engines, the one that is mostly the fastest on a CPU first."""


CONVERTED = ("litert", "onnxruntime")
"""Those that run a copy of the model in a format of their own."""


class Engine(Protocol):
    """A frozen model, ready to run. A row's answer never depends on the rows around it."""

    @property
    def name(self) -> str:
        """One of ENGINES."""

    @property
    def identity(self) -> str:
        """All that can change a bit of the answer, for cache keys.

        Name, versions of the libraries, number type, and the batch that it computes in, which
        gets smaller when the memory does not hold it.
        """

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the model says of pictures.

        Args:
            pixels: float32, shape (n, S, S, 3), in 0..255, n of 1 or more; of an encoder of
                texts int32 token numbers, shape (n, length), filled up with zeros.

        Returns:
            One float32 array of shape (n, ...) for each output of the model, in order.
        """


class SomeOutputs:
    """An engine of which not all outputs are wanted.

    Args:
        engine: says more.
        places: of the wanted outputs among its own, in the order that they are wanted in.
    """

    def __init__(self, engine: Engine, places: Sequence[int]) -> None:
        self.name = engine.name
        self._engine = engine
        self._places = tuple(places)

    @property
    def identity(self) -> str:
        return self._engine.identity

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = self._engine(pixels)
        return tuple(outputs[place] for place in self._places)


def number_types(model: Any) -> tuple[str, ...]:
    """The types that the layers of a Keras model compute in, such as ("bfloat16", "float32")."""
    return tuple(sorted({layer.compute_dtype for layer in model._flatten_layers()}))


def devices(model: Any) -> set[str]:
    """Where the variables of a Keras model live, in TensorFlow's words."""
    return {variable.value.device for variable in model.variables}


def runs_on_gpu(model: Any) -> bool:
    """Whether any of the model's variables lives on a GPU."""
    return any("GPU" in device for device in devices(model))
