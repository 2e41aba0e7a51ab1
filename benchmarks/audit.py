"""Plant faults in clean photographs, audit them, and count what is found.

    python -m benchmarks.audit photos/

Photographs are one folder a class. Sets of links and changed copies are made of them: with wrong
labels, with copies across train and test, with copies that a split has to keep on one side, and
with a watermark on one class. Prints recall,
precision, false groups and seconds, and saves them as JSON. Pairs that the photographs held
before anything was planted are listed: look at them before calling one false.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from benchmarks.split import find_pictures
from tl_app.config import Config
from tl_app.console import make_reporter
from tl_app.data.scan import scan
from tl_app.data.source import Source
from tl_app.findings import Audit, Finding
from tl_app.libraries import prepare_libraries

WRONG_SHARE = 0.05
N_COPIES = 50
TEST_SHARE = 0.2

Change = Callable[[Image.Image, random.Random], Image.Image]


def smaller(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Resized by 10 %, either way."""
    factor = chance.choice((0.9, 1.1))
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def cropped(picture: Image.Image, chance: random.Random) -> Image.Image:
    """5 % of width and height taken off, on sides that chance says."""
    width, height = round(picture.width * 0.95), round(picture.height * 0.95)
    left = chance.randint(0, picture.width - width)
    top = chance.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


CHANGES: dict[str, Change] = {
    "re-encoded": lambda picture, chance: picture,
    "resized by 10 %": smaller,
    "mirrored": lambda picture, chance: ImageOps.mirror(picture),
    "cropped by 5 %": cropped,
    "turned by 90 degrees": lambda picture, chance: picture.transpose(Image.Transpose.ROTATE_90),
}
"""How a copy is changed; each is then saved as a JPEG of quality 75."""


