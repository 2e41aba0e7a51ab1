"""Large sets out of a small one: each picture is a random crop of a real photograph."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

MIN_AREA = 0.5
"""Smallest share of the area that a crop keeps."""

BRIGHTNESS = 0.3
"""Largest relative change."""

JPEG_QUALITY = 90
N_THREADS = 2


def jitter(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    """A random crop of the same proportions, perhaps mirrored, brighter or darker."""
    side = float(np.sqrt(generator.uniform(MIN_AREA, 1.0)))
    width, height = (max(1, round(side * length)) for length in picture.size)
    left = int(generator.integers(picture.width - width + 1))
    top = int(generator.integers(picture.height - height + 1))
    changed = picture.crop((left, top, left + width, top + height))
    if generator.random() < 0.5:
        changed = ImageOps.mirror(changed)
    factor = float(generator.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS))
    return ImageEnhance.Brightness(changed).enhance(factor)


def jittered_jpeg(source: Path, seed: int, index: int) -> bytes:
    """The same source, seed and index always give the same bytes."""
    with Image.open(source) as opened:
        changed = jitter(opened.convert("RGB"), np.random.default_rng([seed, index]))
    buffer = io.BytesIO()
    changed.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def grow(
    folder: Path,
    sources: Mapping[str, Sequence[Path]],
    n_before: int,
    n_after: int,
    *,
    seed: int = 0,
) -> None:
    """Add the pictures `n_before` to `n_after` to class folders below `folder`.

    Args:
        folder: holds the first `n_before` pictures, or none.
        sources: photographs of each class, opaque and upright.
        n_before, n_after: numbers of pictures; picture i is always the same one.
        seed: of the changes.
    """
    names = sorted(sources)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)

    def write(index: int) -> None:
        name = names[index % len(names)]
        chosen = sources[name][index // len(names) % len(sources[name])]
        target = folder / name / f"{index:06}.jpg"
        target.write_bytes(jittered_jpeg(chosen, seed, index))

    with ThreadPoolExecutor(N_THREADS) as pool:
        for _ in pool.map(write, range(n_before, n_after)):
            pass
