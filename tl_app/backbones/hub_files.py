"""From a TensorFlow Hub handle to a local folder with a SavedModel. Works without TensorFlow."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import urllib.parse
from pathlib import Path, PurePosixPath

from tl_app.backbones.download import download
from tl_app.backbones.weights import Origin, WeightsFile, cache_folder
from tl_app.errors import WeightsError
from tl_app.progress import Reporter
from tl_app.storage import storage_errors

MAX_UNPACKED_BYTES = 8 << 30
MAX_MEMBERS = 10_000
ARCHIVES = (".tar.gz", ".tgz", ".tar")


def find_local(handle: str) -> Path | None:
    """Where the SavedModel or the archive of a handle is on this machine, None if nowhere."""
    if not _is_web(handle):
        path = Path(handle.removeprefix("file://")).expanduser().absolute()
        return path if path.exists() else None
    own = _own_folder(handle)
    if _is_saved_model(own):
        return own
    general = os.environ.get("TFHUB_CACHE_DIR") or str(Path(tempfile.gettempdir(), "tfhub_modules"))
    # TensorFlow Hub's own cache names folders like this.
    theirs = Path(general) / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    return theirs if _is_saved_model(theirs) else None


def resolve(handle: str, *, reporter: Reporter) -> WeightsFile:
    """The folder of a handle's SavedModel, unpacked or downloaded first if need be.

    Args:
        handle: a folder, a .tar, .tar.gz or .tgz file, or an http(s) address as TensorFlow
            Hub's web pages give it.

    Raises:
        WeightsError: it is not there, it is no SavedModel, the archive is unsafe or damaged,
            or there is no network.
        StorageError: the cache folder cannot be written.
    """
    found = find_local(handle)
    origin: Origin = "cache" if _is_web(handle) else "given"
    if found is None:
        if not _is_web(handle):
            raise WeightsError(
                "There is nothing here.",
                received=f"hub:{handle}",
                allowed="a folder with saved_model.pb, a .tar.gz of one, or an https:// handle",
            )
        found = _fetch(handle, reporter)
        origin = "download"
    if found.is_file():
        found = _unpack_once(found)
    if not _is_saved_model(found):
        raise WeightsError(
            "There is no SavedModel here.",
            received=str(found),
            allowed="a folder with saved_model.pb, a .tar.gz of one, or an https:// handle",
        )
    return WeightsFile(found, folder_sha256(found), origin)


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the sorted names and digests of a folder's files, hexadecimal."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return total.hexdigest()


def unpack(archive: Path, destination: Path) -> None:
    """Unpack a tar archive into a new folder.

    Only plain files and folders below `destination` come out: no links, no devices, no
    absolute or climbing paths, a bounded size.

    Raises:
        WeightsError: the archive is damaged or holds anything else.
        StorageError: `destination` cannot be written.
    """
    try:
        with tarfile.open(archive, "r:*") as tar, storage_errors(destination):
            destination.mkdir(parents=True)
            n_bytes = 0
            for count, member in enumerate(tar):
                name = PurePosixPath(member.name)
                n_bytes += member.size
                if name.is_absolute() or ".." in name.parts or "\\" in member.name:
                    raise _unsafe(archive, f"a path that leaves the folder: {member.name}")
                if not (member.isfile() or member.isdir()):
                    raise _unsafe(archive, f"neither file nor folder: {member.name}")
                if n_bytes > MAX_UNPACKED_BYTES or count >= MAX_MEMBERS:
                    raise _unsafe(archive, "too much to unpack")
                target = destination.joinpath(*name.parts)
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source is None:
                    raise _unsafe(archive, f"neither file nor folder: {member.name}")
                with source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, ValueError, FileExistsError) as error:
        raise WeightsError(
            f"The archive cannot be unpacked: {error}.",
            received=str(archive),
            allowed="a complete .tar or .tar.gz file with a SavedModel",
        ) from error


def _unsafe(archive: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"The archive was refused, since it holds {reason}.",
        received=str(archive),
        allowed="plain files and folders, as TensorFlow Hub packs them",
    )


def _unpack_once(archive: Path) -> Path:
    """The folder that an archive was unpacked into, by the archive's digest."""
    if not archive.name.endswith(ARCHIVES):
        raise WeightsError(
            "This file is no archive of a SavedModel.",
            received=str(archive),
            allowed=f"a file that ends in {', '.join(ARCHIVES)}, or a folder",
        )
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _install(archive, cache_folder() / "hub" / digest)


def _install(archive: Path, folder: Path) -> Path:
    """Unpack beside `folder`, then rename: a folder of that name is always whole."""
    if _is_saved_model(folder):
        return folder
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=folder.parent))
    try:
        unpack(archive, scratch / "content")
        tops = [p.parent for p in (scratch / "content").rglob("saved_model.pb")]
        if not tops:
            raise WeightsError(
                "The archive holds no SavedModel.",
                received=str(archive),
                allowed="an archive with saved_model.pb in it",
            )
        with storage_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(min(tops, key=lambda p: len(p.parts)), folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _fetch(handle: str, reporter: Reporter) -> Path:
    folder = _own_folder(handle)
    archive = folder.with_name(f"{folder.name}.tar.gz")
    parts = urllib.parse.urlsplit(handle)
    address = handle
    if not parts.path.endswith(ARCHIVES):
        query = f"{parts.query}&tf-hub-format=compressed".lstrip("&")
        address = urllib.parse.urlunsplit(parts._replace(query=query))
    try:
        download(address, archive, digest=None, reporter=reporter)
    except WeightsError as error:
        raise WeightsError(
            f"The TensorFlow Hub model is not on this machine and could not be downloaded: "
            f"{error.problem}",
            received=f"hub:{handle}",
            allowed="a handle that can be reached, or hub:FOLDER, or hub:FILE.tar.gz",
            next_step="bring the model's .tar.gz from a machine with a network and name it: "
            "--backbone hub:FILE.tar.gz",
        ) from error
    try:
        return _install(archive, folder)
    finally:
        archive.unlink(missing_ok=True)


def _own_folder(handle: str) -> Path:
    return cache_folder() / "hub" / hashlib.sha256(handle.encode()).hexdigest()


def _is_web(handle: str) -> bool:
    return handle.startswith(("http://", "https://"))


def _is_saved_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file()
