"""One table of the feature store: rows of one shape and type, each under the key of its picture.

    <folder>/table.json         what the rows are, for people
    <folder>/<name>.rows.npy    values, shape (n, ...), memory-mapped by readers
    <folder>/<name>.index.npy   the key and the checksum of each row

Files are written once and never changed. The index is written last, so that rows without an
index do not exist; a file that is damaged is taken away and its rows count as missing. Nothing
is ever read from a row whose checksum is wrong.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
import weakref
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from tl_app.run import write_atomic

INDEX = np.dtype([("key", "V32"), ("checksum", "<u4")])

CHUNK_BYTES = 32 * 2**20
CHUNK_SECONDS = 10.0
"""Rows wait in memory for so many bytes or seconds; a kill loses no more."""

ELSEWHERE = "tl-app cache prune, or set TL_APP_CACHE to a folder elsewhere"
"""How the user finds room for a table of the user's own cache."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shard:
    """One pair of files.

    Attributes:
        name: of the files, without their endings.
        keys: in the order of the rows.
        checksums: uint32, shape (n,).
        rows: memory-mapped, shape (n, ...).
        verified: bool, shape (n,), rows whose checksum was looked at.
    """

    name: str
    keys: tuple[bytes, ...]
    checksums: np.ndarray
    rows: np.ndarray
    verified: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a table by position, read from disk when they are taken.

    Attributes:
        sources: memory-mapped arrays, shape (n, ...).
        source_of: int32, shape (n_rows,), which of them.
        row_of: int64, shape (n_rows,), which row of it.
        shape: of a row.
        dtype: of a value.
    """

    sources: tuple[np.ndarray, ...]
    source_of: np.ndarray
    row_of: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        return len(self.source_of)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Shape (len(positions), ...), in their order."""
        values = np.empty((len(positions), *self.shape), self.dtype)
        sources = self.source_of[positions]
        for number in np.unique(sources):
            mine = sources == number
            values[mine] = self.sources[number][self.row_of[positions[mine]]]
        return values

    def all(self) -> np.ndarray:
        """Shape (n_rows, ...), in memory."""
        return self.take(np.arange(len(self)))


