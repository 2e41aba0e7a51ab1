"""Pictures a second of the app's extraction, against its parts and the bare backbone.

    python -m benchmarks.extraction FOLDER [--max-pictures N] [--repeats N]

Prints a JSON document. All ways take the same files, in turns, after one batch that is not
counted (it traces the graphs).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.extraction_rates import Way, measure, with_ratios
from tl_app.libraries import loading

with loading():
    import keras
    import numpy as np
    import tensorflow as tf

    from benchmarks.backbone import app_backbone
    from tl_app.app.finished import pictures_of
    from tl_app.config import Config
    from tl_app.engines.choose import choose_engine
    from tl_app.features.extract import PLAIN, ViewPass, extract
    from tl_app.features.inspecting import Inspector
    from tl_app.features.pictures import FilePictures
    from tl_app.features.store import FeatureStore
    from tl_app.inputs.pictures import iterate_pictures
    from tl_app.progress import SilentReporter
    from tl_app.records import Example, Preprocessing
    from tl_app.training.engine_choice import engine_candidates
    from tl_app.training.hardware import choose_hardware


class Extraction:
    """The ways from files to pooled features, and parts of them.

    What is the app's own stands in `app` and `engine` and nowhere else.
    """

    def __init__(self, scratch: Path, probe: Sequence[Path]) -> None:
        config = Config()
        hardware = choose_hardware(config)
        backbone = app_backbone()
        self.scratch = scratch
        self.batch_size = hardware.extraction_batch
        self.preprocessing = Preprocessing(
            image_size_px=backbone.model.input.shape[1],
            aspect=config.data.aspect,
            window=(0, 255),
            max_pixels=config.data.max_pixels,
        )
        pooled = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
        model = keras.Model(backbone.model.input, pooled)
        self.n_features = pooled.shape[-1]
        pictures = next(iterate_pictures(probe, self.preprocessing, 16))
        self.frozen, choice = choose_engine(
            model,
            pictures.numpy(),
            names=engine_candidates(config, hardware),
            batch_size=self.batch_size,
        )
        self.engine_name = choice.name
        self.traced = tf.function(
            lambda batch: model(batch, training=False),
            input_signature=[tf.TensorSpec((None, *model.input.shape[1:]), tf.float32)],
        )
        self.batches: list[tf.Tensor] = []
        self.examples: dict[Path, Example] = {}

    def ways(self) -> dict[str, Way]:
        return {
            "app": self.app,
            "tf_function": self.tf_function,
            "decode": self.decode,
            "engine": self.engine,
            "bare": self.bare,
        }

    def prepare(self, files: Sequence[Path]) -> None:
        """What is not measured: the scan, and pictures in memory for the ways that want some."""
        self.batches = list(iterate_pictures(files, self.preprocessing, self.batch_size))
        with Inspector(FeatureStore(self.scratch / "scan"), self.preprocessing) as inspect:
            self.examples = {path: _example(path, inspect) for path in files}

    def app(self, files: Sequence[Path]) -> None:
        """Files to kept features, as a training does it, with an empty store."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        store = FeatureStore(folder)
        pictures = FilePictures(
            Path("/"), [self.examples[path] for path in files], self.preprocessing, store
        )
        table = store.table("features", {}, (self.n_features,), np.float32)
        everything = np.arange(len(files))
        extract(
            pictures,
            [ViewPass(PLAIN, lambda: self.frozen, [table], everything)],
            batch_size=self.batch_size,
            title="",
            reporter=SilentReporter(),
        )
        table.rows(pictures.keys).all()
        store.close()
        shutil.rmtree(folder)

    def tf_function(self, files: Sequence[Path]) -> None:
        """The app's decoding and the backbone as a plain `tf.function`; nothing is kept."""
        for batch in iterate_pictures(files, self.preprocessing, self.batch_size):
            self.traced(batch).numpy()

    def decode(self, files: Sequence[Path]) -> None:
        """Files to pictures, alone."""
        for _ in iterate_pictures(files, self.preprocessing, self.batch_size):
            pass

    def engine(self, files: Sequence[Path]) -> None:
        """Pictures in memory to features, as the app computes them."""
        for batch in self.batches:
            self.frozen(batch.numpy())

    def bare(self, files: Sequence[Path]) -> None:
        """Pictures in memory through the backbone as a plain `tf.function`."""
        for batch in self.batches:
            self.traced(batch).numpy()


def _example(path: Path, inspect: Inspector) -> Example:
    found = asdict(inspect(path))
    return Example(path=str(path.absolute()), label=0, given_side=None, given_group=None, **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="its pictures, at any depth")
    parser.add_argument("--max-pictures", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    files = sorted(pictures_of([arguments.folder])[0])
    # Every n-th, so that all classes are there.
    files = files[:: max(1, len(files) // arguments.max_pictures)][: arguments.max_pictures]
    with tempfile.TemporaryDirectory() as scratch:
        extraction = Extraction(Path(scratch), files[:16])
        extraction.prepare(files)
        measure(extraction.ways(), files[: extraction.batch_size], 1)
        rates = measure(extraction.ways(), files, arguments.repeats)
    found = {"n_pictures": len(files), "engine": extraction.engine_name, **with_ratios(rates)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
