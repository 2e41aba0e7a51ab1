"""Small folders of pictures that a classifier can tell apart, and the command line on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TRAIN_FAST = ("--image-size", "64", "--set", "phases.1.epochs=2")
TRAIN_SMALL = ("--backbone", "small", "--set", "export=false", *TRAIN_FAST)
"""For how a run goes; see `small_backbone`."""
HOSTILE_CLASS = '<img src=x onerror="alert(1)">'
HOSTILE_FILE = 'it\'s "quoted" & <b>.png'


def draw(kind: int, seed: int, size: int = 80) -> np.ndarray:
    """Stripes, checks or a disc, in noisy colours; uint8 (size, size, 3)."""
    random = np.random.default_rng([kind, seed])
    y, x = np.mgrid[:size, :size]
    period = int(random.integers(8, 16))
    shapes = [
        (x // period) % 2,
        ((x // period) + (y // period)) % 2,
        (x - size / 2) ** 2 + (y - size / 2) ** 2 < (size / 3) ** 2,
    ]
    mask = shapes[kind].astype(float)[..., None]
    first, second = random.uniform(0, 255, (2, 3))
    noise = random.normal(0, 12, (size, size, 3))
    return np.clip(mask * first + (1 - mask) * second + noise, 0, 255).astype(np.uint8)


def make_photos(folder: Path, n_per_class: int = 14) -> Path:
    """Three classes, one with a hostile name; several formats; some files that cannot be used."""
    for kind, name in enumerate(("stripes", "checks", HOSTILE_CLASS)):
        (folder / name).mkdir(parents=True)
        for i in range(n_per_class):
            picture = Image.fromarray(draw(kind, i))
            path = folder / name / f"{i:03}"
            if i % 5 == 0:
                picture.save(path.with_suffix(".png"))
            elif i % 5 == 1:
                exif = Image.Exif()
                exif[0x0112] = 1 + i % 8
                picture.save(path.with_suffix(".jpg"), exif=exif, quality=92)
            elif i % 5 == 2:
                picture.save(path.with_suffix(".webp"), lossless=True)
            elif i % 5 == 3:
                picture.save(path.with_suffix(".tif"))
            else:
                picture.convert("RGBA").save(path.with_suffix(".png"))
    Image.fromarray(draw(2, 99)).save(folder / HOSTILE_CLASS / HOSTILE_FILE)
    stripes = folder / "stripes"
    whole = (stripes / "001.jpg").read_bytes()
    (stripes / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (stripes / "empty.jpg").write_bytes(b"")
    (stripes / "page.jpg").write_bytes(b"<html><body>Not found</body></html>")
    (stripes / ".DS_Store").write_bytes(b"x")
    (folder / "__MACOSX").mkdir()
    return folder
