"""tl_app against the recipe that is written by hand: time, accuracy, memory, growth.

    make bench                       or: python -m benchmarks.bench [--quick]

Takes turns with the recipe as it is published and with a repaired one, on the same pictures,
backbone, weights and split; trains a second time on what the first run kept; trains on growing
sets; measures the extraction. Prints the tables and saves them, with all figures as JSON, below
reports/benchmarks/. What is measured are whole processes of this checkout; let nothing else
run meanwhile.

The recipes have 10 epochs a phase. By default they are run for 2 and their times are scaled;
their accuracies are then those of 2 epochs, so use --full-recipe to compare accuracies.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.comparison import Plan, compare_ways
from benchmarks.fashion import fetch
from benchmarks.growth import measure_growth
from benchmarks.methods import RECIPE_EPOCHS
from benchmarks.processes import ROOT, ProcessFailed, measured_environment, run_measured
from benchmarks.split import Split, build_split
from benchmarks.tables import render
from benchmarks.targets import judge
from examples.demo_photos import Unavailable
from tl_app import environment
from tl_app.storage import write_atomic, write_json

PARTS = ("compare", "growth", "extraction")
SIZES = (500, 2_000)
LARGE_SIZES = (8_000, 32_000)
FASHION_PER_CLASS = 300
SETTINGS = (
    "quick",
    "parts",
    "repeats",
    "recipe_repeats",
    "recipe_epochs",
    "sizes",
    "max_pictures",
    "seed",
)
"""Options that a document repeats."""

QUICK = {"max_pictures": 80, "sizes": [200, 500], "repeats": 1, "extraction_pictures": 128}


def main() -> int:
    arguments = parse()
    if arguments.scratch is not None:
        arguments.scratch.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="tl-app-bench-", dir=arguments.scratch) as scratch:
            bench(arguments, Path(scratch))
    except (ProcessFailed, Unavailable, ValueError) as problem:
        say(f"The benchmark cannot go on: {problem}")
        return 1
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="default: the demo's")
    parser.add_argument("--fashion", action="store_true", help="Fashion-MNIST as well")
    parser.add_argument("--quick", action="store_true", help="small figures within 5 minutes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, help="of tl_app; default: 3")
    parser.add_argument("--recipe-repeats", type=int, default=1, help="of each recipe")
    parser.add_argument("--recipe-epochs", type=int, default=2, help="a phase; 2 or more")
    parser.add_argument("--full-recipe", action="store_true", help="all 10 epochs a phase")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help="default: 500 2000")
    parser.add_argument("--large", action="store_true", help="8,000 and 32,000 pictures as well")
    parser.add_argument("--max-pictures", type=int, metavar="N", help="of each compared set")
    parser.add_argument("--extraction-pictures", type=int, metavar="N", help="default: 512")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="for pictures and runs")
    parser.add_argument("--output", type=Path, default=ROOT / "reports/benchmarks", metavar="DIR")
    arguments = parser.parse_args()
    usual = {"max_pictures": None, "sizes": list(SIZES), "repeats": 3, "extraction_pictures": 512}
    for name, value in (QUICK if arguments.quick else usual).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.large:
        arguments.sizes = [*arguments.sizes, *LARGE_SIZES]
    if arguments.full_recipe:
        arguments.recipe_epochs = RECIPE_EPOCHS
    if not 2 <= arguments.recipe_epochs <= RECIPE_EPOCHS:
        parser.error(f"--recipe-epochs must be from 2 to {RECIPE_EPOCHS}")
    if arguments.repeats < 1 or arguments.recipe_repeats < 0:
        parser.error("--repeats must be 1 or more, --recipe-repeats 0 or more")
    return arguments


def bench(arguments: argparse.Namespace, scratch: Path) -> None:
    """Run all parts; what is done is saved after each, for the long ones."""
    now = datetime.now(UTC)
    target = arguments.output / now.strftime("%Y%m%d-%H%M%S")
    photos = arguments.photos or demo_photos()
    document: dict[str, Any] = {
        "created": now.isoformat(timespec="seconds"),
        "settings": {name: getattr(arguments, name) for name in SETTINGS},
        "environment": environment.describe(),
        "backbone": python_json(["-m", "benchmarks.backbone"], scratch),
        "sets": [],
    }
    split = make_split(photos, scratch / "photos", arguments)

    if "compare" in arguments.parts:
        plan = Plan(
            n_app_runs=arguments.repeats,
            n_recipe_runs=arguments.recipe_repeats,
            n_recipe_epochs=arguments.recipe_epochs,
            unfreeze=document["backbone"]["unfrozen_layers"][0],
            image_size_px=document["backbone"]["image_size_px"],
        )
        sets = {photos.resolve().name: split}
        if arguments.fashion:
            fashion = fetch(scratch, n_per_class=FASHION_PER_CLASS)
            sets["fashion_mnist"] = make_split(fashion, scratch / "fashion", arguments)
        for name, one_split in sets.items():
            document["sets"].append(
                compare_ways(name, one_split, plan, scratch / f"runs-{name}", say)
            )
            save(document, target)
    if "extraction" in arguments.parts:
        say("extraction")
        limit = ["--max-pictures", str(arguments.extraction_pictures)]
        document["extraction"] = python_json(
            ["-m", "benchmarks.extraction", str(split.folder), *limit], scratch
        )
        save(document, target)
    if "growth" in arguments.parts:
        document["growth"] = measure_growth(split, arguments.sizes, scratch / "growth", say)
    save(document, target)
    print(render(document))
    say(f"saved as {target}.json and {target.name}.md")


def make_split(photos: Path, folder: Path, arguments: argparse.Namespace) -> Split:
    split = build_split(photos, folder, seed=arguments.seed, max_pictures=arguments.max_pictures)
    say(
        f"{photos.name}: {split.n_train:,} training and {split.n_test:,} test pictures "
        f"({split.n_rewritten:,} written anew as plain PNGs, {split.n_left_out:,} files left out)"
    )
    return split


def demo_photos() -> Path:
    """The folder of the demo's photographs, fetched where it is not there.

    Raises:
        Unavailable: they cannot be had as a folder.
    """
    command = [sys.executable, str(ROOT / "examples/demo_photos.py"), "--into", str(ROOT / "data")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    folder = Path(done.stdout.strip())
    if done.returncode != 0 or not folder.is_dir():
        raise Unavailable("there are no demo photographs here; name others with --photos FOLDER")
    return folder


def python_json(arguments: list[str], scratch: Path) -> dict[str, Any]:
    """The JSON document on the last line that a Python process of its own prints."""
    done = run_measured(
        [sys.executable, *arguments],
        environment=measured_environment(scratch / "cache"),
        folder=scratch,
    )
    return json.loads(done.stdout.splitlines()[-1])


def save(document: dict[str, Any], target: Path) -> None:
    """Write `target`.json and `target`.md, with the targets judged."""
    document["targets"] = judge(document)
    write_json(target.with_name(f"{target.name}.json"), document)
    text = render(document)
    write_atomic(
        target.with_name(f"{target.name}.md"), lambda file: file.write(text.encode("utf-8"))
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
