"""Arrays on disk that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from tl_app.run import storage_errors


@contextmanager
def new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype | type) -> Iterator[np.ndarray]:
    """A writable memory-mapped array that becomes `path` when the block ends well.

    The space is claimed first: a full disk is an error here, not a bus error in the middle.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            array = open_memmap(temporary, mode="w+", dtype=np.dtype(dtype), shape=shape)
            n_bytes = temporary.stat().st_size
            if n_bytes:
                with temporary.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, n_bytes)
            yield array
            array.flush()
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()


def kept_array(path: Path, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray | None:
    """The array at `path`, memory-mapped, if it is there with this shape and type."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.dtype(dtype) else None
