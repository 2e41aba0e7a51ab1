"""Accuracy of the whole default recipe, by k-fold cross-validation over several seeds.

    python benchmarks/cross_validate.py FOLDER [--folds 5] [--seeds 0 1 2] [--set KEY=VALUE]

A fold does all of `tl-app train` that decides its predictions: a fresh backbone, validation
pictures taken from the training folds by the run's own split, the phases, the choice of the best
checkpoint, and the final model's probabilities for the held-out pictures, read from their
files. Folds share what the frozen backbone says of a picture; nothing is exported or reported.
Pictures with the same pixels stay in one fold. Prints a line a fold and a JSON document at the
end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from tl_app.config import Config
from tl_app.config_loading import load_config
from tl_app.libraries import prepare_libraries
from tl_app.progress import SilentReporter
from tl_app.records import Dataset, Predictions, Preprocessing
from tl_app.run import RunFolder

if TYPE_CHECKING:
    from tl_app.features.store import FeatureStore


def scan_folder(folder: Path, config: Config) -> tuple[Dataset, Preprocessing]:
    """What `tl-app train FOLDER` would use, and how it would read it."""
    from tl_app.backbones.registry import get_spec
    from tl_app.data.scan import scan
    from tl_app.inputs.inspect import inspect_file
    from tl_app.inputs.window import resolve_window

    dataset = scan(
        str(folder),
        config.data,
        inspect=lambda path: inspect_file(path, max_pixels=config.data.max_pixels),
        reporter=SilentReporter(),
        test_required=False,
    )
    return dataset, Preprocessing(
        image_size_px=config.data.image_size_px or get_spec(config.backbone).image_size_px,
        aspect=config.data.aspect,
        window=resolve_window(config.data.window, dataset.examples),
        max_pixels=config.data.max_pixels,
    )


def run_fold(
    dataset: Dataset,
    preprocessing: Preprocessing,
    store: FeatureStore,
    held_out: np.ndarray,
    config: Config,
    scratch: Path,
) -> Predictions:
    """Train on all but `held_out` (positions) and predict those."""
    from tl_app.app.finishing import predict_side
    from tl_app.app.materials import load_material
    from tl_app.data.calibration_part import hold_apart
    from tl_app.data.splitting import make_split
    from tl_app.features.extract import FrozenPart
    from tl_app.training.classifier import Classifier
    from tl_app.training.hardware import choose_hardware
    from tl_app.training.phase_inputs import TrainingData
    from tl_app.training.phases import PhaseTrainer

    is_test = np.zeros(len(dataset.examples), dtype=bool)
    is_test[held_out] = True
    examples = tuple(
        replace(example, given_side="test" if test else "train")
        for example, test in zip(dataset.examples, is_test, strict=True)
    )
    fold = replace(dataset, examples=examples, given_sides=("train", "test"))
    fold, split = make_split(
        fold,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.seed,
    )
    split = hold_apart(fold, split, fraction=config.data.calibration_fraction, seed=config.seed)
    hardware = choose_hardware(config)
    strategy = hardware.build_strategy()
    material = load_material(
        "image", config, hardware, strategy, SilentReporter(), processing=preprocessing
    )
    with strategy.scope():
        classifier = Classifier(material.backbone, len(dataset.class_names), config)
    data = TrainingData(
        items=material.items(dataset, store),
        labels=dataset.labels,
        groups=np.array(split.groups, dtype=np.int64),
        train_rows=split.indices("train"),
        validation_rows=split.stopping,
        class_names=dataset.class_names,
    )
    folder = RunFolder.create(scratch, "fold")
    trainer = PhaseTrainer(
        classifier, data, config, hardware, strategy, folder, store, [], SilentReporter()
    )
    trainer.prepare()
    trainer.run()
    return predict_side(
        FrozenPart(classifier.probabilities()),
        material,
        fold,
        split,
        "test",
        SilentReporter(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()

    prepare_libraries()
    from tl_app.features.store import FeatureStore

    base = load_config(None, arguments.overrides)
    dataset, preprocessing = scan_folder(arguments.folder, base)
    n_pictures = len(dataset.examples)
    hashes = [example.pixel_hash for example in dataset.examples]
    folder = Path(tempfile.mkdtemp())
    store = FeatureStore(folder)
    by_seed: dict[int, dict[str, float]] = {}
    for seed in arguments.seeds:
        config = base.model_copy(update={"seed": seed})
        folds = StratifiedGroupKFold(arguments.folds, shuffle=True, random_state=seed)
        n_right, loss, seconds = 0, 0.0, []
        for number, (_, held_out) in enumerate(folds.split(hashes, dataset.labels, hashes)):
            scratch = Path(tempfile.mkdtemp())
            started = time.perf_counter()
            try:
                found = run_fold(dataset, preprocessing, store, held_out, config, scratch)
            finally:
                shutil.rmtree(scratch)
            seconds.append(time.perf_counter() - started)
            right = int((found.y_pred == found.y_true).sum())
            told = found.probabilities[np.arange(len(held_out)), found.y_true]
            n_right += right
            loss -= float(np.log(np.clip(told, 1e-7, 1)).sum())
            print(
                f"seed {seed} fold {number}: {right}/{len(held_out)} right, {seconds[-1]:.0f} s",
                flush=True,
            )
        by_seed[seed] = {
            "accuracy": n_right / n_pictures,
            "log_loss": loss / n_pictures,
            "median_seconds_per_fold": float(np.median(seconds)),
        }
        print(f"seed {seed}: {by_seed[seed]}", flush=True)
    store.close()
    shutil.rmtree(folder)
    print(
        json.dumps(
            {
                "folder": arguments.folder.name,
                "n_pictures": n_pictures,
                "folds": arguments.folds,
                "seeds": arguments.seeds,
                "settings": arguments.overrides,
                "mean_accuracy": float(np.mean([r["accuracy"] for r in by_seed.values()])),
                "mean_log_loss": float(np.mean([r["log_loss"] for r in by_seed.values()])),
                "by_seed": by_seed,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
