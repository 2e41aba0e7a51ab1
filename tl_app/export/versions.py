"""Numbered version folders, as TensorFlow Serving watches them: DEST/1/, DEST/2/, ...

A version is built in a hidden folder below DEST and appears under its number by one
rename, so that nobody ever sees half of it. A name that is no number is no version
to TensorFlow Serving.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tl_app.errors import ConfigError, RunError
from tl_app.storage import storage_errors

MODEL_FILE = "saved_model.pb"
_BUILDING = ".building-"


def taken_numbers(destination: Path) -> list[int]:
    """Version numbers that cannot be given again, ascending; complete or not."""
    if not destination.is_dir():
        return []
    names = os.listdir(destination)
    return sorted({int(name) for name in names if name.isascii() and name.isdigit()})


def find_version(folder: Path) -> Path:
    """The version folder that `folder` is, or the newest complete one inside it.

    Raises:
        RunError: there is no SavedModel, or this user may not read it.
    """
    found = newest_version(folder)
    if found is None:
        raise RunError(
            "There is no SavedModel here.",
            received=str(folder),
            allowed=f"a folder with {MODEL_FILE}, or one with versions such as 1/{MODEL_FILE}",
            next_step="tl-app export RUN DEST",
        )
    return found


def newest_version(folder: Path) -> Path | None:
    """As `find_version`; None where there is no SavedModel.

    Raises:
        RunError: this user may not read it.
    """
    try:
        if (folder / MODEL_FILE).is_file():
            return folder
        for number in reversed(taken_numbers(folder)):
            if (folder / str(number) / MODEL_FILE).is_file():
                return folder / str(number)
    except PermissionError as error:
        raise RunError(
            "This user may not read the folder.",
            received=str(folder),
            allowed="a SavedModel that this user may read",
            next_step="chmod -R a+rX FOLDER, as its owner",
        ) from error
    return None


def require_free(destination: Path, version: int | None) -> None:
    """Refuse a version that cannot be published, before anything is computed for it.

    Raises:
        ConfigError: `version` is taken or below 1.
        StorageError: this user may not look into the folder.
    """
    with _storage_errors(destination):
        taken = taken_numbers(destination)
    if version is not None and (version < 1 or version in taken):
        raise _version_refused(destination / str(version), taken)


@contextmanager
def candidate_folder(destination: Path) -> Iterator[Path]:
    """A place on the file system of `destination` where a version is built and checked.

    Yields the path of a folder that does not exist yet. What has not been published when
    the block ends, for whatever reason, is removed, and so are the folders above it that
    were made for it. What an earlier process left when it was killed is removed as well.

    Raises:
        StorageError: `destination` is a file, cannot be written, or its disk is full.
    """
    made: list[Path] = []
    building: Path | None = None
    lock: int | None = None
    try:
        with _storage_errors(destination):
            _make_folders(destination, made)
            _remove_abandoned(destination)
            building = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=destination))
            lock = os.open(building, os.O_RDONLY)
        with suppress(OSError):  # Some network file systems have no locks.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield building / "model"
    finally:
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        with suppress(OSError):  # Not empty: something was published.
            for folder in reversed(made):
                folder.rmdir()


def publish(candidate: Path, destination: Path, *, version: int | None = None) -> Path:
    """Move a complete `candidate` to `destination`/<version>, in one step.

    Args:
        candidate: what `candidate_folder` gave, filled.
        destination: holds the versions.
        version: a free number from 1; None takes the one after the largest.

    Returns:
        The version folder.

    Raises:
        ConfigError: `version` is taken or below 1.
        StorageError: the folder cannot be written.
    """
    with _storage_errors(destination):
        _sync(candidate)
        while True:
            require_free(destination, version)
            number = _next_number(taken_numbers(destination)) if version is None else version
            target = destination / str(number)
            try:
                os.rename(candidate, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if version is not None:
                    raise _version_refused(target, taken_numbers(destination)) from error
                continue  # Another process took this number a moment ago.
            _sync_one(destination)
            return target


def _next_number(taken: list[int]) -> int:
    return max(taken, default=0) + 1


def _version_refused(target: Path, taken: list[int]) -> ConfigError:
    return ConfigError(
        "An exported version is never overwritten."
        if target.exists()
        else "This is no version number.",
        received=str(target),
        allowed=f"a free whole number from 1; the next one is {_next_number(taken)}",
        next_step="leave the version out to take the next one",
    )


def _storage_errors(path: Path):
    return storage_errors(path, elsewhere="name another DEST")


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Like mkdir(parents=True, exist_ok=True), noting in `made` each folder that was not there."""
    if not folder.parent.is_dir() and folder.parent != folder:
        _make_folders(folder.parent, made)
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        made.append(folder)


def _remove_abandoned(destination: Path) -> None:
    """Remove candidates of killed processes: filled, and locked by nobody.

    An empty one may belong to a process that is just about to lock it.
    """
    for folder in destination.glob(f"{_BUILDING}*"):
        with suppress(OSError):
            if not any(folder.iterdir()):
                continue
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _sync(folder: Path) -> None:
    """Have everything below `folder` on the disk before its name says that it is complete."""
    for path in folder.rglob("*"):
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