class Table:
    """Rows of one kind. Several processes may read and add at once.

    Args:
        folder: of this table alone; made if it is not there.
        shape: of a row.
        dtype: of a value.
        elsewhere: how the user finds room, for errors.

    Attributes:
        close: lets `prune` have the table; called by itself when nobody holds the table.
    """

    def __init__(
        self,
        folder: Path,
        shape: tuple[int, ...],
        dtype: np.dtype | type,
        *,
        elsewhere: str = ELSEWHERE,
    ) -> None:
        self.folder = folder
        self._elsewhere = elsewhere
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._shards: dict[str, _Shard] = {}
        self._where: dict[bytes, tuple[str, int]] = {}
        self._waiting: dict[bytes, np.ndarray] = {}
        self._waiting_since = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        # A shared lock, let go when this process ends: `prune` leaves such a table alone.
        in_use = os.open(folder / "in_use", os.O_WRONLY | os.O_CREAT, 0o644)
        self.close = weakref.finalize(self, os.close, in_use)
        _try_lock(in_use, fcntl.LOCK_SH)
        with suppress(OSError):
            os.utime(folder / "in_use")
        self.refresh()

    @property
    def row_bytes(self) -> int:
        """Size of one row on disk."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._where)

    # --- reading -----------------------------------------------------------------------

    def refresh(self) -> None:
        """See what other processes have added."""
        for path in sorted(self.folder.glob("*.index.npy")):
            name = path.name.removesuffix(".index.npy")
            if name in self._shards:
                continue
            shard = self._open(name)
            if shard is None:
                self._discard(name)
                continue
            self._shards[name] = shard
            for row, key in enumerate(shard.keys):
                self._where.setdefault(key, (name, row))

    def missing(self, keys: Sequence[bytes]) -> np.ndarray:
        """bool, shape (len(keys),): not there, or not whole any more.

        The rows are read for it once, and compared with their checksums.
        """
        self._verify(keys)
        return np.array([key not in self._where for key in keys], dtype=bool)

    def rows(self, keys: Sequence[bytes]) -> Rows:
        """The rows of `keys`, which must be on disk.

        Raises:
            KeyError: some are missing.
        """
        n_missing = int(self.missing(keys).sum())
        if n_missing:
            raise KeyError(f"{n_missing} rows are missing in {self.folder}")
        names = sorted({self._where[key][0] for key in keys})
        number = {name: i for i, name in enumerate(names)}
        places = [self._where[key] for key in keys]
        return Rows(
            sources=tuple(self._shards[name].rows for name in names),
            source_of=np.array([number[name] for name, _ in places], dtype=np.int32),
            row_of=np.array([row for _, row in places], dtype=np.int64),
            shape=self.shape,
            dtype=self.dtype,
        )

    def _open(self, name: str) -> _Shard | None:
        """The shard, or None where its files do not fit each other and this table."""
        index_path, rows_path = self._paths(name)
        try:
            index = np.load(index_path, allow_pickle=False)
            rows = np.load(rows_path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        n = len(index) if index.ndim == 1 else -1
        if index.dtype != INDEX or rows.dtype != self.dtype or rows.shape != (n, *self.shape):
            return None
        keys = tuple(bytes(key) for key in index["key"])
        return _Shard(name, keys, index["checksum"].copy(), rows, np.zeros(n, dtype=bool))

    def _verify(self, keys: Sequence[bytes]) -> None:
        """Forget every file that holds a damaged row of `keys`."""
        damaged: set[str] = set()
        for key in keys:
            name, row = self._where.get(key, ("", 0))
            if not name or name in damaged:
                continue
            shard = self._shards[name]
            if shard.verified[row]:
                continue
            if zlib.crc32(shard.rows[row].tobytes()) == shard.checksums[row]:
                shard.verified[row] = True
            else:
                damaged.add(name)
        for name in damaged:
            del self._shards[name]
            self._discard(name)
        if damaged:
            self._where = {
                key: (shard.name, row)
                for shard in self._shards.values()
                for row, key in enumerate(shard.keys)
            }

    # --- writing -----------------------------------------------------------------------

    def add(self, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Keep rows; they are on disk after `flush`.

        Args:
            keys: 32 bytes each; rows that are here already are passed over.
            values: shape (len(keys), *shape), converted to the table's type.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        if not self._waiting:
            self._waiting_since = time.monotonic()
        for key, value in zip(keys, values.astype(self.dtype, copy=False), strict=True):
            if key not in self._where:
                self._waiting[key] = value
        full = len(self._waiting) * self.row_bytes >= CHUNK_BYTES
        if full or time.monotonic() - self._waiting_since > CHUNK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits in memory.

        Raises:
            StorageError: the disk is full or the folder cannot be written; nothing is left of
                the rows that waited.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        name = uuid.uuid4().hex
        index_path, rows_path = self._paths(name)
        rows = np.stack(list(waiting.values()))
        index = np.empty(len(rows), INDEX)
        index["key"] = np.frombuffer(b"".join(waiting), dtype="V32")
        index["checksum"] = [zlib.crc32(row.tobytes()) for row in rows]
        try:
            self._write(rows_path, rows)
            self._write(index_path, index)
        except BaseException:
            self._discard(name)
            raise
        self.refresh()

    def _write(self, path: Path, array: np.ndarray) -> None:
        def write(file: IO[bytes]) -> None:
            # `np.save` would hide from the system's error that the disk is full.
            header = np.lib.format.header_data_from_array_1_0(array)
            np.lib.format.write_array_header_1_0(file, header)
            file.write(array.tobytes())

        write_atomic(path, write, elsewhere=self._elsewhere)

    @contextmanager
    def lock(self, on_wait) -> Iterator[None]:
        """Hold the table for adding, so that two processes do not compute the same rows.

        Readers are not held up. Where the file system knows no locks, rows may be computed
        twice, which does no harm.

        Args:
            on_wait: called when another process holds it, before waiting.
        """
        with (self.folder / "lock").open("a") as file:
            if not _try_lock(file, fcntl.LOCK_EX):
                on_wait()
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
            self._sweep()
            self.refresh()
            yield

    def _sweep(self) -> None:
        """Take away what a killed process left: rows without an index, temporary files."""
        whole = {path.name.removesuffix(".index.npy") for path in self.folder.glob("*.index.npy")}
        for path in self.folder.glob("*.rows.npy"):
            if path.name.removesuffix(".rows.npy") not in whole:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(".*.npy.*"):
            path.unlink(missing_ok=True)

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.index.npy", self.folder / f"{name}.rows.npy"

    def _discard(self, name: str) -> None:
        for path in self._paths(name):
            with suppress(OSError):
                path.unlink()


def _try_lock(file: IO[str] | int, kind: int) -> bool:
    """Whether the lock was had at once, or cannot be had on this file system at all."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
