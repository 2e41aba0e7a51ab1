"""Pictures that only Pillow reads, to lossless PNG bytes; 16 bits stay 16 bits."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from tl_app.errors import UnusablePicture

_ORIENTATION_TAG, _PHOTOMETRIC_TAG = 0x0112, 262
_BITS_TAG, _PLANAR_TAG = 258, 284
DECODE_ERRORS = (
    SyntaxError,
    ValueError,
    OSError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on damaged pixels, by format."""

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's number for grey, grey and alpha, RGB, RGB and alpha, by channels."""


def to_png(
    image: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]
) -> tuple[bytes, int]:
    """Decode with Pillow, turn upright and encode as PNG.

    Args:
        image: opened, its pixels not yet loaded.
        reopen: gives a second such image; 16-bit colour needs two passes.

    Returns:
        The PNG file, and the EXIF orientation that was applied.

    Raises:
        UnusablePicture: "truncated" or "unsupported".
    """
    image_format = image.format or "picture"
    try:
        orientation = _orientation(image)
        levels = _levels(image, reopen)
        # Pillow turns TIFF upright by itself and then takes the tag away.
        levels = turn(levels, _orientation(image))
    except DECODE_ERRORS as error:
        is_decoder = any(word in str(error) for word in ("decoder", "codec", "mode", "support"))
        raise UnusablePicture(
            "unsupported" if is_decoder else "truncated",
            f"The {image_format} file cannot be decoded ({error}); save it again, as PNG say.",
        ) from error
    return encode_png(levels), orientation


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if value in range(1, 9) else 1


def _levels(image: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]) -> np.ndarray:
    """uint8 or uint16, shape (h, w, channels)."""
    _refuse_deep_planes(image)
    if _is_deep_colour(image):
        return _deep_colour_levels(image, reopen())
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.uint16)[..., None]
        # Pillow turns "white is zero" round for 8 bits, not for 16.
        return 65535 - levels if _photometric(image) == 0 else levels
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise UnusablePicture(
                "unsupported",
                "Its levels are floating-point, negative or over 65,535; rescale them to 16 bits.",
            )
        return values.astype(np.uint16)[..., None]
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        levels = np.asarray(image.convert("RGBA"))
    elif image.mode in ("1", "L"):
        levels = np.asarray(image.convert("L"))
    else:
        levels = np.asarray(image.convert("RGB"))
    return levels if levels.ndim == 3 else levels[..., None]


def _photometric(image: Image.Image) -> int | None:
    tags = getattr(image, "tag_v2", {})
    return tags.get(_PHOTOMETRIC_TAG)


def _refuse_deep_planes(image: Image.Image) -> None:
    """Raises: UnusablePicture: 16-bit channels one after the other, which Pillow misreads."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_TAG, ())
    is_deep = any(b > 8 for b in (bits if isinstance(bits, tuple) else (bits,)))
    if is_deep and tags.get(_PLANAR_TAG, 1) == 2 and len(image.getbands()) > 1:
        raise UnusablePicture(
            "unsupported",
            "It is a TIFF of 16-bit colour that holds one plane after the other; save it again "
            "with its channels together (PlanarConfiguration 1), or as PNG.",
        )


def _is_deep_colour(image: ImageFile.ImageFile) -> bool:
    """Whether this is 16-bit colour, of which Pillow by itself keeps the upper 8 bits."""
    return (
        image.format == "TIFF"
        and any(";16" in _raw_mode(tile) for tile in image.tile)
        and (image.mode in ("RGB", "RGBA", "CMYK"))
    )


def _raw_mode(tile: Any) -> str:
    return tile.args if isinstance(tile.args, str) else str(tile.args[0])


def _swapped(arguments: Any) -> Any:
    if isinstance(arguments, str):
        return _swap_order(arguments)
    return (_swap_order(arguments[0]), *arguments[1:])


def _deep_colour_levels(image: ImageFile.ImageFile, second: ImageFile.ImageFile) -> np.ndarray:
    """Both bytes of 16-bit colour: unpacked once as stored, once with the byte order reversed."""
    raw_modes = {_raw_mode(tile) for tile in image.tile}
    allowed = {f"{mode};16{order}" for mode in ("RGB", "RGBA") for order in "LBN"}
    if not raw_modes <= allowed:
        raise UnusablePicture(
            "unsupported",
            f"16-bit TIFF of the kind {', '.join(sorted(raw_modes))} is not read here; "
            "save it as 16-bit RGB or as PNG.",
        )
    second.tile = [tile._replace(args=_swapped(tile.args)) for tile in second.tile]
    high, low = np.asarray(image).astype(np.uint16), np.asarray(second).astype(np.uint16)
    return high * 256 + low


def _swap_order(raw_mode: str) -> str:
    stem, order = raw_mode[:-1], raw_mode[-1]
    swapped_native = "B" if sys.byteorder == "little" else "L"
    return stem + {"L": "B", "B": "L", "N": swapped_native}[order]


def turn(levels: np.ndarray, orientation: int) -> np.ndarray:
    """Upright levels (h, w, channels) of a picture whose EXIF orientation is 1 to 8."""
    if orientation >= 5:
        levels = levels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        levels = levels[::-1]
    return levels


def encode_png(levels: np.ndarray) -> bytes:
    """A PNG file of uint8 or uint16 levels, shape (h, w, channels), 1 to 4 channels.

    Source: W3C, Portable Network Graphics, section 11.
    """
    height, width, channels = levels.shape
    bit_depth = 8 * levels.dtype.itemsize
    rows = np.ascontiguousarray(levels, dtype=levels.dtype.newbyteorder(">"))
    rows = rows.view(np.uint8).reshape(height, -1)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, _COLOUR_TYPES[channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), 1))
        + chunk(b"IEND", b"")
    )
