"""tl_app and the recipes on one split: who is faster, who is right, what a second run costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.methods import (
    RECIPE_EPOCHS,
    Measurement,
    Variant,
    run_app,
    run_recipe,
)
from benchmarks.paired import compare
from benchmarks.split import Split

APP = "tl_app"
VARIANTS: tuple[Variant, ...] = ("published", "repaired")


@dataclass(frozen=True, slots=True)
class Plan:
    """How often and how long.

    Attributes:
        n_app_runs, n_recipe_runs: repeats; of each variant.
        n_recipe_epochs: a phase, as run.
        unfreeze: the first layer that the app's default unfreezes.
        image_size_px: side of the pictures.
    """

    n_app_runs: int
    n_recipe_runs: int
    n_recipe_epochs: int
    unfreeze: str
    image_size_px: int


def schedule(n_app_runs: int, n_recipe_runs: int) -> list[str]:
    """The order of all runs: the app's are spread evenly among those of the recipes.

    What else the machine does, and how warm it is, then falls on all alike.
    """
    recipes = [variant for _ in range(n_recipe_runs) for variant in VARIANTS]
    placed = [((i + 0.5) / n_app_runs, 0, APP) for i in range(n_app_runs)]
    placed += [((i + 0.5) / len(recipes), 1, name) for i, name in enumerate(recipes)]
    return [name for _, _, name in sorted(placed, key=lambda item: item[:2])]


def compare_ways(
    name: str, split: Split, plan: Plan, scratch: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run all ways alternately, then the app once more with what the last run kept.

    Returns:
        JSON values.
    """
    runs: dict[str, list[Measurement]] = {}
    order = schedule(plan.n_app_runs, plan.n_recipe_runs)
    for number, way in enumerate(order, start=1):
        place = scratch / f"{number}-{way}"
        if way == APP:
            cache = scratch / f"cache-{number}"
            done = run_app(split.folder, place, cache)
        else:
            done = run_recipe(
                split,
                place,
                "published" if way == "published" else "repaired",
                n_epochs=plan.n_recipe_epochs,
                unfreeze=None if way == "published" else plan.unfreeze,
                image_size_px=plan.image_size_px,
            )
        runs.setdefault(way, []).append(done)
        scaled = "" if done.seconds == done.scaled_seconds else f" ({done.scaled_seconds:.1f} all)"
        say(
            f"{name}, {number} of {len(order)}: {way} {done.seconds:.1f} s{scaled}, "
            f"accuracy {done.accuracy:.3f}"
        )
    second = run_app(split.folder, scratch / "second", cache, seed=1)
    say(f"{name}: second training {second.seconds:.1f} s")
    return {
        "name": name,
        "class_names": list(split.class_names),
        "n_train": split.n_train,
        "n_test": split.n_test,
        "n_rewritten": split.n_rewritten,
        "n_left_out": split.n_left_out,
        "order": order,
        "ways": {way: summary(done) for way, done in runs.items()},
        "comparisons": [
            comparison(runs[APP], runs[variant], variant) for variant in VARIANTS if variant in runs
        ],
        "second_training": as_document(second),
    }


def comparison(
    app: list[Measurement], recipe: list[Measurement], variant: Variant
) -> dict[str, Any]:
    """How many times faster, and the paired difference of the first runs' accuracies."""
    own, other = median_epoch(app), median_epoch(recipe)
    return {
        "against": variant,
        "times_faster": statistics.median(run.scaled_seconds for run in recipe)
        / statistics.median(run.scaled_seconds for run in app),
        "epoch_times_faster": own and other and other / own,
        "is_whole_recipe": all(n == RECIPE_EPOCHS for n in recipe[0].n_epochs),
        **asdict(compare(app[0].right, recipe[0].right)),
    }


def summary(runs: list[Measurement]) -> dict[str, Any]:
    """Medians of times, largest memory, and every run."""
    return {
        "seconds": statistics.median(run.seconds for run in runs),
        "scaled_seconds": statistics.median(run.scaled_seconds for run in runs),
        "phases": medians(run.phases for run in runs),
        "told": medians(run.told for run in runs),
        "epoch_seconds": median_epoch(runs),
        "milestones": medians(run.milestones for run in runs),
        "accuracy": runs[0].accuracy,
        "peak_memory_bytes": max(run.peak_memory_bytes for run in runs),
        "peak_anonymous_bytes": max(run.peak_anonymous_bytes for run in runs),
        "runs": [as_document(run) for run in runs],
    }


def median_epoch(runs: list[Measurement]) -> float | None:
    """Seconds of an epoch of fine-tuning; None where a run has none."""
    seconds = [run.epoch_seconds for run in runs if run.epoch_seconds is not None]
    return statistics.median(seconds) if len(seconds) == len(runs) else None


def medians(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """The median of each key, over the rows that have it."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            values.setdefault(key, []).append(value)
    return {key: statistics.median(found) for key, found in values.items()}


def as_document(run: Measurement) -> dict[str, Any]:
    """JSON values; of the pictures those that were told wrongly."""
    document = asdict(run)
    right = document.pop("right")
    wrong = sorted(picture for picture, is_right in right.items() if not is_right)
    return {**document, "accuracy": run.accuracy, "n_pictures": len(right), "wrong": wrong}
