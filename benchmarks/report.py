"""How long the report takes, how much memory, and how large it gets.

    python -m benchmarks.report [--rows 100000] [--classes 2 10 1000]
    python -m benchmarks.report --photos photos/

Simulated predictions of so many rows are evaluated, calibrated figures and slices included, and
made into a page with thumbnails; each size has a process of its own, whose peak memory is counted
from its start. With photographs, a run is trained on them, and then `tl-app audit` and
`tl-app report` are timed as whole commands on what the run has kept.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tl_app.libraries import prepare_libraries

THUMBNAIL_PX = 144
ACCURACY = 0.9


def simulate(n_rows: int, n_classes: int) -> dict[str, Any]:
    """Seconds by step, peak memory and bytes of a page on simulated predictions."""
    from tl_app.config import Config
    from tl_app.evaluation.calibration import Calibration
    from tl_app.evaluation.learning import fit_verdict
    from tl_app.evaluation.scoring import evaluate
    from tl_app.evaluation.slices import Figure, Naming, Traits, find_slices
    from tl_app.evaluation.trust import assess
    from tl_app.records import (
        Dataset,
        EpochRecord,
        Example,
        Predictions,
        Preprocessing,
        Side,
        Split,
    )
    from tl_app.report.build import ReportContents, render_report

    rng = np.random.default_rng(0)
    names = tuple(f"class {i}" for i in range(n_classes))
    y_true = rng.integers(0, n_classes, n_rows)
    is_right = rng.random(n_rows) < ACCURACY
    said = np.where(is_right, y_true, rng.integers(0, n_classes, n_rows))
    probabilities = rng.random((n_rows, n_classes), dtype=np.float32) / n_classes
    probabilities[np.arange(n_rows), said] += rng.beta(4, 1, n_rows)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    paths = tuple(f"{names[label]}/{row:06d}.jpg" for row, label in enumerate(y_true.tolist()))
    predictions = Predictions(paths, y_true, probabilities, names)
    examples = tuple(
        Example(
            path=path,
            label=int(label),
            given_side=None,
            given_group=None,
            file_hash=f"{row:064x}",
            pixel_hash=f"{row:064x}",
            width_px=400,
            height_px=300,
            mode="RGB",
            image_format="JPEG",
            exif_orientation=1,
            n_bytes=40_000,
            max_level=255,
            bits=8,
        )
        for row, (path, label) in enumerate(zip(paths, y_true.tolist(), strict=True))
    )
    picture = io.BytesIO()
    noise = rng.integers(0, 256, (THUMBNAIL_PX // 8, THUMBNAIL_PX // 8, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((THUMBNAIL_PX, THUMBNAIL_PX)).save(picture, "JPEG", quality=80)
    side: Side = "test"
    history = (EpochRecord("head", 1, 0.1, 0.95, 0.3, 0.9, 0.0, 1.0, True),)

    seconds: dict[str, float] = {}
    started = time.perf_counter()
    evaluation = evaluate(predictions, class_shares=np.full(n_classes, 1 / n_classes), side=side)
    seconds["evaluate"] = time.perf_counter() - started
    started = time.perf_counter()
    trust = assess(Calibration(1.0, "held_apart", n_rows // 10), predictions, None)
    seconds["trust"] = time.perf_counter() - started
    started = time.perf_counter()
    traits = Traits(
        paths,
        tuple(Figure(f"figure {i}", "", rng.random(n_rows)) for i in range(4)),
        (Naming("alike", tuple(f"alike {i}" for i in rng.integers(0, 8, n_rows))),),
    )
    slices = find_slices(traits, paths, predictions.y_pred == y_true)
    seconds["slices"] = time.perf_counter() - started
    started = time.perf_counter()
    page = render_report(
        ReportContents(
            run_name="simulated",
            config=Config().model_dump(mode="json"),
            dataset=Dataset("/simulated", "simulated", names, examples, ()),
            split=Split((side,) * n_rows, tuple(range(n_rows)), {}, 0),
            processing=Preprocessing(224, "squash", (0, 65535), 100_000_000),
            evaluation=evaluation,
            predictions=predictions,
            history=history,
            verdict=fit_verdict(history),
            cost={},
            environment={},
            decisions={},
            command="simulated",
            seconds={},
            thumbnail=lambda path: picture.getvalue(),
            trust=trust,
            slices=slices,
        )
    )
    seconds["render"] = time.perf_counter() - started
    return {
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "page_bytes": len(page.encode()),
        # In KiB on Linux.
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def on_photographs(photos: Path) -> dict[str, float]:
    """Seconds of whole commands on a run that has kept its features."""
    found = {}
    with tempfile.TemporaryDirectory() as output:

        def timed(*arguments: str) -> float:
            started = time.perf_counter()
            command = [sys.executable, "-m", "tl_app", *arguments, "--output", output]
            subprocess.run(command, check=True, capture_output=True)
            return time.perf_counter() - started

        found["train"] = timed("train", str(photos), "--name", "run")
        found["audit"] = timed("audit", str(photos))
        found["report"] = timed("report", "run")
    return {name: round(seconds, 1) for name, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 10, 1000])
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="one folder a class")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    prepare_libraries()
    if arguments.photos is not None:
        print(json.dumps(on_photographs(arguments.photos)))
        return
    if arguments.one:
        print(json.dumps(simulate(arguments.rows, arguments.classes[0])))
        return
    print(f"{'classes':>8} {'seconds':>8} {'peak':>9} {'page':>9}  steps")
    for n_classes in arguments.classes:
        command = [sys.executable, "-m", "benchmarks.report", "--one"]
        command += ["--rows", str(arguments.rows), "--classes", str(n_classes)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        steps = ", ".join(f"{name} {value:.1f} s" for name, value in result["seconds"].items())
        print(
            f"{n_classes:>8,} {sum(result['seconds'].values()):>6.1f} s "
            f"{result['peak_bytes'] / 1e6:>6,.0f} MB {result['page_bytes'] / 1e6:>6.2f} MB  {steps}"
        )


if __name__ == "__main__":
    main()
