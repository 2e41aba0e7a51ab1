"""What of a run depends on whether pictures or texts are classified, behind one face.

A material is made before anything is read, so that what is wrong with settings or weights shows
at once; training, predicting and exporting then ask it alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tl_app.backbones.blocks import Backbone
from tl_app.backbones.registry import find_spec
from tl_app.config import Config
from tl_app.data.source import Source
from tl_app.data.ties import Ties
from tl_app.data.wording import WORDINGS
from tl_app.errors import ConfigError
from tl_app.evaluation.slices import Traits
from tl_app.explain.explanation import Explanation
from tl_app.export.parity import Evidence
from tl_app.export.served_input import ServedInput
from tl_app.features.extract import FrozenPart
from tl_app.features.items import Items
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.records import AnyProcessing, Dataset, Modality, Predictions
from tl_app.training.hardware import Hardware


class Material(Protocol):
    """Pictures or texts on their way through a run.

    Attributes:
        backbone: what the run starts from, on the run's devices.
        processing: how a file or text becomes its input; there once the data are read.
    """

    @property
    def backbone(self) -> Backbone: ...

    @property
    def processing(self) -> AnyProcessing: ...

    def read(
        self,
        source: Source,
        *,
        before: Dataset[Any] | None,
        output: Path,
        store: FeatureStore,
        reporter: Reporter,
    ) -> Dataset[Any]:
        """The examples of a source, each looked at once.

        Args:
            source: what the user named.
            before: of an earlier run; its classes keep their places.
            output: where sets of tensorflow-datasets are written as files.
            store: may know some of them already.
            reporter: shows progress.

        Raises:
            DataError, ConfigError: the source or a setting cannot be used.
        """

    def near_copies(self, dataset: Dataset[Any], store: FeatureStore, reporter: Reporter) -> Ties:
        """Which examples are nearly the same, told without the backbone: a split must not
        depend on it."""

    def settle(self, dataset: Dataset[Any], reporter: Reporter) -> None:
        """Fix `processing` where the data have a say in it, and tell what is worth knowing."""

    def items(self, dataset: Dataset[Any], store: FeatureStore) -> Items:
        """What training is fed with."""

    def batches(
        self, dataset: Dataset[Any], rows: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, tf.Tensor]]:
        """The network's input from the original examples: positions among `rows`, and a batch."""

    def served(self) -> ServedInput:
        """How a SavedModel gets from strings to the network's input."""

    def evidence(self, dataset: Dataset[Any], rows: np.ndarray) -> Evidence:
        """What an export of the run is checked with."""

    def explain(
        self,
        dataset: Dataset[Any],
        predictions: Predictions,
        rows: np.ndarray,
        forward: FrozenPart,
        reporter: Reporter,
    ) -> Explanation:
        """Why the model answered as it did, of some rows.

        Args:
            dataset: of the run.
            predictions: of one of its sides.
            rows: int64, of the predictions.
            forward: runs the classifier.
            reporter: shows progress.
        """

    def traits(
        self, dataset: Dataset[Any], rows: np.ndarray, store: FeatureStore, reporter: Reporter
    ) -> Traits:
        """What some examples are like, beside their classes.

        Args:
            dataset: of the run.
            rows: int64, of the examples.
            store: keeps measurements.
            reporter: shows progress.
        """

    def sample(self, dataset: Dataset[Any], n: int) -> np.ndarray:
        """Some input of n examples, for timing."""

    def load_again(self, reporter: Reporter) -> Backbone:
        """The same backbone anew, on one device in float32."""


def load_material(
    modality: Modality,
    config: Config,
    hardware: Hardware,
    strategy: tf.distribute.Strategy,
    reporter: Reporter,
    *,
    processing: AnyProcessing | None = None,
) -> Material:
    """The backbone and all that belongs to its kind of input.

    Args:
        modality: of the examples.
        config: whose backbone is loaded.
        hardware, strategy: where it runs.
        reporter: is told where the weights came from.
        processing: of a run that goes on; None for a new one.

    Raises:
        ConfigError: the backbone takes the other modality, or a setting does not fit.
        WeightsError: the weights cannot be had.
    """
    from tl_app.app.picture_material import PictureMaterial
    from tl_app.app.text_material import TextMaterial

    require_modality(config.backbone, modality)
    kind = TextMaterial if modality == "text" else PictureMaterial
    return kind(config, hardware, strategy, reporter, processing)


def require_modality(backbone: str, modality: Modality) -> None:
    """
    Raises:
        ConfigError: there is no such backbone, or it takes the other kind of examples.
    """
    spec = find_spec(backbone, modality)
    if spec.modality != modality:
        made_for, given = WORDINGS[spec.modality].nouns, WORDINGS[modality].nouns
        raise ConfigError(
            f"This backbone is made for {made_for}, and the data are {given}.",
            received=backbone,
            allowed=f"a backbone for {given}, as tl-app backbones lists them",
            next_step="leave out --backbone, or name another; the settings for texts are those of "
            "tl-app config --texts",
        )
