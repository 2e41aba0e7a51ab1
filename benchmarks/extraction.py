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
from pathlib import Path

from benchmarks.extraction_rates import Way, measure, with_ratios
from tl_app.libraries import loading

with loading():
    import keras
    import numpy as np
    import tensorflow as tf

    from benchmarks.backbone import app_backbone
    from tl_app.config import Config
    from tl_app.features.extract import FrozenPart, extract, keep_pictures
    from tl_app.inputs.pictures import iterate_pictures
    from tl_app.progress import SilentReporter
    from tl_app.records import Preprocessing
    from tl_app.training.hardware import choose_hardware


class Extraction:
    """The ways from files to pooled features, and parts of them.

    What is the app's own stands in `app` and `engine` and nowhere else.
    """

    def __init__(self, scratch: Path) -> None:
        config = Config()
        backbone = app_backbone()
        self.scratch = scratch
        self.batch_size = choose_hardware(config).extraction_batch
        self.preprocessing = Preprocessing(
            image_size_px=backbone.model.input.shape[1],
            aspect=config.data.aspect,
            window=(0, 255),
            max_pixels=config.data.max_pixels,
        )
        pooled = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
        model = keras.Model(backbone.model.input, pooled)
        self.frozen = FrozenPart(model)
        self.traced = tf.function(
            lambda batch: model(batch, training=False),
            input_signature=[tf.TensorSpec((None, *model.input.shape[1:]), tf.float32)],
        )
        self.batches: list[tf.Tensor] = []

    def ways(self) -> dict[str, Way]:
        return {
            "app": self.app,
            "tf_function": self.tf_function,
            "decode": self.decode,
            "engine": self.engine,
            "bare": self.bare,
        }

    def keep_in_memory(self, files: Sequence[Path]) -> None:
        """Decode once for the ways that start from pictures."""
        self.batches = list(iterate_pictures(files, self.preprocessing, self.batch_size))

    def app(self, files: Sequence[Path]) -> None:
        """Files to kept features, as a training does it."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        pictures = keep_pictures(
            files,
            self.preprocessing,
            folder / "pictures.npy",
            batch_size=self.batch_size,
            reporter=SilentReporter(),
        )
        extract(
            self.frozen,
            pictures,
            folder / "features.npy",
            dtype=np.float32,
            batch_size=self.batch_size,
            title="",
            reporter=SilentReporter(),
        )
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
            self.frozen(batch)

    def bare(self, files: Sequence[Path]) -> None:
        """Pictures in memory through the backbone as a plain `tf.function`."""
        for batch in self.batches:
            self.traced(batch).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="its pictures, at any depth")
    parser.add_argument("--max-pictures", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    # Every n-th, so that all classes are there.
    files = files[:: max(1, len(files) // arguments.max_pictures)][: arguments.max_pictures]
    with tempfile.TemporaryDirectory() as scratch:
        extraction = Extraction(Path(scratch))
        warm_up = files[: extraction.batch_size]
        extraction.keep_in_memory(warm_up)
        measure(extraction.ways(), warm_up, 1)
        extraction.keep_in_memory(files)
        rates = measure(extraction.ways(), files, arguments.repeats)
    print(json.dumps({"n_pictures": len(files), **with_ratios(rates)}))


if __name__ == "__main__":
    main()
