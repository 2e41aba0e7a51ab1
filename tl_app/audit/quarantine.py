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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        left: path -> why it, or an older version of it, was left where it is.
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
        DataError: a path leads out of the folder, also by way of a folder that is a link, or the
            quarantine holds links that lead elsewhere; nothing was moved.
        RunError: another process moves files of this folder.
        StorageError: the disk is full or a folder cannot be written; what was not moved is
            where it was.
    """
    wanted: dict[str, FixRow] = {}
    for row in rows:
        if row.action == "quarantine":
            wanted.setdefault(str(PurePosixPath(row.path)), row)  # "cat//a" is "cat/a"
    _require_inside(root, wanted)
    with _locked(root) as folder:
        stored = _stored(folder)
        left: dict[str, str] = {}
        todo: dict[str, str] = {}
        places: dict[str, tuple[Path, Path]] = {}
        for path, row in wanted.items():
            named_twice = [p for p in stored.get(path, ()) if _is_one_file(root / path, p)]
            if named_twice:  # a kill came between the new name and the end of the old
                places[path] = (root / path, named_twice[0])
                continue
            reason = _reason_to_leave(root / path, row)
            if reason is None:
                todo[path] = row.sha256
            elif path not in stored or os.path.lexists(root / path):
                left[path] = reason
        if todo:
            batch = _new_batch(folder, now or datetime.now(UTC))
            write_json(batch / PLAN, {"format": FORMAT, "files": todo})
            for changed in (batch, folder, root):
                _sync(changed)
            places |= {path: (root / path, batch / "files" / path) for path in todo}
        return Moved(folder, _move(places, left), left)


def undo(root: Path) -> Moved:
    """Put everything in quarantine back where it was.

    A file whose place is taken stays in quarantine, and is told of. So do older versions: of
    several that had one path the latest comes back.

    Raises:
        DataError: there is no quarantine here, or it holds links that lead elsewhere.
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
        left: dict[str, str] = {}
        stored = _stored(folder)
        _require_inside(root, stored)
        places: dict[str, tuple[Path, Path]] = {}
        for path, (*older, latest) in stored.items():
            target = root / path
            if os.path.lexists(target) and not _is_one_file(target, latest):
                left[path] = f"its place is taken; it stays at {latest}"
            else:
                places[path] = (latest, target)
                if older:
                    left[path] = f"an older version of it stays at {', '.join(map(str, older))}"
        moved = _move(places, left)
        _remove_empty(folder)
        return Moved(folder, moved, left)


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
            allowed=f"files below {root}, in no folder that is a link out of it",
            next_step="take these rows out of the table",
        )


def _is_inside(real_root: str, path: str) -> bool:
    """A link is moved itself, so what it leads to may lie anywhere; the folder it is in may not."""
    if not _is_plain(path):
        return False
    parent = os.path.realpath(os.path.dirname(os.path.join(real_root, path)))
    return f"{parent}/".startswith(f"{real_root}/")


def _is_plain(path: str) -> bool:
    """Whether a path by itself names something below a folder, and not the quarantine."""
    parts = PurePosixPath(path).parts
    return (
        bool(parts) and not {"/", "//", ".."} & {*parts} and "\0" not in path and parts[0] != FOLDER
    )


def _reason_to_leave(file: Path, row: FixRow) -> str | None:
    """Why a file is not moved; None where nothing speaks against it."""
    if not os.path.lexists(file):
        return "it is not there (any more)"
    if not os.path.isfile(file):  # raises nothing where a link leads to what may not be seen
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
        raise _linked(folder)
    lock = folder / "lock"
    with storage_errors(folder, elsewhere=ELSEWHERE):
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR):
                raise _linked(lock) from error
            raise
    with os.fdopen(descriptor, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), lock.lstat()):
                raise FileNotFoundError  # another process ended just now, and took it away
        except (BlockingIOError, FileNotFoundError):
            raise RunError(
                "Another process is moving files of this folder.",
                received=str(root),
                next_step="wait for it",
            ) from None
        try:
            yield folder
        finally:
            with suppress(OSError):
                if os.listdir(folder) == [lock.name]:
                    lock.unlink()
                    folder.rmdir()


