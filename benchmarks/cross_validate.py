"""Accuracy of the whole default recipe, by k-fold cross-validation over several seeds.

    python benchmarks/cross_validate.py FOLDER [--folds 5] [--seeds 0 1 2] [--set KEY=VALUE]

Every fold is a complete `tl_app.train` run on a table that names the fold's test pictures;
validation pictures are taken from the rest, as in any run. Pictures with the same pixels stay
in one fold. Prints a line a fold and a JSON document at the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

import tl_app
from tl_app.config import load_config
from tl_app.environment import prepare_libraries


def list_pictures(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Paths, labels and pixel hashes of what `tl-app train FOLDER` would use."""
    from tl_app.data.scan import scan
    from tl_app.inputs.inspect import inspect_file
    from tl_app.progress import SilentReporter

    settings = load_config().data
    dataset = scan(
        str(folder),
        settings,
        inspect=lambda path: inspect_file(path, max_pixels=settings.max_pixels),
        reporter=SilentReporter(),
        test_required=False,
    )
    names = dataset.class_names
    return (
        [example.path for example in dataset.examples],
        [names[example.label] for example in dataset.examples],
        [example.pixel_hash for example in dataset.examples],
    )


def write_table(path: Path, paths: list[str], labels: list[str], test: np.ndarray) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for i, (picture, label) in enumerate(zip(paths, labels, strict=True)):
            writer.writerow([picture, label, "test" if test[i] else "train"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()

    prepare_libraries()
    paths, labels, hashes = list_pictures(arguments.folder)
    by_seed: dict[int, dict[str, float]] = {}
    for seed in arguments.seeds:
        folds = StratifiedGroupKFold(arguments.folds, shuffle=True, random_state=seed)
        n_right, loss, seconds = 0, 0.0, []
        for number, (_, held_out) in enumerate(folds.split(paths, labels, hashes)):
            test = np.zeros(len(paths), dtype=bool)
            test[held_out] = True
            scratch = Path(tempfile.mkdtemp())
            try:
                write_table(scratch / "table.csv", paths, labels, test)
                started = time.perf_counter()
                run = tl_app.train(
                    arguments.folder,
                    config=load_config(None, [*arguments.overrides, f"seed={seed}"]),
                    table=scratch / "table.csv",
                    output=scratch,
                )
                seconds.append(time.perf_counter() - started)
                predictions = run.folder.read_predictions("test")
            finally:
                shutil.rmtree(scratch)
            rows = np.arange(len(predictions.y_true))
            right = int((predictions.y_pred == predictions.y_true).sum())
            told = predictions.probabilities[rows, predictions.y_true]
            n_right += right
            loss -= float(np.log(np.clip(told, 1e-7, 1)).sum())
            print(
                f"seed {seed} fold {number}: {right}/{len(rows)} right, {seconds[-1]:.0f} s",
                flush=True,
            )
        by_seed[seed] = {
            "accuracy": n_right / len(paths),
            "log_loss": loss / len(paths),
            "median_seconds_per_run": float(np.median(seconds)),
        }
        print(f"seed {seed}: {by_seed[seed]}", flush=True)
    print(
        json.dumps(
            {
                "folder": arguments.folder.name,
                "n_pictures": len(paths),
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
