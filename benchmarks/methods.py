"""The measured ways to a classifier: tl_app, and the recipe in its two variants.

Each is run as a whole process. What was told rightly is kept picture by picture, by the
picture's path below the test folder.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.processes import Finished, measured_environment, run_measured
from benchmarks.recipe_time import scaled_phase_seconds
from benchmarks.split import Split
from tl_app.run import RunFolder
from tl_app.storage import read_json

Variant = Literal["published", "repaired"]
RECIPE_EPOCHS = 10
"""A phase, as the published recipe has it."""

MILESTONES = {
    "imported": r"Device: ",
    "first_bar": r"[^:]+: [\d,]+ [a-z]+$",
    "head_begins": r"Choosing the penalty: ",
    "head_solved": r"Phase 'head': ",
}
"""Name -> how the first line begins that the app says on standard error when it is there."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one way.

    Attributes:
        seconds: of the whole process.
        scaled_seconds: as if the recipe had run all its epochs; `seconds` for the app.
        phases: seconds of each part, scaled as well.
        told: what the app told beforehand of some of these parts (app only).
        epoch_seconds: of the phase that fine-tunes, the median of its epochs after the first;
            None where there is no such phase.
        milestones: seconds from the start of the process (app only).
        n_epochs: of each phase as it was run (recipe only).
        peak_memory_bytes, peak_anonymous_bytes: see `Finished`.
        right: test picture to whether it was told rightly.
    """

    seconds: float
    scaled_seconds: float
    phases: dict[str, float]
    told: dict[str, float]
    epoch_seconds: float | None
    milestones: dict[str, float]
    n_epochs: tuple[int, ...]
    peak_memory_bytes: int
    peak_anonymous_bytes: int
    right: dict[str, bool]

    @property
    def accuracy(self) -> float:
        return sum(self.right.values()) / len(self.right)


def run_app(
    pictures: Path, output: Path, cache: Path, *, seed: int = 0, settings: Path | None = None
) -> Measurement:
    """`tl-app train PICTURES`, with the defaults unless `settings` names a file.

    Args:
        pictures: class folders, or train/ and test/ with class folders.
        output: gets the run.
        cache: the app's; empty for a first training.
        seed: of the run.
        settings: a TOML file.
    """
    command = [sys.executable, "-m", "tl_app", "train", str(pictures), "--output", str(output)]
    command += ["--json", "--seed", str(seed)]
    if settings is not None:
        command += ["--config", str(settings)]
    output.mkdir(parents=True, exist_ok=True)
    done = run_measured(command, environment=measured_environment(cache), folder=output)
    document = json.loads(done.stdout)
    run = RunFolder.open(output / document["run"], output)
    predictions = run.read_predictions("test")
    return Measurement(
        seconds=done.seconds,
        scaled_seconds=done.seconds,
        phases={**document["seconds"], **_phase_seconds(run), **_extraction_seconds(run)},
        told=_told_seconds(run),
        epoch_seconds=_epoch_seconds(
            [r["seconds"] for r in read_json(run.history_file) if r["phase"] == "fine_tune"]
        ),
        milestones=find_milestones(done),
        n_epochs=(),
        peak_memory_bytes=done.peak_memory_bytes,
        peak_anonymous_bytes=done.peak_anonymous_bytes,
        right={
            path.removeprefix("test/"): bool(right)
            for path, right in zip(
                predictions.paths, predictions.y_pred == predictions.y_true, strict=True
            )
        },
    )


def _phase_seconds(run: RunFolder) -> dict[str, float]:
    """Seconds of each phase's epochs, out of the learning curves."""
    seconds: dict[str, float] = defaultdict(float)
    for record in read_json(run.history_file):
        seconds[f"phase {record['phase']}"] += record["seconds"]
    return dict(seconds)


def _epoch_seconds(seconds: list[float]) -> float | None:
    """The first epoch traces as well."""
    return statistics.median(seconds[1:] or seconds) if seconds else None


def _told_seconds(run: RunFolder) -> dict[str, float]:
    """The estimate that was told before the features, by the names of `_phase_seconds`."""
    estimate = read_json(run.decisions_file)["estimate"]
    phases = {f"phase {name}": seconds for name, seconds in estimate["phases"].items()}
    return {"extraction": estimate["features"], **phases}


def _extraction_seconds(run: RunFolder) -> dict[str, float]:
    """Of the pass over the pictures alone: the stage `features` chooses an engine as well."""
    return {"extraction": read_json(run.decisions_file).get("extraction", {}).get("seconds", 0.0)}


def find_milestones(done: Finished) -> dict[str, float]:
    """Seconds from the start of the process to each milestone that was reached."""
    found = {}
    for name, pattern in MILESTONES.items():
        matcher = re.compile(pattern)
        seconds = next((at for at, line in done.lines if matcher.match(line)), None)
        if seconds is not None:
            found[name] = seconds
    return found


def run_recipe(
    split: Split,
    scratch: Path,
    variant: Variant,
    *,
    n_epochs: int,
    unfreeze: str | None,
    image_size_px: int,
    seed: int = 0,
) -> Measurement:
    """The recipe on the split's folders.

    Args:
        split: as the app gets it.
        scratch: gets the predictions.
        variant: of the recipe.
        n_epochs: a phase; its time is scaled to `RECIPE_EPOCHS`.
        unfreeze: first layer that trains in the second phase; None for all.
        image_size_px: side of the pictures.
        seed: of the recipe.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    predictions = scratch / "predictions.npz"
    command = [sys.executable, str(Path(__file__).with_name("peer_recipe.py"))]
    command += [str(split.train), str(split.test), "--predictions", str(predictions)]
    command += ["--backbone", "benchmarks.backbone:plain_backbone", "--variant", variant]
    command += ["--head-epochs", str(n_epochs), "--tune-epochs", str(n_epochs)]
    command += ["--size", str(image_size_px), "--seed", str(seed)]
    if unfreeze is not None:
        command += ["--unfreeze", unfreeze]
    done = run_measured(
        command, environment=measured_environment(scratch / "cache"), folder=scratch
    )
    document = json.loads(done.stdout.splitlines()[-1])
    phases = dict(document["seconds"])
    for phase, epochs in document["epoch_seconds"].items():
        phases[phase] = scaled_phase_seconds(phases[phase], epochs, RECIPE_EPOCHS)
    with np.load(predictions) as arrays:
        paths = [path.decode("utf-8", "surrogateescape") for path in arrays["paths"].tolist()]
        right = (arrays["logits"].argmax(axis=1) == arrays["y_true"]).tolist()
    return Measurement(
        seconds=done.seconds,
        scaled_seconds=done.seconds + sum(phases.values()) - sum(document["seconds"].values()),
        phases=phases,
        told={},
        epoch_seconds=_epoch_seconds(document["epoch_seconds"]["tune"]),
        milestones={},
        n_epochs=(n_epochs, n_epochs),
        peak_memory_bytes=done.peak_memory_bytes,
        peak_anonymous_bytes=done.peak_anonymous_bytes,
        right=dict(zip(paths, right, strict=True)),
    )
