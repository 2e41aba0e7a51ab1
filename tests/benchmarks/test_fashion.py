from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.fashion import CLASS_NAMES, read_idx, write_classes


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_file_is_read(tmp_path: Path, suffix: str) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    content = idx_bytes(array)
    path = tmp_path / f"images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    assert np.array_equal(read_idx(path), array)


@pytest.mark.parametrize("content", [b"", b"\0\0\x0d\x01\0\0\0\1\0\0\0\0", b"\0\0\x08\x03\0\0"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="no idx file"):
        read_idx(tmp_path / "file")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(idx_bytes(np.zeros((2, 3), np.uint8))[:-1])
    with pytest.raises(ValueError, match="5 values"):
        read_idx(tmp_path / "file")


def test_the_first_of_each_class_are_written(tmp_path: Path) -> None:
    labels = np.tile(np.arange(10, dtype=np.uint8), 4)
    images = np.arange(40, dtype=np.uint8)[:, np.newaxis, np.newaxis] * np.ones((1, 6, 5), np.uint8)
    write_classes(tmp_path, images, labels, n_per_class=3)
    for label, name in enumerate(CLASS_NAMES):
        found = []
        for path in sorted((tmp_path / name).iterdir()):
            with Image.open(path) as picture:
                found.append(np.asarray(picture))
        assert [picture.shape for picture in found] == [(6, 5)] * 3
        assert [picture[0, 0] for picture in found] == [label, label + 10, label + 20]
