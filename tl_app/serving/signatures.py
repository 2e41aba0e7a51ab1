"""What a served model can be asked, in TensorFlow Serving's terms; no web, no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

DEFAULT = "serving_default"

SAVED_MODEL = "savedmodel"
IN_BATCHES = "savedmodel in batches"
"""The engine of a SavedModel, and the same with the rows of several requests together."""

DType = Literal["DT_STRING", "DT_FLOAT", "DT_INT32"]

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"

Tensors = dict[str, Any]
"""Name -> a list of bytes for strings, else a numpy array; all of one length."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output.

    Attributes:
        dtype: in TensorFlow's words.
        shape: None for the batch, and for axes of any length.
    """

    dtype: DType
    shape: tuple[int | None, ...]

    def to_dict(self, name: str) -> dict[str, Any]:
        """As the metadata of TensorFlow Serving show it."""
        sizes = [{"size": str(-1 if n is None else n), "name": ""} for n in self.shape]
        return {
            "dtype": self.dtype,
            "tensor_shape": {"dim": sizes, "unknown_rank": False},
            "name": name,
        }


@dataclass(frozen=True, slots=True)
class Signature:
    """One question.

    Attributes:
        inputs, outputs: by name.
        method: what TensorFlow Serving calls its kind.
    """

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    method: str = PREDICT

    def to_dict(self) -> dict[str, Any]:
        return {
            "inputs": {name: tensor.to_dict(name) for name, tensor in self.inputs.items()},
            "outputs": {name: tensor.to_dict(name) for name, tensor in self.outputs.items()},
            "method_name": self.method,
        }


class Servable(Protocol):
    """A loaded version. Thread-safe.

    Attributes:
        engine: what runs it.
        modality: "image" or "text".
        input_name: of what `serving_default` takes.
        signatures: by name.
        rows_each: most rows that it is given at a time; those of a larger request are shared out.
        n_callers: threads that may be within it at once, where it puts their rows together; None
            for one on each core.
        max_pixels: of a picture; None for texts.
    """

    @property
    def engine(self) -> str: ...

    @property
    def modality(self) -> str: ...

    @property
    def input_name(self) -> str: ...

    @property
    def signatures(self) -> Mapping[str, Signature]: ...

    @property
    def rows_each(self) -> int: ...

    @property
    def n_callers(self) -> int | None: ...

    @property
    def max_pixels(self) -> int | None: ...

    def run(self, signature: str, inputs: Tensors) -> Tensors:
        """The outputs of one of `signatures`, for inputs that fit it."""


def n_rows(tensors: Tensors) -> int:
    """The length of the batch; 1 where there is no input at all."""
    return min((len(values) for values in tensors.values()), default=1)


def joined(parts: Sequence[Tensors]) -> Tensors:
    """The outputs of consecutive parts of a batch as one."""
    if len(parts) == 1:
        return parts[0]
    return {
        name: [row for part in parts for row in part[name]]
        if isinstance(parts[0][name], list)
        else np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }
