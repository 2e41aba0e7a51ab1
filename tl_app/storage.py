"""Writing to disk and reading back: whole files or none, and errors that say what to do."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from tl_app.errors import RunError, StorageError


@contextmanager
def storage_errors(
    path: Path, *, elsewhere: str = "name another place with --output DIR"
) -> Iterator[None]:
    """Translate a full disk or a read-only folder into a StorageError that names the place.

    Args:
        path: what was being written.
        elsewhere: how the user names another place.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                "The disk is full; nothing half-written was left.",
                received=str(path),
                allowed=f"free space (now {_free_mb(path)} MB)",
                next_step=f"free some space or {elsewhere}, then run again",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):
            raise StorageError(
                "The folder cannot be written.",
                received=str(path),
                allowed="a folder in which this user may create files",
                next_step=elsewhere,
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise StorageError(
                "A file stands where a folder is needed.",
                received=str(path),
                allowed="a folder",
                next_step=elsewhere,
            ) from error
        raise


def _free_mb(path: Path) -> int:
    existing = next(p for p in (path, *path.parents) if p.exists())
    return shutil.disk_usage(existing).free // 2**20


def write_atomic(
    path: Path,
    write: Callable[[IO[bytes]], object],
    *,
    elsewhere: str = "name another place with --output DIR",
) -> None:
    """Call `write` on a temporary file beside `path`, sync it, then rename it to `path`.

    Args:
        path: what the file will be called.
        write: gets the open file.
        elsewhere: how the user names another place, for the error.

    Raises:
        StorageError: the disk is full or the folder cannot be written; `path` is as before.
    """
    with storage_errors(path, elsewhere=elsewhere):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise


def build_file(path: Path, build: Callable[[Path], object]) -> None:
    """Like `write_atomic`, for libraries that write to a path themselves.

    Args:
        path: what the file will be called.
        build: gets the path to write to, of the same suffix.

    Raises:
        StorageError: the disk is full or the folder cannot be written; nothing is left.
    """
    temporary = path.with_name(f".writing-{path.name}")
    with storage_errors(path):
        try:
            build(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()


def write_json(path: Path, values: Any) -> None:
    """Atomically write `values` as UTF-8 JSON; of long lists one item a line."""
    text = _json(values)
    # Lone surrogates stand for bytes of file names that are not UTF-8.
    write_atomic(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))


MANY = 100
"""Items of a list that get a line each: that reads better, and is written three times as fast."""


def _json(values: Any) -> str:
    def dump(value: Any, indent: int | None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)

    def lines(value: Any) -> str:
        if isinstance(value, list) and len(value) >= MANY:
            return "[\n" + ",\n".join(dump(item, None) for item in value) + "\n]"
        return dump(value, 1)

    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return lines(values)
    return "{\n" + ",\n".join(f" {dump(k, None)}: {lines(v)}" for k, v in values.items()) + "\n}"


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    except FileNotFoundError as error:
        raise RunError(
            "A file of the run is missing.",
            received=str(path),
            next_step="tl-app train --resume RUN, or train anew",
        ) from error
    except ValueError as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> RunError:
    """A file of a run that holds something else than was written."""
    what = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
    return RunError(
        f"A file of the run is damaged: {what}.",
        received=str(path),
        allowed="the file as tl-app wrote it",
        next_step="bring it back from a copy, or train anew",
    )


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Atomically write named arrays as an uncompressed .npz (no pickles)."""
    write_atomic(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Raises:
        RunError: the file is missing, truncated or no .npz file.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise RunError("A file of the run is missing.", received=str(path)) from error
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(
            f"A file of the run is damaged: {error}.",
            received=str(path),
            allowed="a complete .npz file",
        ) from error
