"""Pictures as the frozen part sees them, decoded from files or kept from an earlier look.

They are fixed-point numbers, 1/256 of a level apart: whole levels would move the features by
some per cent against what the files give, and floats would take twice the space. Large
photographs are kept when they are first decoded, since decoding them costs more than all else;
small ones are decoded again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from tl_app.features.keys import picture_key, pictures_key
from tl_app.features.store import FeatureStore
from tl_app.features.table import Table
from tl_app.inputs.ahead import run_ahead
from tl_app.inputs.pictures import load_picture
from tl_app.progress import Reporter
from tl_app.records import Example, Preprocessing

PICTURE_BYTES = 6
"""Of a kept picture, a pixel."""

PICTURE_SCALE = 256
"""Steps of a picture's fixed-point numbers in one level of 0..255."""

LARGE_PIXELS = 1_000_000
"""Pictures with more are kept resized when they are first decoded."""


def to_fixed_point(pixels: np.ndarray) -> np.ndarray:
    """float32 in 0..255 to uint16, PICTURE_SCALE steps a level."""
    return np.rint(pixels * PICTURE_SCALE).astype(np.uint16)


def to_pixels(fixed_point: np.ndarray) -> np.ndarray:
    """uint16 to float32 in 0..255; exact, since the scale is a power of two."""
    return fixed_point.astype(np.float32) * np.float32(1 / PICTURE_SCALE)


def pictures_table(store: FeatureStore, preprocessing: Preprocessing) -> Table:
    """The table of kept pictures."""
    size = preprocessing.image_size_px
    return store.table("pictures", pictures_key(preprocessing), (size, size, 3), np.uint16)


class FilePictures:
    """Pictures of a data set, from its files or the store; see `items.Items`.

    Args:
        root: folder that the examples' paths are relative to.
        examples: what the scan found of each.
        preprocessing: how a file becomes a picture.
        store: may hold some of them already.
    """

    dtype = "float32"
    lengths = None
    unit = "images"

    def __init__(
        self,
        root: Path,
        examples: Sequence[Example],
        preprocessing: Preprocessing,
        store: FeatureStore,
    ) -> None:
        self.keys = tuple(
            picture_key(example.pixel_hash, example.bits, preprocessing.window)
            for example in examples
        )
        size = preprocessing.image_size_px
        self.shape = (size, size, 3)
        self.kept_bytes = PICTURE_BYTES * size**2
        self.key = pictures_key(preprocessing)
        self._root = root
        self._examples = tuple(examples)
        self._preprocessing = preprocessing
        self._table = pictures_table(store, preprocessing)
        self._reading = threading.Lock()

    def load(self, position: int) -> np.ndarray:
        """float32, shape (S, S, 3), in 0..255. Thread-safe.

        Raises:
            DataError: the file is gone, or is not what it was when it was scanned.
        """
        key = self.keys[position]
        if self._table.has(key):
            with self._reading, suppress(KeyError):  # a damaged row is missing
                return to_pixels(self._table.rows([key]).all()[0])
        return to_pixels(self._decode(position))

    def keep(self, positions: Sequence[int], reporter: Reporter) -> None:
        """Decode what is not kept yet, for phases that look at the pictures every epoch.

        Raises:
            DataError: as `load`.
            StorageError: the disk is full.
        """
        todo = [p for p in positions if not self._table.has(self.keys[p])]
        if not todo:
            return
        with reporter.bar("Keeping resized pictures", len(todo), "images") as bar:
            pictures = run_ahead(todo, self._decode, n_ahead=64)
            for position, picture in zip(todo, pictures, strict=True):
                self._table.add([self.keys[position]], picture[None])
                bar.advance()
        self._table.flush()

    def _decode(self, position: int) -> np.ndarray:
        example = self._examples[position]
        path = self._root / example.path
        picture = load_picture(path, self._preprocessing, file_hash=example.file_hash)
        return to_fixed_point(picture.numpy())
