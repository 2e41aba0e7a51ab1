"""Small photographs that never were, and the records that a scan would make of them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tl_app.audit.inputs import AuditInputs, gather
from tl_app.audit.measure import Measurements, measure_pictures
from tl_app.features.store import FeatureStore
from tl_app.progress import SilentReporter
from tl_app.records import Dataset, Example, Side

SIZE = (120, 90)

Draw = Callable[[int, int], Image.Image]
"""Of a class and a number."""


def photo(seed: int, size: tuple[int, int] = SIZE, *, kind: int = 0) -> Image.Image:
    """Blobs of many sizes on a slope: no two seeds are alike."""
    random = np.random.default_rng([kind, seed])
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float64)
    pixels = np.zeros((size[1], size[0], 3))
    pixels += (
        random.uniform(-1, 1, 3) * x[..., None] + random.uniform(-1, 1, 3) * y[..., None]
    ) / 2
    for _ in range(30):
        centre, radius = random.uniform(0, 1, 2) * size, random.uniform(3, size[0] / 4)
        inside = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2)
        pixels += inside[..., None] * random.uniform(-120, 120, 3)
    pixels += random.normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(pixels + 128, 0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, quality: int = 90, **more) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality, **more)
    return stream.getvalue()


def example_of(
    root: Path, path: str, label: int, *, side: Side | None = None, group: str | None = None
) -> Example:
    """What the scan says of a JPEG, PNG or WebP, by Pillow."""
    data = (root / path).read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        image_format, mode = opened.format or "", opened.mode
        orientation = opened.getexif().get(0x0112, 1) if image_format == "JPEG" else 1
        pixels = np.asarray(opened.convert("RGB"))
    height, width = pixels.shape[:2]
    if orientation >= 5:
        width, height = height, width
    return Example(
        path=path,
        label=label,
        given_side=side,
        given_group=group,
        file_hash=hashlib.sha256(data).hexdigest(),
        pixel_hash=hashlib.sha256(pixels.tobytes()).hexdigest(),
        width_px=width,
        height_px=height,
        mode=mode,
        image_format=image_format,
        exif_orientation=orientation,
        n_bytes=len(data),
        max_level=255,
        bits=8,
    )


def dataset_of(
    root: Path, examples: Sequence[Example], class_names: tuple[str, ...] = ("cat", "dog")
) -> Dataset:
    return Dataset(str(root), str(root), class_names, tuple(examples))


def write_photos(root: Path, n_per_class: int, draw: Draw | None = None) -> Dataset:
    """cat/ and dog/ with JPEGs."""
    draw = draw or (lambda label, number: photo(number, kind=label))
    examples = []
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(n_per_class):
            path = f"{name}/{number:03}.jpg"
            (root / path).write_bytes(jpeg(draw(label, number)))
            examples.append(example_of(root, path, label))
    return dataset_of(root, examples)


def measured(dataset: Dataset, tmp_path: Path) -> Measurements:
    return measure_pictures(
        Path(dataset.root),
        dataset.examples,
        max_pixels=10**7,
        store=FeatureStore(tmp_path / "store"),
        reporter=SilentReporter(),
    )


def inputs_of(dataset: Dataset, tmp_path: Path, features: np.ndarray | None = None) -> AuditInputs:
    return gather(dataset, measurements=measured(dataset, tmp_path), features=features)
