"""Pooled features of a data set without a run: the same rows that training keeps and finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tl_app.backbones.blocks import Backbone
from tl_app.backbones.policy import dtype_policy
from tl_app.config import Config
from tl_app.features.items import Items
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.training.classifier import Classifier
from tl_app.training.decisions import Decisions
from tl_app.training.hardware import Hardware
from tl_app.training.phase_inputs import PhaseInputs, TrainingData


class PassingDecisions(Decisions):
    """Decisions of no run: forgotten with the process."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        return dict(self._values)

    def record(self, key: str, values: Mapping[str, Any]) -> None:
        self._values[key] = dict(values)


def pooled_features(
    backbone: Backbone,
    items: Items,
    config: Config,
    hardware: Hardware,
    store: FeatureStore,
    reporter: Reporter,
) -> np.ndarray:
    """What the frozen backbone says of each item, plain; computed where no run has kept it.

    Args:
        backbone: with its pretrained weights.
        items: pictures or texts.
        config: engine and backbone matter.
        hardware: where the frozen part runs.
        store: keeps the features.
        reporter: shows progress.

    Returns:
        float32, shape (n_items, n_features).
    """
    rows = np.arange(len(items.keys))
    data = TrainingData(
        items=items,
        labels=np.zeros(len(rows), np.int64),
        groups=rows,
        train_rows=rows,
        validation_rows=rows[:0],
        class_names=("any", "other"),
    )
    with dtype_policy(hardware.precision):
        classifier = Classifier(backbone, data.n_classes, config)
    inputs = PhaseInputs(classifier, data, config, hardware, store, PassingDecisions(), reporter)
    return inputs.plain_features()