def _linked(place: Path) -> DataError:
    return DataError(
        "The quarantine is not one that tl-app made: a link or a folder is in the way.",
        received=shown(place),
        allowed=f"folders and files of its own below {FOLDER}, no symbolic links to others",
        next_step="take it away",
    )


def _new_batch(folder: Path, now: datetime) -> Path:
    stamp = now.strftime("%Y%m%d-%H%M%S")
    with storage_errors(folder, elsewhere=ELSEWHERE):
        for attempt in range(1, 1000):
            batch = folder / (stamp if attempt == 1 else f"{stamp}-{attempt}")
            with suppress(FileExistsError):
                batch.mkdir()
                return batch
    raise StorageError("A thousand moves in one second.", received=str(folder))


def _stored(folder: Path) -> dict[str, list[Path]]:
    """Path -> where it lies, of all files in quarantine; of one path the latest is last.

    Raises:
        DataError: what should lie in quarantine lies behind a symbolic link.
        RunError: a plan is damaged.
    """
    found: dict[str, list[Path]] = {}
    real_folder = Path(os.path.realpath(folder))
    for batch in sorted(folder.iterdir()):
        if batch.is_symlink() or (batch / "files").is_symlink():
            raise _linked(batch)
        if not (batch / PLAN).exists():
            continue
        for path in _planned(batch / PLAN):
            place = batch / "files" / path
            if not os.path.lexists(place):
                continue
            if (
                Path(os.path.realpath(place.parent))
                != (real_folder / place.relative_to(folder)).parent
            ):
                raise _linked(place.parent)
            found.setdefault(path, []).append(place)
    return found


def _planned(plan: Path) -> list[str]:
    """
    Raises:
        RunError: it is damaged.
    """
    try:
        content = read_json(plan)
    except (RunError, OSError):
        content = None
    match content:
        case {"files": dict(files)} if all(map(_is_plain, files)):
            return list(files)
    raise RunError(
        "A plan of the quarantine is damaged.",
        received=shown(plan),
        allowed="the file as tl-app wrote it",
        next_step=f"bring it back from a copy, or move what is below {shown(plan.parent)} by hand",
    )


# --- moving ----------------------------------------------------------------------------------


def _move(places: Mapping[str, tuple[Path, Path]], left: dict[str, str]) -> tuple[str, ...]:
    """Give files other names; whatever has one already is left as it is.

    Folder by folder, new names are on the disk before the old ones go.

    Args:
        places: path -> where the file is, and where it goes.
        left: gets the paths of files that could not be moved, and why.

    Returns:
        The paths of those that were.

    Raises:
        StorageError: the disk is full or read-only; doing it again does what is left.
    """
    by_folder: dict[Path, list[str]] = defaultdict(list)
    for path, (_, target) in places.items():
        by_folder[target.parent].append(path)
    moved: list[str] = []
    for folder, paths in by_folder.items():
        named_twice: list[str] = []
        for path in paths:
            source, target = places[path]
            with _failures(path, target, left):
                _make_folder(folder)
                _give_name(source, target)
                named_twice.append(path)
        _sync(folder)
        for path in named_twice:
            source, target = places[path]
            with _failures(path, source, left):
                _take_name(source, target)
                moved.append(path)
        for parent in {places[path][0].parent for path in named_twice}:
            _sync(parent)
    return tuple(moved)


@contextmanager
def _failures(path: str, place: Path, left: dict[str, str]) -> Iterator[None]:
    """Note why one file stays; what would befall all the others is raised."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            with storage_errors(place, elsewhere=ELSEWHERE):
                raise
        left[path] = f"it cannot be moved: {error.strerror} ({error.filename2 or error.filename})"


def _make_folder(folder: Path) -> None:
    """With those above it, each on the disk before anything is in it."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir()
        _sync(folder.parent)


def _give_name(source: Path, target: Path) -> None:
    if _is_one_file(source, target):
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        # No hard links on this file system, or none to files of others.
        without_links = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
        if error.errno not in without_links or os.path.lexists(target):
            raise
        os.rename(source, target)


def _take_name(source: Path, target: Path) -> None:
    try:
        source.unlink(missing_ok=True)  # a rename took it already
    except OSError:
        with suppress(OSError):
            target.unlink()
        raise


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
