"""One table of the feature store: rows of one shape and type, each under the key of its picture.

    <folder>/table.json    what the rows are, for people
    <folder>/<name>.rows   the values of n rows, one after the other, memory-mapped by readers
    <folder>/<name>.index  the key and the checksum of each row

Files have no header that could be damaged: the table knows shape and type, and the size tells n.
They are written once and never changed. The index is written last, so that rows without an index
do not exist; a file that is damaged is taken away and its rows count as missing. Nothing is ever
read from a row whose checksum, over key and values, is wrong.
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

from tl_app.storage import write_atomic

INDEX = np.dtype([("key", "V32"), ("checksum", "<u4")])

CHUNK_BYTES = 32 * 2**20
CHUNK_SECONDS = 10.0
"""Rows wait in memory for so many bytes or seconds; a kill loses no more."""

DAY_SECONDS = 86_400.0

ELSEWHERE = "tl-app cache prune --limit-gb 0, or set TL_APP_CACHE to a folder elsewhere"
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
        # A shared lock, let go when this process ends: `prune` leaves such a table alone.
        self.close = weakref.finalize(self, os.close, _hold(folder))
        with suppress(OSError):
            os.utime(folder / "in_use")
        self._sweep(older_than_seconds=DAY_SECONDS)
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
        for path in sorted(self.folder.glob("*.index")):
            name = path.name.removesuffix(".index")
            if name in self._shards:
                continue
            try:
                shard = self._open(name)
            except OSError:
                continue  # too many open files, say: no fault of the file's
            if shard is None:
                self._discard(name)
                continue
            self._shards[name] = shard
            for row, key in enumerate(shard.keys):
                self._where.setdefault(key, (name, row))

    def has(self, key: bytes) -> bool:
        """Whether a row is there, by its index alone; `rows` looks whether it is whole."""
        return key in self._where

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
        """The shard, or None where its files do not fit each other and this table.

        Raises:
            OSError: the system cannot read them now.
        """
        index_path, rows_path = self._paths(name)
        index = np.frombuffer(index_path.read_bytes(), dtype=np.uint8)
        n, rest = divmod(len(index), INDEX.itemsize)
        if (
            rest
            or not n
            or not rows_path.exists()
            or rows_path.stat().st_size != n * self.row_bytes
        ):
            return None
        rows = np.memmap(rows_path, dtype=self.dtype, mode="r", shape=(n, *self.shape))
        entries = index.view(INDEX)
        keys = tuple(bytes(key) for key in entries["key"])
        return _Shard(name, keys, entries["checksum"].copy(), rows, np.zeros(n, dtype=bool))

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
            if _checksum(key, shard.rows[row]) == shard.checksums[row]:
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
        index["checksum"] = [_checksum(key, row) for key, row in waiting.items()]
        try:
            self._write(rows_path, rows)
            self._write(index_path, index)
        except BaseException:
            self._discard(name)
            raise
        self.refresh()

    def _write(self, path: Path, array: np.ndarray) -> None:
        write_atomic(path, lambda file: file.write(array.tobytes()), elsewhere=self._elsewhere)

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
            if _holds_lock(file):
                self._sweep()
            self.refresh()
            yield

    def _sweep(self, *, older_than_seconds: float = 0.0) -> None:
        """Take away what a killed process left: rows without an index, temporary files.

        Without the lock, only what is so old that no process is at work on it.
        """
        whole = {path.name.removesuffix(".index") for path in self.folder.glob("*.index")}
        left = [p for p in self.folder.glob("*.rows") if p.name.removesuffix(".rows") not in whole]
        for path in (*left, *self.folder.glob(".*")):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime >= older_than_seconds:
                    path.unlink()

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.index", self.folder / f"{name}.rows"

    def _discard(self, name: str) -> None:
        for path in self._paths(name):
            with suppress(OSError):
                path.unlink()


def _checksum(key: bytes, row: np.ndarray) -> int:
    return zlib.crc32(row.tobytes(), zlib.crc32(key))


def _hold(folder: Path) -> int:
    """A descriptor with a shared lock on a folder that is there, and stays there meanwhile."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "in_use"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # `prune` took the folder between the two lines
            continue
        with suppress(OSError):  # a file system without locks has no `prune` either
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _try_lock(file: IO[str], kind: int) -> bool:
    """Whether the lock was had at once, or cannot be had on this file system at all."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _holds_lock(file: IO[str]) -> bool:
    """Asked of a file that was just locked: whether this file system knows locks at all."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
