"""Pictures on their way through a run; see `materials.Material`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_app.app.beginning import load_for
from tl_app.audit.measure import Measurements, measure_pictures
from tl_app.audit.near_duplicates import find_near_duplicates
from tl_app.audit.quality import figures_of
from tl_app.audit.shortcuts import source_folders
from tl_app.backbones.blocks import Backbone
from tl_app.backbones.loading import default_image_size_px, load_backbone
from tl_app.backbones.registry import get_spec
from tl_app.config import Config
from tl_app.data.scan import scan
from tl_app.data.source import Source
from tl_app.data.ties import Ties
from tl_app.evaluation.slices import Figure, Naming, Traits
from tl_app.explain.explanation import Explanation
from tl_app.explain.grad_cam import heat_maps
from tl_app.export.parity import PictureEvidence
from tl_app.export.served_input import ServedInput, served_pictures
from tl_app.features.extract import FrozenPart
from tl_app.features.inspecting import Inspector, scan_preprocessing
from tl_app.features.pictures import FilePictures
from tl_app.features.store import FeatureStore
from tl_app.inputs.pictures import iterate_pictures
from tl_app.inputs.window import describe_window, resolve_window
from tl_app.progress import Reporter
from tl_app.records import AnyProcessing, Dataset, Example, Predictions, Preprocessing
from tl_app.training.hardware import Hardware

FIGURES = (
    ("brightness", "brightness", "of 255"),
    ("sharpness", "sharpness (low is blurred)", ""),
    ("shorter_side_px", "size (shorter side)", "px"),
    ("width_by_height", "shape (width by height)", ""),
)
"""Figures that accuracy is looked at by: name, title, unit."""


class PictureMaterial:
    """Files to float32 pixels (n, S, S, 3) in 0..255."""

    def __init__(
        self,
        config: Config,
        hardware: Hardware,
        strategy: tf.distribute.Strategy,
        reporter: Reporter,
        processing: AnyProcessing | None = None,
    ) -> None:
        self._config = config
        self._processing: Preprocessing | None = None
        if isinstance(processing, Preprocessing):
            self._processing = processing
            self._size = processing.image_size_px
        else:
            spec = get_spec(config.backbone)
            self._size = config.data.image_size_px or default_image_size_px(spec)
        load = partial(self.load_again, reporter)
        self.backbone = load_for(load, config.seed, hardware, strategy)

    @property
    def processing(self) -> Preprocessing:
        if self._processing is None:
            raise ValueError("the pictures were not read yet")
        return self._processing

    def load_again(self, reporter: Reporter) -> Backbone:
        return load_backbone(
            self._config.backbone,
            image_size_px=self._size,
            weights=self._config.weights,
            reporter=reporter,
        )

    def read(
        self,
        source: Source,
        *,
        before: Dataset | None,
        output: Path,
        store: FeatureStore,
        reporter: Reporter,
    ) -> Dataset:
        settings = self._config.data
        looked = scan_preprocessing(self._size, settings.aspect, settings.max_pixels)
        with Inspector(store, looked) as inspect:
            return scan(
                source.name,
                settings,
                inspect=inspect,
                reporter=reporter,
                test_required=settings.test_fraction > 0,
                data_dir=source.data_dir,
                materialise_to=output / "data",
                known_class_names=() if before is None else before.class_names,
                table=source.table,
            )

    def near_copies(self, dataset: Dataset, store: FeatureStore, reporter: Reporter) -> Ties:
        measurements = self._measure(dataset.root, dataset.examples, store, reporter)
        return find_near_duplicates(dataset.examples, measurements.thumbnails, None).ties

    def _measure(
        self, root: str, examples: Sequence[Example], store: FeatureStore, reporter: Reporter
    ) -> Measurements:
        return measure_pictures(
            Path(root),
            examples,
            max_pixels=self._config.data.max_pixels,
            store=store,
            reporter=reporter,
        )

    def settle(self, dataset: Dataset, reporter: Reporter) -> None:
        settings = self._config.data
        self._processing = Preprocessing(
            image_size_px=self._size,
            aspect=settings.aspect,
            window=resolve_window(settings.window, dataset.examples),
            max_pixels=settings.max_pixels,
        )
        text, is_warning = describe_window(self._processing.window, dataset.examples)
        if text:
            (reporter.warn if is_warning else reporter.message)(text)

    def items(self, dataset: Dataset, store: FeatureStore) -> FilePictures:
        return FilePictures(Path(dataset.root), dataset.examples, self.processing, store)

    def batches(
        self, dataset: Dataset, rows: np.ndarray, batch_size: int
    ) -> Iterator[tuple[np.ndarray, tf.Tensor]]:
        examples = [dataset.examples[row] for row in rows]
        pictures = iterate_pictures(
            [Path(dataset.root) / example.path for example in examples],
            self.processing,
            batch_size,
            file_hashes=[example.file_hash for example in examples],
        )
        done = 0
        for batch in pictures:
            yield np.arange(done, done + len(batch)), batch
            done += len(batch)

    def served(self) -> ServedInput:
        return served_pictures(self.processing)

    def evidence(self, dataset: Dataset, rows: np.ndarray) -> PictureEvidence:
        return picture_evidence(dataset, rows, self.processing)

    def explain(
        self,
        dataset: Dataset,
        predictions: Predictions,
        rows: np.ndarray,
        forward: FrozenPart,
        reporter: Reporter,
    ) -> Explanation:
        if not len(rows):
            return Explanation()
        place = {example.path: i for i, example in enumerate(dataset.examples)}
        paths = [predictions.paths[row] for row in rows.tolist()]
        asked = np.array([place[path] for path in paths], dtype=np.int64)
        batches = self.batches(dataset, asked, len(asked))
        pictures = np.concatenate([batch.numpy() for _, batch in batches])
        with reporter.bar("Making heat maps", len(rows), "images") as bar:
            heat = heat_maps(forward.model, paths, pictures, predictions.y_pred[rows])
            bar.advance(len(rows))
        return Explanation(heat=heat)

    def traits(
        self, dataset: Dataset, rows: np.ndarray, store: FeatureStore, reporter: Reporter
    ) -> Traits:
        examples = [dataset.examples[row] for row in rows.tolist()]
        figures = figures_of(examples, self._measure(dataset.root, examples, store, reporter))
        paths = tuple(example.path for example in examples)
        class_of = [dataset.class_names[example.label] for example in examples]
        return Traits(
            paths,
            tuple(Figure(title, unit, figures[name]) for name, title, unit in FIGURES),
            (Naming("source folder", tuple(source_folders(paths, class_of))),),
        )

    def sample(self, dataset: Dataset, n: int) -> np.ndarray:
        shape = (n, self._size, self._size, 3)
        return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def picture_evidence(
    dataset: Dataset, rows: Sequence[int] | np.ndarray, processing: Preprocessing
) -> PictureEvidence:
    """The files that an export is checked with."""
    examples = [dataset.examples[row] for row in rows]
    return PictureEvidence(
        files=[Path(dataset.root) / example.path for example in examples],
        max_pixels=processing.max_pixels,
        file_hashes=[example.file_hash for example in examples],
    )
