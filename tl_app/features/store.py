"""The feature store: what was computed of a picture once is kept for every later run.

    <root>/<kind>/<digest of the key>/    one `Table` for each key
    <root>/notes/<digest>.json            small facts that were measured of this machine

A key says all that decides a row besides the picture itself, so that a changed weight file,
preprocessing, engine or version of this package asks for another table. Rows are found by the
hash of the picture's pixels: names of files and folders do not matter.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_app.cache import cache_root
from tl_app.errors import StorageError
from tl_app.features.table import ELSEWHERE, Table
from tl_app.progress import Reporter
from tl_app.storage import storage_errors, write_atomic

GB = 10**9


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table on disk.

    Attributes:
        folder: of the table.
        kind: "features", "pictures" or "inspections".
        what: its key, for people.
        n_bytes: on disk.
        unused_seconds: since a run last opened it.
        in_use: whether a process has it open now.
    """

    folder: Path
    kind: str
    what: Mapping[str, Any]
    n_bytes: int
    unused_seconds: float
    in_use: bool

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder), "what": dict(self.what)}


class FeatureStore:
    """Tables below one folder, shared by all runs of a user.

    Args:
        root: folder of the store.
        elsewhere: how the user finds room, for errors.
    """

    def __init__(self, root: Path, *, elsewhere: str = ELSEWHERE) -> None:
        self.root = root
        self._elsewhere = elsewhere
        self._open: dict[Path, Table] = {}

    def close(self) -> None:
        """Let `prune` have the tables that were opened."""
        for table in self._open.values():
            table.close()
        self._open.clear()

    @classmethod
    def open(cls, output: Path, reporter: Reporter) -> FeatureStore:
        """The user's store, or one among the runs in `output` where that cannot be written."""
        root = default_root()
        problem = _unwritable(root)
        if problem is None:
            return cls(root)
        instead = output / "models" / ".features"
        reporter.warn(
            f"The cache {root} cannot be written ({problem}). Features are kept in {instead}; "
            "TL_APP_CACHE names another folder."
        )
        with storage_errors(instead):
            instead.parent.mkdir(parents=True, exist_ok=True)
            instead.mkdir(mode=0o700, exist_ok=True)
        return cls(instead, elsewhere="name another place with --output DIR")

    def table(
        self, kind: str, key: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype | type
    ) -> Table:
        """The table for `key`, made if it is not there.

        Args:
            kind: "features", "pictures" or "inspections".
            key: plain JSON values; all that decides a row besides the picture.
            shape, dtype: of a row.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        shape = tuple(int(side) for side in shape)
        # `str` of a structured type is long, and exact.
        full = {**key, "shape": list(shape), "dtype": str(np.dtype(dtype))}
        folder = self.root / kind / digest(full)
        if folder in self._open:
            return self._open[folder]
        with storage_errors(folder, elsewhere=self._elsewhere):
            table = Table(folder, shape, dtype, elsewhere=self._elsewhere)
            if not (folder / "table.json").exists():
                text = json.dumps(full, indent=1, sort_keys=True).encode()
                write_atomic(
                    folder / "table.json", lambda file: file.write(text), elsewhere=self._elsewhere
                )
        self._open[folder] = table
        return table

    def free_bytes(self) -> int:
        """Space on the file system that holds the store."""
        existing = next(p for p in (self.root, *self.root.parents) if p.exists())
        return shutil.disk_usage(existing).free

    # --- notes -------------------------------------------------------------------------

    def recall(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """What `note` kept under `key`; None where there is nothing that can be read."""
        try:
            values = json.loads(self._note_file(key).read_bytes())
        except (OSError, ValueError):
            return None
        return values if isinstance(values, dict) else None

    def note(self, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Keep a small fact about this machine."""
        text = json.dumps(dict(values)).encode()
        write_atomic(self._note_file(key), lambda file: file.write(text), elsewhere=self._elsewhere)

    def _note_file(self, key: Mapping[str, Any]) -> Path:
        return self.root / "notes" / f"{digest(key)}.json"

    # --- size --------------------------------------------------------------------------

    def tables(self) -> list[TableInfo]:
        """Every table, the longest unused first."""
        found = [
            _info(path, kind.name)
            for kind in self.root.glob("*")
            if kind.name != "notes"
            for path in kind.glob("*")
            if path.is_dir()
        ]
        return sorted(found, key=lambda info: -info.unused_seconds)

    def prune(self, limit_bytes: float) -> list[TableInfo]:
        """Take tables away, the longest unused first, until the store is within `limit_bytes`.

        Tables that a process uses stay.

        Returns:
            The tables that are gone.
        """
        tables = self.tables()
        total = sum(info.n_bytes for info in tables)
        gone = []
        for info in tables:
            if total <= limit_bytes:
                break
            if _remove(info.folder):
                gone.append(info)
                total -= info.n_bytes
        return gone


def default_root() -> Path:
    """Where this user's store is."""
    return cache_root() / "features"


def digest(key: Mapping[str, Any]) -> str:
    """32 hexadecimal digits for plain JSON values."""
    text = json.dumps(dict(key), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _unwritable(root: Path) -> str | None:
    """Why nothing can be written there, or None."""
    probe = root / f".probe-{os.getpid()}"
    try:
        with storage_errors(root):
            root.parent.mkdir(parents=True, exist_ok=True)
            # Small copies of pictures may lie there: they are this user's alone.
            root.mkdir(mode=0o700, exist_ok=True)
            probe.touch()
            probe.unlink()
    except StorageError as error:
        return error.problem.rstrip(".")
    return None


def _info(folder: Path, kind: str) -> TableInfo:
    try:
        what = json.loads((folder / "table.json").read_bytes())
    except (OSError, ValueError):
        what = {}
    in_use = folder / "in_use"
    n_bytes, used = 0, 0.0
    with suppress(OSError):
        used = in_use.stat().st_mtime
        n_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return TableInfo(
        folder=folder,
        kind=kind,
        what=what,
        n_bytes=n_bytes,
        unused_seconds=max(time.time() - used, 0.0),
        in_use=not _is_free(folder),
    )


def _is_free(folder: Path) -> bool:
    try:
        with (folder / "in_use").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _remove(folder: Path) -> bool:
    """Take a table away unless somebody uses it."""
    try:
        with (folder / "in_use").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Out of sight in one step, so that nobody opens a table that is half gone.
            doomed = folder.with_name(f".{folder.name}.{os.getpid()}")
            folder.rename(doomed)
    except OSError:
        return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True
