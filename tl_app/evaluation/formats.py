"""How a model in another format differs from what the run recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tl_app.evaluation.paired import disagreement, effective_number, tango_limits
from tl_app.records import Interval, Predictions


@dataclass(frozen=True, slots=True)
class SmallFormat:
    """One small format of a run's model, asked about the evaluated side.

    Attributes:
        format: "litert" or "onnx".
        precision: of its weights: "float32", "float16", "dynamic-int8" or "int8".
        n_bytes: of the model's file.
        n_examples: that were compared.
        accuracy: of the format.
        difference: its accuracy minus the run's, with the paired interval.
        largest_difference: of any probability.
        n_changed: examples that are told otherwise.
        latency_ms: batch size as text -> "p50" and "p95", of decoded pictures.
    """

    format: str
    precision: str
    n_bytes: int
    n_examples: int
    accuracy: float
    difference: Interval
    largest_difference: float
    n_changed: int
    latency_ms: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SmallFormat:
        return cls(**{**values, "difference": Interval.from_dict(values["difference"])})


def compare_format(
    recorded: Predictions,
    told: np.ndarray,
    groups: np.ndarray,
    *,
    name: str,
    precision: str,
    n_bytes: int,
    latency_ms: Mapping[str, Mapping[str, float]],
) -> SmallFormat:
    """
    Args:
        recorded: what the run's own model said, with the labels.
        told: float32, shape (n_examples, n_classes), what the format says of the same.
        groups: int64, shape (n_examples,); examples of one number belong together.
        name, precision, n_bytes, latency_ms: as in `SmallFormat`.
    """
    labels = told.argmax(axis=1)
    groups = np.unique(groups, return_inverse=True)[1]
    right_a, right_b = recorded.y_pred == recorded.y_true, labels == recorded.y_true
    found = disagreement(right_a, right_b, groups)
    n = len(labels)
    scale = effective_number(groups) / n
    low, high = tango_limits(scale * found.n_only_b, scale * found.n_only_a, scale * n)
    return SmallFormat(
        format=name,
        precision=precision,
        n_bytes=n_bytes,
        n_examples=n,
        accuracy=float(right_b.mean()),
        difference=Interval((found.n_only_b - found.n_only_a) / n, low, high),
        largest_difference=float(np.abs(told - recorded.probabilities).max()),
        n_changed=int((labels != recorded.y_pred).sum()),
        latency_ms=latency_ms,
    )
