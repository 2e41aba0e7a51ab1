"""The scan's look at a file, remembered by the file's bytes.

A file that was looked at before is only read and hashed. Large photographs are kept resized on
the way, so that they are decoded once and no more.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tensorflow as tf

from tl_app.features.keys import code_fingerprint
from tl_app.features.pictures import LARGE_PIXELS, pictures_table, to_fixed_point
from tl_app.features.store import FeatureStore
from tl_app.inputs.decode_budget import DECODING
from tl_app.inputs.files import read_picture_file
from tl_app.inputs.inspect import inspect_picture
from tl_app.inputs.pictures import traced_preprocess, traced_resize
from tl_app.inputs.window import FULL_RANGE
from tl_app.records import Inspection, Preprocessing

RECORD = np.dtype(
    [
        ("pixel_hash", "V32"),
        ("width_px", "<u4"),
        ("height_px", "<u4"),
        ("mode", "S16"),
        ("image_format", "S8"),
        ("exif_orientation", "u1"),
        ("n_bytes", "<u8"),
        ("max_level", "<u4"),
        ("bits", "u1"),
    ]
)
"""An `Inspection` as a row; its file's hash is the row's key."""


class Inspector:
    """Looks at files for the scan; thread-safe. Leave its `with` block to keep what was seen.

    Args:
        store: remembers what was seen.
        preprocessing: how large photographs are resized; the window does not matter, since
            only 8-bit ones are kept here.
    """

    def __init__(self, store: FeatureStore, preprocessing: Preprocessing) -> None:
        self._max_pixels = preprocessing.max_pixels
        self._to_picture = traced_preprocess(preprocessing)
        self._resize = traced_resize(preprocessing)
        self._seen = store.table("inspections", {"code": code_fingerprint()}, (), RECORD)
        self._kept = pictures_table(store, preprocessing)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._seen.flush()
            self._kept.flush()

    def __call__(self, path: Path) -> Inspection:
        """One look at a file.

        Raises:
            UnusablePicture: with a kind of `records.SetAside` and a sentence for people.
        """
        file = read_picture_file(path, max_pixels=self._max_pixels)
        key = hashlib.sha256(file.data).digest()
        known = self._recall(key)
        pictures: list[np.ndarray] = []

        def resize(found: Inspection, levels: tf.Tensor) -> None:
            if self._is_wanted(found):
                small = self._resize(levels, tf.constant(found.bits))
                pictures.append(to_fixed_point(small.numpy()))

        if known is None:
            found = inspect_picture(file, max_pixels=self._max_pixels, also=resize)
        else:
            found = known
            if self._is_wanted(found):  # at another size than before
                with DECODING.reserve(file.n_pixels):
                    pictures.append(to_fixed_point(self._to_picture(file.encoded).numpy()))
        with self._lock:
            if known is None:
                self._seen.add([key], np.array([_to_row(found)], RECORD))
            for picture in pictures:
                self._kept.add([bytes.fromhex(found.pixel_hash)], picture[None])
        return found

    def _is_wanted(self, found: Inspection) -> bool:
        """Whether it is a large photograph that is not kept as training wants it."""
        is_large = found.bits == 8 and found.width_px * found.height_px >= LARGE_PIXELS
        return is_large and not self._kept.has(bytes.fromhex(found.pixel_hash))

    def _recall(self, key: bytes) -> Inspection | None:
        with self._lock:
            if self._seen.missing([key])[0]:
                return None
            row = self._seen.rows([key]).all()[0]
        return _from_row(row, key)


def scan_preprocessing(image_size_px: int, aspect: Any, max_pixels: int) -> Preprocessing:
    """What the scan can know of the preprocessing: all but the window of 16-bit pictures."""
    return Preprocessing(image_size_px, aspect, FULL_RANGE, max_pixels)


def _to_row(found: Inspection) -> tuple[Any, ...]:
    values = {**asdict(found), "pixel_hash": np.void(bytes.fromhex(found.pixel_hash))}
    return tuple(
        values[name].encode() if isinstance(values[name], str) else values[name]
        for name in RECORD.names or ()
    )


def _from_row(row: np.void, key: bytes) -> Inspection:
    values: dict[str, Any] = {"file_hash": key.hex(), "pixel_hash": bytes(row["pixel_hash"]).hex()}
    for name in RECORD.names or ():
        if name != "pixel_hash":
            value = row[name]
            values[name] = value.decode() if isinstance(value, bytes) else int(value)
    return Inspection(**values)
