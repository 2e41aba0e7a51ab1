"""Which files below a folder are tried as pictures or as texts.

Symbolic links are followed, also out of the folder: sets are often made of links into a
store. A folder is read once for each class, and a link that leads to the source folder,
to one above it or to another class folder is not followed, so loops and chains of links end.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tl_app.data.listing import shown
from tl_app.errors import DataError
from tl_app.records import SetAside

TRIED_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"}
    | {".tif", ".tiff", ".heic", ".heif", ".hif", ".avif"}
)
"""Files with these suffixes, or with none, are opened."""

UNSUPPORTED_SUFFIXES = frozenset(
    {".jp2", ".j2k", ".jxl", ".ico", ".icns", ".psd", ".xcf", ".tga", ".svg", ".eps"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".dcm", ".nii", ".exr", ".hdr"}
    | {".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"}
)
"""Pictures of formats that are never read; listed rather than passed over in silence."""

DOCUMENT_SUFFIXES = frozenset(
    {".pdf", ".doc", ".docx", ".odt", ".rtf", ".epub", ".html", ".htm", ".xls", ".xlsx"}
)
"""Texts of formats that are never read; listed, too."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """Files of one modality, told by their suffixes (lower case, with the dot).

    Attributes:
        noun: of one such file.
        tried: files with these suffixes are opened.
        unsupported: files with these are set aside, with `advice`.
        tries_bare: whether files without any suffix are opened, too.
    """

    noun: str
    tried: frozenset[str]
    unsupported: frozenset[str]
    advice: str
    tries_bare: bool


PICTURE_FILES = FileKind(
    noun="picture",
    tried=TRIED_SUFFIXES,
    unsupported=UNSUPPORTED_SUFFIXES,
    advice="pictures are not read; convert them to PNG, JPEG or TIFF",
    tries_bare=True,
)
TEXT_FILES = FileKind(
    noun="text",
    tried=frozenset({".txt"}),
    unsupported=DOCUMENT_SUFFIXES,
    advice="documents are not read; convert them to .txt in UTF-8",
    tries_bare=False,
)

IGNORED_NAMES = frozenset(
    name.casefold()
    for name in (
        "__MACOSX",
        "Thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "@eaDir",
        "#recycle",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        "Icon\r",
    )
)

FileId = tuple[int, int]
"""Device and inode: the same for every path that leads to one folder."""


def is_ignored(name: str) -> bool:
    """Hidden files and folders, and what operating systems leave behind."""
    return name.startswith(".") or name.casefold() in IGNORED_NAMES


@dataclass(slots=True)
class Found:
    """What a walk met; paths are relative to the source folder, `files` are to be tried."""

    files: list[str] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    other_suffixes: Counter[str] = field(default_factory=Counter)
    n_loops: int = 0
    n_outside: int = 0


def file_id(path: str | os.PathLike[str]) -> FileId:
    """Raises: DataError: the folder that holds `path` may not be searched."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unlistable(path, error) from error
    return status.st_dev, status.st_ino


def ancestor_ids(root: Path) -> set[FileId]:
    """The source folder and all folders above it: links to them are loops."""
    real = root.resolve()
    return {file_id(folder) for folder in (real, *real.parents)}


def _unlistable(path: str | os.PathLike[str], error: OSError) -> DataError:
    return DataError(
        f"The folder cannot be listed: {error.strerror}.",
        received=shown(os.fspath(path)),
        allowed="a folder that this user may read",
        next_step="check its permissions with ls -ld",
    )


def visible_entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the other entries of `folder`, each sorted.

    Raises:
        DataError: the folder cannot be listed.
    """
    folders: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_ignored(entry.name):
                    (folders if _kind(entry) == "folder" else others).append(entry.name)
    except OSError as error:
        raise _unlistable(folder, error) from error
    return sorted(folders), sorted(others)


def walk(
    root: Path, folder: str, closed: set[FileId], found: Found, wanted: FileKind = PICTURE_FILES
) -> None:
    """Add every file below `root`/`folder` to `found`.

    Args:
        root: the source folder, absolute.
        folder: relative to `root`, with forward slashes.
        closed: folders that must not be entered (again); folders entered here are added.
        wanted: which files are tried.
    """
    real_root = os.path.realpath(root)

    def leads_out(path: str | os.PathLike[str]) -> bool:
        return not f"{os.path.realpath(path)}/".startswith(f"{real_root}/")

    stack = [folder]
    while stack:
        relative = stack.pop()
        try:
            status = os.stat(root / relative)
            if (identity := (status.st_dev, status.st_ino)) in closed:
                found.n_loops += 1
                continue
            closed.add(identity)
            found.n_outside += os.path.islink(root / relative) and leads_out(root / relative)
            entries = _sorted_entries(root / relative)
        except OSError as error:
            reason = f"the folder cannot be read: {error.strerror}"
            found.set_aside.append(SetAside(relative, reason, "unreadable"))
            continue
        for entry in entries:
            path = f"{relative}/{entry.name}"
            kind = _kind(entry)
            if kind == "folder":
                stack.append(path)
            else:
                found.n_outside += kind == "file" and entry.is_symlink() and leads_out(entry.path)
                sort_file(path, kind, found, wanted)


def sort_file(path: str, kind: str, found: Found, wanted: FileKind) -> None:
    """Decide by name and kind alone what becomes of one file."""
    suffix = os.path.splitext(path)[1].lower()
    is_tried = suffix in wanted.tried if suffix else wanted.tries_bare
    is_unsupported = suffix in wanted.unsupported
    if kind == "loop":
        found.n_loops += 1
    elif kind == "broken" and (is_tried or is_unsupported):
        reason = "a symbolic link to a file that is not there"
        found.set_aside.append(SetAside(path, reason, "missing"))
    elif kind != "file":
        found.other_suffixes["" if kind == "special" else suffix] += 1
    elif is_unsupported:
        found.set_aside.append(SetAside(path, f"{suffix} {wanted.advice}", "unsupported"))
    elif is_tried:
        found.files.append(path)
    else:
        found.other_suffixes[suffix or "without suffix"] += 1


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not is_ignored(e.name)), key=lambda e: e.name)


def _kind(entry: os.DirEntry[str]) -> str:
    """ "folder", "file", "special" (pipe, socket, device), "broken" or "loop" (a link)."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError as error:
        return "loop" if error.errno == errno.ELOOP else "broken"
    return "broken" if entry.is_symlink() and not os.path.exists(entry.path) else "special"