def text_mark(picture: Image.Image) -> Image.Image:
    """White words that shine half through, at the bottom right."""
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    font = ImageFont.load_default(max(10, picture.height // 14))
    corner = (picture.width - 6, picture.height - 6)
    ImageDraw.Draw(layer).text(corner, "(c) photo", (255, 255, 255, 128), font, anchor="rs")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def logo_mark(picture: Image.Image) -> Image.Image:
    """An opaque grey and red logo of 36 px at the top left, whatever the picture's size."""
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    draw.rectangle((4, 4, 40, 40), (120, 120, 120))
    draw.ellipse((12, 12, 32, 32), (200, 30, 30))
    return marked


def border_mark(picture: Image.Image) -> Image.Image:
    """A dark line of 2 % all around."""
    marked = picture.copy()
    width = max(1, picture.width // 50)
    box = (0, 0, picture.width - 1, picture.height - 1)
    ImageDraw.Draw(marked).rectangle(box, outline=(20, 20, 20), width=width)
    return marked


MARKS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "text": text_mark,
    "logo": logo_mark,
    "border": border_mark,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, help="one folder a class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path())
    parser.add_argument(
        "--only", choices=("plain", "labels", "copies", "splits", "marks"), help="one part of it"
    )
    options = parser.parse_args(arguments)
    prepare_libraries()
    pictures, _ = find_pictures(options.photos)
    parts: dict[str, Callable[[Path, dict[str, list[Path]], int], dict[str, Any]]] = {
        "plain": measure_plain,
        "labels": measure_labels,
        "copies": measure_copies,
        "splits": measure_splits,
        "marks": measure_marks,
    }
    document: dict[str, Any] = {}
    for name, measure in parts.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as scratch:
                document[name] = measure(Path(scratch), pictures, options.seed)
            print(json.dumps({name: document[name]}, indent=1), flush=True)
    folder = options.output / "reports" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "audit.json").write_text(json.dumps(document, indent=1))


# --- the parts -------------------------------------------------------------------------------


def measure_plain(scratch: Path, pictures: dict[str, list[Path]], seed: int) -> dict[str, Any]:
    """The photographs as they are: what is found in them, and how long it takes once kept."""
    for name, paths in pictures.items():
        link(paths, scratch / "photos" / name)
    audited(scratch)
    started, worked = time.perf_counter(), time.process_time()
    audit = audited(scratch)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    return {
        "n_pictures": audit.n_examples,
        "seconds_with_kept_features": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "findings": {f.kind: [f.severity, f.title] for f in audit.findings},
        "near_copies": [
            list(case.paths) for f in of_kind(audit, "near_copies") for case in f.evidence
        ],
    }


def measure_labels(scratch: Path, pictures: dict[str, list[Path]], seed: int) -> dict[str, Any]:
    """5 % of each class lie in another class's folder."""
    chance = random.Random(seed)
    names = list(pictures)
    planted = set()
    for name, paths in pictures.items():
        wrong = set(chance.sample(paths, round(WRONG_SHARE * len(paths))))
        for path in paths:
            label = chance.choice([n for n in names if n != name]) if path in wrong else name
            link([path], scratch / "photos" / label)
            if path in wrong:
                planted.add(f"{label}/{path.name}")
    audit = audited(scratch)
    found = {fix.path for f in of_kind(audit, "wrong_label") for fix in f.fixes}
    return {
        "n_planted": len(planted),
        "n_reported": len(found),
        "recall": round(len(found & planted) / len(planted), 4),
        "precision": round(len(found & planted) / max(len(found), 1), 4),
        "others": sorted(found - planted),
    }


def measure_copies(scratch: Path, pictures: dict[str, list[Path]], seed: int) -> dict[str, Any]:
    """Changed copies of training pictures lie in the test part; 50 of each kind of change."""
    chance = random.Random(seed)
    train: list[tuple[str, Path]] = []
    for name, paths in pictures.items():
        tested = set(chance.sample(paths, round(TEST_SHARE * len(paths))))
        for path in paths:
            side = "test" if path in tested else "train"
            link([path], scratch / "photos" / side / name)
            if side == "train":
                train.append((name, path))
    planted = plant_copies(scratch / "photos", train, "test/", "train/", chance)
    audit = audited(scratch)
    groups = [frozenset(case.paths) for f in of_kind(audit, "leakage") for case in f.evidence] + [
        frozenset(case.paths) for f in of_kind(audit, "near_copies") for case in f.evidence
    ]
    all_planted = set().union(*planted.values())
    found = {pair for pair in all_planted if any(pair <= group for group in groups)}
    others = sorted({g for g in groups if not any(pair <= g for pair in all_planted)}, key=sorted)
    return {
        "recall": {k: round(len(found & pairs) / len(pairs), 4) for k, pairs in planted.items()},
        "missed": [sorted(pair) for pair in all_planted - found],
        "n_groups": len(set(groups)),
        "not_planted": [sorted(group) for group in others],
        "mixed": [sorted(g) for g in set(groups) - set(others) if g not in all_planted],
    }


def measure_splits(scratch: Path, pictures: dict[str, list[Path]], seed: int) -> dict[str, Any]:
    """Changed copies lie beside their originals: on how many sides does a split put them?"""
    from tl_app.audit.measure import measure_pictures
    from tl_app.audit.near_duplicates import find_near_duplicates
    from tl_app.data.splitting import make_split
    from tl_app.data.ties import fitting_ties
    from tl_app.features.store import FeatureStore
    from tl_app.inputs.inspect import inspect_file

    chance, photos = random.Random(seed), scratch / "photos"
    for name, paths in pictures.items():
        link(paths, photos / name)
    originals = [(name, path) for name, paths in pictures.items() for path in paths]
    planted = plant_copies(photos, originals, "", "", chance)
    data, reporter = Config().data, make_reporter()
    dataset = scan(
        str(photos),
        data,
        inspect=lambda path: inspect_file(path, max_pixels=data.max_pixels),
        reporter=reporter,
        test_required=True,
        materialise_to=scratch,
    )
    started = time.perf_counter()
    measured = measure_pictures(
        photos,
        dataset.examples,
        max_pixels=data.max_pixels,
        store=FeatureStore(scratch / "store"),
        reporter=reporter,
    )
    found = find_near_duplicates(dataset.examples, measured.thumbnails, None)
    ties, n_left_out = fitting_ties(dataset.examples, found.ties)
    seconds = time.perf_counter() - started
    parted = {}
    for kind, kept in {"exact copies alone": [], "near copies too": ties.tolist()}.items():
        dataset_, split = make_split(
            dataset,
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            seed=seed,
            ties=[(i, j) for i, j in kept],
        )
        side = {e.path: s for e, s in zip(dataset_.examples, split.sides, strict=True)}
        parted[kind] = {
            change: sum(len({side[path] for path in pair}) > 1 for pair in pairs)
            for change, pairs in planted.items()
        }
    return {
        "pairs_parted": parted,
        "n_ties": len(ties),
        "n_ties_left_out": n_left_out,
        "seconds_to_find": round(seconds, 1),
    }


def measure_marks(scratch: Path, pictures: dict[str, list[Path]], seed: int) -> dict[str, Any]:
    """A mark on one class, of several kinds."""
    marked_class = min(pictures)
    found: dict[str, Any] = {}
    for kind, mark in MARKS.items():
        folder = scratch / kind / "photos"
        for name, paths in pictures.items():
            (folder / name).mkdir(parents=True)
            for path in paths:
                with Image.open(path) as opened:
                    picture = opened.convert("RGB")
                if name == marked_class:
                    picture = mark(picture)
                picture.save(folder / name / f"{path.stem}.jpg", quality=90)
        audit = audited(scratch / kind)
        found[kind] = [f.title for k in ("patch_shortcut", "shortcut") for f in of_kind(audit, k)]
    return found


# --- what they share -------------------------------------------------------------------------


def link(paths: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        os.symlink(path.resolve(), folder / path.name)


def plant_copies(
    photos: Path,
    originals: Sequence[tuple[str, Path]],
    to: str,
    beside: str,
    chance: random.Random,
) -> dict[str, set[frozenset[str]]]:
    """Save changed copies, `N_COPIES` of each kind; the pairs of each kind.

    Args:
        photos: gets the copies.
        originals: class and file, of which each is copied once at most.
        to, beside: folders of the copies and of the originals in `photos`, with a slash.
        chance: draws originals and changes.
    """
    planted: dict[str, set[frozenset[str]]] = {}
    drawn = iter(chance.sample(originals, N_COPIES * len(CHANGES)))
    for kind, change in CHANGES.items():
        planted[kind] = set()
        for _ in range(N_COPIES):
            name, path = next(drawn)
            copy = f"{to}{name}/copy-{kind.split()[0]}-{path.stem}.jpg"
            with Image.open(path) as opened:
                changed = change(opened.convert("RGB"), chance)
            changed.save(photos / copy, quality=75)
            planted[kind].add(frozenset({copy, f"{beside}{name}/{path.name}"}))
    return planted


def audited(scratch: Path) -> Audit:
    """As `tl-app audit` does it."""
    from tl_app.app.auditing import audit

    return audit(
        Source(str(scratch / "photos")),
        config=Config(),
        output=scratch / "output",
        reporter=make_reporter(),
    ).audit


def of_kind(audit: Audit, kind: str) -> list[Finding]:
    return [finding for finding in audit.findings if finding.kind == kind]


if __name__ == "__main__":
    main()
