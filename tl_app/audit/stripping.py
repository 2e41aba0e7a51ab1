"""Copies of pictures without what is said about them; not one pixel is coded anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from tl_app.audit.parts import Part, jpeg_exif, png_exif, take_apart, webp_exif, webp_joined
from tl_app.audit.pictures import open_picture
from tl_app.audit.private import private_facts
from tl_app.audit.tiff_tags import ORIENTATION, orientation_only, read_tags
from tl_app.errors import ConfigError, UnusablePicture
from tl_app.inputs.files import HEADER_ERRORS, quiet
from tl_app.progress import Bar
from tl_app.records import Example
from tl_app.storage import storage_errors, write_atomic

_EXIF_WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "JPEG": jpeg_exif,
    "PNG": png_exif,
    "WEBP": webp_exif,
}

ELSEWHERE = "name another folder with --strip DIR"


@dataclass(frozen=True, slots=True)
class Stripped:
    """What became of it.

    Attributes:
        written: paths of the copies, relative to the folder that they are in.
        left_out: path -> why there is no copy of it.
    """

    written: tuple[str, ...]
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"written": list(self.written), "left_out": dict(self.left_out)}


_DAMAGED = "it is damaged, and cannot be taken apart safely"

_TRACES = (b"Exif\0\0", b"ns.adobe.com/xap/", b"ns.adobe.com/xmp/", b"<x:xmpmeta")
"""Bytes that EXIF data and XMP begin with, wherever they lie."""


class CannotStrip(Exception):
    """A file of which no clean copy can be made without coding its pixels anew."""


def strip_pictures(
    root: Path, examples: Iterable[Example], destination: Path, bar: Bar
) -> Stripped:
    """Write a cleaned copy of each picture at the same place below another folder.

    Args:
        root: folder that the examples' paths are relative to; nothing in it is changed.
        examples: of the pictures.
        destination: is made; must be new or empty, and apart from `root`.
        bar: advanced by one a picture.

    Raises:
        ConfigError: the destination holds something, or is not apart from the pictures.
        StorageError: the disk is full or the folder cannot be written.
    """
    require_apart(root, destination)
    written: list[str] = []
    left_out: dict[str, str] = {}
    for example in examples:
        target = Path(os.path.normpath(destination / example.path))
        if not target.is_relative_to(Path(os.path.normpath(destination))):
            left_out[example.path] = "it lies outside of the folder"
        else:
            try:
                clean = strip((root / example.path).read_bytes(), example.image_format)
                _require_free(target)
            except (OSError, CannotStrip) as problem:
                left_out[example.path] = str(getattr(problem, "strerror", None) or problem)
            else:
                write_atomic(target, partial(_write, clean), elsewhere=ELSEWHERE)
                written.append(example.path)
        bar.advance()
    return Stripped(tuple(written), left_out)


def require_apart(root: Path, destination: Path) -> None:
    """
    Raises:
        ConfigError: the destination holds something, or one of the folders is in the other.
        StorageError: it cannot be looked at.
    """
    here, there = root.resolve(), destination.resolve()
    if here == there or there.is_relative_to(here) or here.is_relative_to(there):
        raise ConfigError(
            "Cleaned copies need a folder apart from the pictures.",
            received=str(destination),
            allowed=f"a folder neither in nor above {root}",
            next_step="--strip with the name of a new folder",
        )
    with storage_errors(destination, elsewhere=ELSEWHERE):
        is_taken = there.exists() and (not there.is_dir() or any(there.iterdir()))
    if is_taken:
        raise ConfigError(
            "The folder for cleaned copies holds something already.",
            received=str(destination),
            allowed="a new or empty folder",
            next_step="--strip with the name of a new folder",
        )


def strip(data: bytes, image_format: str) -> bytes:
    """The file without metadata; orientation and colour profile stay.

    Args:
        data: the file.
        image_format: as in `Example`.

    Raises:
        CannotStrip: this format cannot be cleaned so, or the result was not what it should be.
    """
    parts = take_apart(data, image_format)
    if image_format == "BMP":
        return data  # has no place for metadata
    if parts is None:
        raise CannotStrip(f"{image_format} files cannot be cleaned without coding them anew")
    if any(part.kind == "unparsed" for part in parts):
        raise CannotStrip(_DAMAGED)
    clean = _joined(parts, image_format)
    bits, _ = private_facts(clean, image_format)
    if bits or not _same_pixels(data, clean, image_format) or not _is_clean(clean, image_format):
        raise CannotStrip(_DAMAGED)
    return clean


def _joined(parts: list[Part], image_format: str) -> bytes:
    """The parts that show, and the orientation where the first EXIF data stood."""
    kept: list[bytes] = []
    has_exif = False
    for part in parts:
        if part.kind == "picture":
            kept.append(part.data)
        elif part.kind == "exif" and not has_exif:
            orientation = read_tags(part.content).number(ORIENTATION)
            if orientation is not None and 2 <= orientation <= 8 and image_format in _EXIF_WRITERS:
                kept.append(_EXIF_WRITERS[image_format](orientation_only(orientation)))
                has_exif = True
    if image_format == "WEBP":
        return webp_joined(kept, has_exif=has_exif)
    return b"".join(kept)


def _is_clean(data: bytes, image_format: str) -> bool:
    """Whether Pillow and a plain search find nothing either, but the orientation."""
    try:
        image = open_picture(data, image_format)
        with quiet():
            image.load()  # PNG may have EXIF data behind its pixels
            tags = image.getexif()
    except HEADER_ERRORS:
        return False
    if any(tag != ORIENTATION for tag in tags):
        return False
    if ORIENTATION in tags and image_format == "JPEG":
        data = data.replace(jpeg_exif(orientation_only(tags[ORIENTATION])), b"", 1)
    return not any(trace in data for trace in _TRACES)


def _same_pixels(before: bytes, after: bytes, image_format: str) -> bool:
    try:
        first, second = (open_picture(data, image_format) for data in (before, after))
        return first.mode == second.mode and np.array_equal(np.asarray(first), np.asarray(second))
    except (*HEADER_ERRORS, UnusablePicture, Image.DecompressionBombError):
        return False


def _write(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _require_free(target: Path) -> None:
    """Make the folder of a copy.

    Raises:
        CannotStrip: another copy has this name on the file system there.
        StorageError: the disk is full or the folder cannot be written.
    """
    with storage_errors(target, elsewhere=ELSEWHERE):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            is_free = not os.path.lexists(target)
        except (FileExistsError, NotADirectoryError):
            is_free = False
    if not is_free:
        raise CannotStrip("its name and that of another picture are one on the disk of the copies")
