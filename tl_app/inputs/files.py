"""Files to bytes that `inputs.decode` understands. No TensorFlow.

JPEG, PNG, GIF, BMP and WebP stay as they are (animations lose the frames that are never
looked at). TIFF, HEIC and the rare kinds of BMP become lossless PNG through Pillow. The
picture's size is read from its header and compared with the limit before any pixel is
decoded. HEIC is read at 8 bits a channel.
"""

from __future__ import annotations

import importlib.util
import io
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import (
    BmpImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
)

from tl_app.errors import UnusablePicture
from tl_app.inputs import container
from tl_app.inputs.convert import to_png
from tl_app.inputs.decode_budget import DECODING
from tl_app.inputs.signatures import SIGNATURE_BYTES, describe_other, picture_format

HEADER_ERRORS = (
    SyntaxError,
    ValueError,
    OSError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on damaged headers, by format."""

MAX_SCANS = 100
"""Of a JPEG; progressive ones have ten."""

_START_OF_SCAN = b"\xff\xda"

_MAX_FILE_BYTES = 2**31 - 1
"""A TensorFlow string cannot travel through a SavedModel when it is longer."""

_TILE_WIDTH_TAG, _TILE_HEIGHT_TAG = 322, 323

_warnings_lock = threading.Lock()

# The classes themselves, since Image.open has a limit of its own that is global state.
_OPENERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}


@dataclass(frozen=True, slots=True)
class PictureFile:
    """One file, read once.

    Attributes:
        data: the file as it is on disk.
        encoded: what the graph decoder gets; equal to `data` for most files.
        image_format: "JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF" or "HEIF".
        mode: Pillow's name of the pixel format.
        orientation: 1 to 8, applied during conversion; 1 where the graph reads it itself.
        n_pixels: that decoding takes, by the header.
    """

    data: bytes
    encoded: bytes
    image_format: str
    mode: str
    orientation: int
    n_pixels: int

    @property
    def decode_share(self) -> int:
        """What decoding takes of a `DecodeBudget`: of 16 bits, pixels take twice the memory."""
        return self.n_pixels * (2 if self.image_format in ("PNG", "TIFF") else 1)


def read_encoded(path: Path, *, max_pixels: int) -> bytes:
    """Read a file as bytes that `decode_levels` understands.

    Args:
        path: of a picture.
        max_pixels: refuse pictures with more, before decoding.

    Raises:
        UnusablePicture: with a kind of `records.SetAside` and a sentence for people. What
            only decoding can find (damaged pixels, say) is not looked for here.
    """
    return read_picture_file(path, max_pixels=max_pixels).encoded


def read_picture_file(path: Path, *, max_pixels: int) -> PictureFile:
    """`read_encoded`, with the original bytes and what the header says."""
    return picture_file_of(_read_bytes(path), max_pixels=max_pixels)


def encoded_of(data: bytes, *, max_pixels: int) -> bytes:
    """`read_encoded` of what a file holds."""
    return picture_file_of(data, max_pixels=max_pixels).encoded


def picture_file_of(data: bytes, *, max_pixels: int) -> PictureFile:
    """`read_picture_file` of what a file holds."""
    image_format = picture_format(data[:SIGNATURE_BYTES])
    if image_format is None:
        raise UnusablePicture(*describe_other(data[:SIGNATURE_BYTES]))
    if image_format == "WEBP":
        width, height, has_alpha = container.webp_size(data)
        _check_size(width, height, max_pixels)
        encoded, mode = container.webp_first_frame(data), "RGBA" if has_alpha else "RGB"
        return PictureFile(data, encoded, image_format, mode, 1, width * height)
    if image_format == "GIF":
        width, height = container.gif_size(data)
        _check_size(width, height, max_pixels)
        encoded, frame_pixels = container.gif_first_frame(data, max_pixels=max_pixels)
        return PictureFile(data, encoded, image_format, "P", 1, max(width * height, frame_pixels))
    if image_format == "JPEG":
        _refuse_endless_scans(data)
    header = _open_header(data, image_format)
    width, height = header.size
    _check_size(width, height, max_pixels)
    encoded, orientation = data, 1
    if image_format in ("TIFF", "HEIF") or (
        image_format == "BMP" and not container.bmp_is_common(data)
    ):
        n_pixels = _tile_pixels(header, max_pixels)
        with DECODING.reserve(n_pixels), quiet():
            encoded, orientation = to_png(header, lambda: _opened(data, image_format))
    return PictureFile(data, encoded, image_format, header.mode, orientation, width * height)


def _refuse_endless_scans(data: bytes) -> None:
    """A progressive JPEG decodes its whole picture once more for each scan, which may be 50 bytes.

    Raises:
        UnusablePicture: "unsupported".
    """
    n_scans = data.count(_START_OF_SCAN)
    if n_scans > MAX_SCANS:
        raise UnusablePicture(
            "unsupported",
            f"Its pixels come in {n_scans:,} scans, of which cameras write ten (a decompression "
            "bomb); save the picture again.",
        )


def _tile_pixels(header: ImageFile.ImageFile, max_pixels: int) -> int:
    """Pixels that decoding takes: a TIFF's tile may be larger than its picture.

    Raises:
        UnusablePicture: "too_many_pixels".
    """
    tags = getattr(header, "tag_v2", {})
    width, height = header.size
    try:
        sides = [int(tags.get(tag, 0)) for tag in (_TILE_WIDTH_TAG, _TILE_HEIGHT_TAG)]
    except (TypeError, ValueError) as error:
        raise UnusablePicture("truncated", f"The TIFF header is damaged: {error}.") from error
    if sides[0] * sides[1] > max_pixels:
        raise container.too_many_pixels(sides[0], sides[1], max_pixels)
    return max(width * height, sides[0] * sides[1])


def _read_bytes(path: Path) -> bytes:
    """The whole file; one that is no picture is left after its first bytes."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnusablePicture("unreadable", "It is not a regular file (a pipe, a device?).")
        # Not blocking: the name may have become a pipe since.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            start = file.read(SIGNATURE_BYTES) or b""
            if not start:
                raise UnusablePicture("empty", "The file is empty (0 bytes); copy it again.")
            if picture_format(start) is None:
                raise UnusablePicture(*describe_other(start))
            n_bytes = os.fstat(file.fileno()).st_size
            if n_bytes > _MAX_FILE_BYTES:
                raise UnusablePicture(
                    "unsupported", f"The file has {n_bytes / 2**30:.1f} GiB; the most is 2 GiB."
                )
            return start + file.read()
    except FileNotFoundError:
        raise UnusablePicture("missing", "The file does not exist (any more).") from None
    except PermissionError:
        raise UnusablePicture(
            "unreadable", "This user may not read the file; chmod u+r, or run as its owner."
        ) from None
    except OSError as error:
        raise UnusablePicture(
            "unreadable", f"The system cannot read it: {error.strerror}."
        ) from error


def _open_header(data: bytes, image_format: str) -> ImageFile.ImageFile:
    """The picture as Pillow opens it: header read, pixels not."""
    try:
        if image_format == "JPEG":  # the most frequent kind, which opens without warnings
            return _opened(data, image_format)
        with quiet():
            return _opened(data, image_format)
    except HEADER_ERRORS as error:
        if "MAX_TEXT" in str(error):
            raise UnusablePicture(
                "unsupported",
                "Its compressed notes unpack to far more than notes need (a decompression "
                "bomb); save the picture again without metadata.",
            ) from error
        raise UnusablePicture(
            "truncated", f"The {image_format} header is damaged or cut off: {error}."
        ) from error


def _opened(data: bytes, image_format: str) -> ImageFile.ImageFile:
    opener = _heif_opener() if image_format == "HEIF" else _OPENERS[image_format]
    return opener(io.BytesIO(data))


@contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's warnings: what matters becomes an error, and names the file.

    The filters are global state, so that one thread at a time may change them.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _heif_opener() -> Callable[[io.BytesIO], ImageFile.ImageFile]:
    if importlib.util.find_spec("pillow_heif") is None:
        raise UnusablePicture(
            "no_decoder", "HEIC pictures need one more package: pip install 'tl_app[heic]'."
        )
    from pillow_heif import HeifImageFile

    return HeifImageFile


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise container.too_many_pixels(width, height, max_pixels)
    if width < 1 or height < 1:
        raise UnusablePicture("not_an_image", f"It has no pixels ({width} x {height}).")
