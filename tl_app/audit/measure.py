"""One pass over the files: what each picture is like, on a small copy of it.

Rows are kept by the file's SHA-256, so that a file is decoded for this once and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tl_app.audit.pictures import open_picture, small_rgb
from tl_app.audit.private import private_facts
from tl_app.errors import UnusablePicture
from tl_app.features.store import FeatureStore
from tl_app.features.table import Table
from tl_app.inputs.ahead import run_ahead
from tl_app.inputs.decode_budget import DECODING
from tl_app.inputs.files import HEADER_ERRORS, read_picture_file
from tl_app.progress import Reporter
from tl_app.records import Example

SMALL_PX = 256
"""Longer side of the copy that is measured: sharpness depends on the size it is measured at."""

THUMBNAIL_PX = 32
"""Side of the squashed thumbnails that copies are recognised and watermarks looked for on."""

METHOD = 2
"""Raised when a figure would come out differently, so that kept rows are not used."""

MEASURED = np.dtype(
    [
        ("brightness", "<f4"),
        ("contrast", "<f4"),
        ("sharpness", "<f4"),
        ("entropy", "<f4"),
        ("thumbnail", "u1", (THUMBNAIL_PX, THUMBNAIL_PX, 3)),
        ("private", "u1"),
        ("camera", "S48"),
    ]
)
"""A row:

brightness: mean luma, 0..255.
contrast: standard deviation of the luma.
sharpness: variance of the luma's Laplacian by the variance of the luma, without unit: how much
    of what varies is fine detail, whatever the contrast.
entropy: of the luma's histogram, 0..8 bits.
thumbnail: RGB, the whole picture squashed to a square.
private: bits of `private.PRIVATE`.
camera: make and model in UTF-8, or nothing.
"""


@dataclass(frozen=True, slots=True)
class Measurements:
    """Of all examples of a data set.

    Attributes:
        rows: MEASURED, shape (n_examples,).
        known: bool, shape (n_examples,); False where the file could not be measured, whose row
            is all zero.
    """

    rows: np.ndarray
    known: np.ndarray

    @property
    def thumbnails(self) -> np.ndarray:
        """uint8, shape (n_examples, THUMBNAIL_PX, THUMBNAIL_PX, 3)."""
        return self.rows["thumbnail"]


def measure_pictures(
    root: Path,
    examples: Sequence[Example],
    *,
    max_pixels: int,
    store: FeatureStore,
    reporter: Reporter,
) -> Measurements:
    """Measure what no earlier run has measured, in threads.

    Args:
        root: folder that the examples' paths are relative to.
        examples: what the scan found.
        max_pixels: larger ones are not decoded.
        store: keeps the rows.
        reporter: shows progress.

    Raises:
        StorageError: the disk is full.
    """
    table = store.table("measurements", {"method": METHOD}, (), MEASURED)
    keys = [bytes.fromhex(example.file_hash) for example in examples]
    gone = table.missing(keys)
    todo = {keys[i]: examples[i] for i in np.flatnonzero(gone)[::-1]}
    failed = _measure_missing(root, list(todo.values()), max_pixels, table, reporter)
    known = np.array([key not in failed for key in keys], dtype=bool)
    rows = np.zeros(len(examples), MEASURED)
    if known.any():
        rows[known] = table.rows(
            [key for key, is_there in zip(keys, known, strict=True) if is_there]
        ).all()
    return Measurements(rows, known)


def _measure_missing(
    root: Path, todo: Sequence[Example], max_pixels: int, table: Table, reporter: Reporter
) -> set[bytes]:
    """Fill the table; the keys of files that could not be measured."""
    failed: set[bytes] = set()
    if not todo:
        return failed

    def measure(example: Example) -> np.ndarray | None:
        return measure_file(root / example.path, example, max_pixels=max_pixels)

    with reporter.bar("Measuring pictures", len(todo), "images") as bar:
        measured = run_ahead(todo, measure, n_ahead=64)
        for example, row in zip(todo, measured, strict=True):
            key = bytes.fromhex(example.file_hash)
            if row is None:
                failed.add(key)
            else:
                table.add([key], row)
            bar.advance()
    table.flush()
    return failed


def measure_file(path: Path, example: Example, *, max_pixels: int) -> np.ndarray | None:
    """MEASURED, shape (1,); None where the file is not what it was, or Pillow cannot read it."""
    try:
        file = read_picture_file(path, max_pixels=max_pixels)
        if hashlib.sha256(file.data).hexdigest() != example.file_hash:
            return None
        with DECODING.reserve(file.n_pixels):
            image = open_picture(file.encoded, file.image_format)
            # The conversion of TIFF and HEIF has turned them upright already.
            orientation = example.exif_orientation if file.image_format == "JPEG" else 1
            small = small_rgb(image, SMALL_PX, orientation)
    except (*HEADER_ERRORS, UnusablePicture, Image.DecompressionBombError):
        return None
    bits, camera = private_facts(file.data, file.image_format)
    row = np.zeros(1, MEASURED)
    luma = np.asarray(small.convert("L"), dtype=np.float32)
    row["brightness"] = luma.mean()
    row["contrast"] = luma.std()
    row["sharpness"] = sharpness(luma)
    row["entropy"] = entropy(luma)
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    row["thumbnail"] = np.asarray(small.resize(side, Image.Resampling.BILINEAR))
    row["private"] = bits
    row["camera"] = camera.encode()[:48]
    return row


def sharpness(luma: np.ndarray) -> float:
    """Variance of the Laplacian by the variance of the levels; 0 where nothing varies.

    Args:
        luma: float32, shape (h, w).

    Source: Pech-Pacheco et al., 2000 (variance of the Laplacian), made free of the contrast.
    """
    variance = float(luma.var())
    if min(luma.shape) < 3 or variance < 1.0:
        return 0.0
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    return float(laplacian.var()) / variance


def entropy(luma: np.ndarray) -> float:
    """Bits of the histogram of 256 levels."""
    shares = np.bincount(luma.astype(np.uint8).ravel(), minlength=256) / luma.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())
