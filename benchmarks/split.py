"""One split for all that is measured: train/ and test/ with class folders, made of links.

A picture that the recipes would read otherwise than the app (transparent, turned by EXIF, with
a palette, CMYK, 16 bits) is written anew as a plain PNG, so that all see the same pixels.
"""

from __future__ import annotations

import hashlib
import os
import random
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

TEST_FRACTION = 0.2
MIN_PER_CLASS = 5
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
"""What Keras's `image_dataset_from_directory` reads."""

FORMATS = frozenset({"JPEG", "PNG", "BMP", "GIF"})
ORIENTATION = 0x0112
"""The EXIF tag."""


@dataclass(frozen=True, slots=True)
class Split:
    """What `build_split` made.

    Attributes:
        folder: holds train/ and test/.
        class_names: sorted.
        n_train, n_test: pictures.
        n_rewritten: pictures written anew as plain PNGs.
        n_left_out: files that are no readable picture, or a copy of another one.
    """

    folder: Path
    class_names: tuple[str, ...]
    n_train: int
    n_test: int
    n_rewritten: int
    n_left_out: int

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def test(self) -> Path:
        return self.folder / "test"


def build_split(
    photos: Path, folder: Path, *, seed: int = 0, max_pictures: int | None = None
) -> Split:
    """Split the class folders of `photos` 80/20, each class in its share.

    Args:
        photos: one folder a class.
        folder: is made.
        seed: of the choice.
        max_pictures: take about so many, each class in its share; None takes all.

    Raises:
        ValueError: fewer than two classes have enough pictures.
    """
    by_class, n_left_out = find_pictures(photos)
    if len(by_class) < 2:
        raise ValueError(f"{photos} has no two class folders with {MIN_PER_CLASS} pictures each")
    n_found = sum(map(len, by_class.values()))
    share = 1.0 if max_pictures is None else min(1.0, max_pictures / n_found)
    counts = {"train": 0, "test": 0}
    n_rewritten = 0
    for name, pictures in by_class.items():
        for side, chosen in choose_sides(pictures, share, f"{seed} {name}").items():
            (folder / side / name).mkdir(parents=True)
            for picture in chosen:
                # Two sub-folders of a class may hold one file name.
                stem = "-".join(picture.relative_to(photos / name).parts)
                n_rewritten += place(picture, folder / side / name / stem)
            counts[side] += len(chosen)
    return Split(folder, tuple(by_class), counts["train"], counts["test"], n_rewritten, n_left_out)


def choose_sides(pictures: list[Path], share: float, seed: str) -> dict[str, list[Path]]:
    """A seeded choice of `share` of one class, a fifth of it for testing."""
    shuffled = sorted(pictures)
    random.Random(seed).shuffle(shuffled)
    shuffled = shuffled[: max(MIN_PER_CLASS, round(share * len(shuffled)))]
    n_test = max(1, round(TEST_FRACTION * len(shuffled)))
    return {"train": sorted(shuffled[n_test:]), "test": sorted(shuffled[:n_test])}


def find_pictures(photos: Path) -> tuple[dict[str, list[Path]], int]:
    """Readable pictures of each class folder, none with the same bytes as another.

    Returns:
        Class name to at least `MIN_PER_CLASS` pictures; and the number of files left out.
    """
    found: dict[str, list[Path]] = {}
    seen: set[bytes] = set()
    n_left_out = 0
    for class_folder in sorted(path for path in photos.iterdir() if path.is_dir()):
        pictures = []
        for path in sorted(class_folder.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            digest = hashlib.sha256(path.read_bytes()).digest()
            if digest in seen or not is_readable(path):
                n_left_out += 1
                continue
            seen.add(digest)
            pictures.append(path)
        if len(pictures) >= MIN_PER_CLASS:
            found[class_folder.name] = pictures
        else:
            n_left_out += len(pictures)
    return found, n_left_out


def is_readable(path: Path) -> bool:
    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("ignore")
            picture.load()
            return picture.format in FORMATS
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def place(picture: Path, target: Path) -> bool:
    """Link `picture` as `target`, or write it anew; whether it was written anew."""
    with warnings.catch_warnings(), Image.open(picture) as opened:
        warnings.simplefilter("ignore")
        is_plain = (
            opened.mode in ("RGB", "L")
            and "transparency" not in opened.info
            and opened.getexif().get(ORIENTATION, 1) == 1
        )
        if is_plain:
            os.symlink(picture.resolve(), target)
            return False
        plain_rgb(opened).save(target.with_name(f"{target.name}.png"))
    return True


def plain_rgb(picture: Image.Image) -> Image.Image:
    """Upright, on white where transparent, 8-bit RGB."""
    turned = ImageOps.exif_transpose(picture) or picture
    if turned.mode.startswith("I"):  # 16 bits
        turned = turned.point(lambda level: level / 256).convert("L")
    if "A" in turned.getbands() or "transparency" in turned.info:
        layers = turned.convert("RGBA")
        ground = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(ground, layers).convert("RGB")
    return turned.convert("RGB")
