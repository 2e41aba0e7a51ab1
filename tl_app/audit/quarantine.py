"""Moving files out of a data folder, and back.

    <folder>/.quarantine/<time>/plan.json    what was to be moved; written, and safe on the disk,
                                             before anything moves, and never changed
    <folder>/.quarantine/<time>/files/...    the files, at the paths that they had

The plan and the file system together tell what was done: a file is in quarantine exactly when it
lies there. So nothing has to be written while files move, a kill loses nothing, and doing the same
again finishes it. Files are moved by a hard link under the new name and the removal of the old
one, which cannot overwrite anything; nothing is ever deleted. Hidden folders are no classes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from tl_app.audit.fix_table import FixRow
from tl_app.data.listing import counted, named, shown
from tl_app.errors import DataError, RunError, StorageError
from tl_app.storage import read_json, storage_errors, write_json

FOLDER = ".quarantine"
PLAN = "plan.json"
FORMAT = 1

ELSEWHERE = "make the data's folder writable"


@dataclass(frozen=True, slots=True)
class Moved:
    """What was done.

    Attributes:
        folder: of the quarantine.
        moved: paths that were moved now, relative to the data's folder.
        left: path -> why it was left where it is.
    """

    folder: Path
    moved: tuple[str, ...]
    left: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "moved": list(self.moved), "left": dict(self.left)}


def apply_fixes(root: Path, rows: Sequence[FixRow], *, now: datetime | None = None) -> Moved:
    """Move the files that a table of fixes sends to quarantine.

    Doing it again does what is left; files that are in quarantine already are passed over, and
    those that are not what they were when they were audited are left, and told of.

    Args:
        root: folder that the rows' paths are relative to.
        rows: those for review are left alone.
        now: names the folder of this time.

    Raises:
        DataError: a path leads out of the folder, or is a symbolic link out of it; nothing was
            moved.
        RunError: another process moves files of this folder.
        StorageError: the disk is full or a folder cannot be written; what was not moved is
            where it was.
    """
    wanted: dict[str, FixRow] = {}
    for row in rows:
        if row.action == "quarantine":
            wanted.setdefault(row.path, row)
    _require_inside(root, wanted)
    with _locked(root) as folder:
        stored = _stored(folder)
        moved: list[str] = []
        left: dict[str, str] = {}
        todo: dict[str, str] = {}
        for path, row in wanted.items():
            if path in stored and _is_one_file(root / path, stored[path]):
                _unlink(root / path)  # a kill came between the new name and the end of the old
                moved.append(path)
                continue
            reason = _reason_to_leave(root / path, row)
            if reason is None:
                todo[path] = row.sha256
            elif path not in stored or os.path.lexists(root / path):
                left[path] = reason
        if todo:
            batch = _new_batch(folder, now or datetime.now(UTC))
            write_json(batch / PLAN, {"format": FORMAT, "files": todo})
            _sync(batch)
        for path in todo:
            _move(root / path, batch / "files" / path)
            moved.append(path)
        for parent in {(root / path).parent for path in moved}:
            _sync(parent)
        return Moved(folder, tuple(moved), left)


def undo(root: Path) -> Moved:
    """Put everything in quarantine back where it was.

    A file whose place is taken stays in quarantine, and is told of.

    Raises:
        DataError: there is no quarantine here.
        RunError: another process moves files of this folder, or a plan is damaged.
        StorageError: a folder cannot be written; doing it again does what is left.
    """
    if not (root / FOLDER).is_dir():
        raise DataError(
            "Nothing of this folder is in quarantine.",
            received=str(root),
            allowed=f"a folder with {FOLDER}, as tl-app audit --apply makes it",
        )
    with _locked(root) as folder:
        moved, left = [], {}
        stored = _stored(folder)
        _require_inside(root, stored)
        for path, place in stored.items():
            target = root / path
            if _is_one_file(target, place):
                _unlink(place)
                moved.append(path)
            elif os.path.lexists(target):
                left[path] = f"its place is taken; it stays at {place}"
            else:
                _move(place, target)
                moved.append(path)
        for parent in {(root / path).parent for path in moved}:
            _sync(parent)
        _remove_empty(folder)
        return Moved(folder, tuple(moved), left)


# --- what may be moved -----------------------------------------------------------------------


def _require_inside(root: Path, paths: Iterable[str]) -> None:
    """
    Raises:
        DataError: paths that lead out of the folder, all of them.
    """
    real_root = os.path.realpath(root)
    outside = [path for path in paths if not _is_inside(real_root, path)]
    if outside:
        raise DataError(
            f"{counted(len(outside), 'path leads', 'paths lead')} out of the data's folder; "
            "nothing was moved.",
            received=named(outside),
            allowed=f"files below {root}, no symbolic links out of it",
            next_step="take these rows out of the table",
        )


def _is_inside(real_root: str, path: str) -> bool:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or pure.parts[0] == FOLDER:
        return False
    place = os.path.join(real_root, path)
    # Both the folder that the entry is in, and what it is a link to.
    reached = (os.path.realpath(os.path.dirname(place)), os.path.realpath(place))
    return all(f"{one}/".startswith(f"{real_root}/") for one in reached)


def _reason_to_leave(file: Path, row: FixRow) -> str | None:
    """Why a file is not moved; None where nothing speaks against it."""
    if not os.path.lexists(file):
        return "it is not there (any more)"
    if not file.is_file():
        return "it is no regular file"
    if not row.sha256:
        return "the table does not say which file was meant (no sha256)"
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if digest == row.sha256 else "it has changed since it was audited"


# --- the folder of the quarantine ------------------------------------------------------------


@contextmanager
def _locked(root: Path) -> Iterator[Path]:
    """The quarantine of a folder, for one process at a time.

    Raises:
        DataError: the folder is not there.
        RunError: another process has it.
        StorageError: it cannot be written.
    """
    import fcntl

    if not root.is_dir():
        raise DataError(
            "The data's folder is not there.",
            received=str(root),
            allowed="the folder that was audited",
            next_step="tl-app audit FOLDER --apply fixes.csv",
        )
    folder = root / FOLDER
    if folder.is_symlink():
        raise DataError(
            "The quarantine is a symbolic link.",
            received=shown(folder),
            allowed="a folder of its own below the data",
            next_step="take the link away",
        )
    with storage_errors(folder, elsewhere=ELSEWHERE):
        folder.mkdir(exist_ok=True)
        file = (folder / "lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                "Another process is moving files of this folder.",
                received=str(root),
                next_step="wait for it",
            ) from None
        yield folder


def _new_batch(folder: Path, now: datetime) -> Path:
    stamp = now.strftime("%Y%m%d-%H%M%S")
    with storage_errors(folder, elsewhere=ELSEWHERE):
        for attempt in range(1, 1000):
            batch = folder / (stamp if attempt == 1 else f"{stamp}-{attempt}")
            with suppress(FileExistsError):
                batch.mkdir()
                return batch
    raise StorageError("A thousand moves in one second.", received=str(folder))


def _stored(folder: Path) -> dict[str, Path]:
    """Path -> where it lies, of all files in quarantine; of one path the latest.

    Raises:
        RunError: a plan is damaged.
    """
    found: dict[str, Path] = {}
    for plan in sorted(folder.glob(f"*/{PLAN}")):
        for path in read_json(plan)["files"]:
            place = plan.parent / "files" / path
            if os.path.lexists(place):
                found[path] = place
    return found


# --- moving ----------------------------------------------------------------------------------


def _move(source: Path, target: Path) -> None:
    """Give a file another name; whatever has that name already is left as it is.

    Raises:
        StorageError: it cannot be done; the file is where it was.
    """
    with storage_errors(target, elsewhere=ELSEWHERE):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            raise StorageError(
                "A file stands where another one was to go.",
                received=str(target),
                allowed="a free name",
                next_step="move it away, then run again",
            ) from None
        except OSError as error:
            # No hard links on this file system, or none to files of others.
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
                raise _cannot(source, error) from error
            if os.path.lexists(target):
                raise _cannot(source, error) from error
            os.rename(source, target)
            return
    _unlink(source)


def _cannot(source: Path, error: OSError) -> Exception:
    """Errors that `storage_errors` words stay as they are."""
    if error.errno in (errno.EXDEV, errno.ENAMETOOLONG):
        return StorageError(
            f"A file cannot be moved: {error.strerror}.",
            received=str(source),
            allowed="files on the file system of the data's folder, with names of usual length",
            next_step="take its row out of the table",
        )
    return error


def _unlink(place: Path) -> None:
    """One of two names of a file."""
    with storage_errors(place, elsewhere=ELSEWHERE):
        place.unlink()


def _is_one_file(first: Path, second: Path) -> bool:
    """Whether two names are of one file, links not followed."""
    try:
        return os.path.samestat(first.lstat(), second.lstat())
    except OSError:
        return False


def _sync(folder: Path) -> None:
    """Names are on the disk when this returns."""
    with suppress(OSError):  # file systems that cannot do it write names at once
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_empty(folder: Path) -> None:
    """Folders that held files; the plans of what came back go with them."""
    for batch in folder.iterdir():
        if not batch.is_dir():
            continue
        for place, _, _ in os.walk(batch / "files", topdown=False):
            with suppress(OSError):
                os.rmdir(place)
        if not (batch / "files").exists():
            with suppress(FileNotFoundError):
                (batch / PLAN).unlink()
            with suppress(OSError):
                batch.rmdir()
