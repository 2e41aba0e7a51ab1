"""The one preprocessing again, without TensorFlow, for servers that are small and start at once.

It says what `inputs.preprocess` says, to a rounding of the resampling: tests compare the two over
every format. Pillow decodes with the same libraries that TensorFlow brings; 16-bit PNG, of which
Pillow keeps 8 bits, is decoded by imagecodecs. Pillow may warn of what it passes over: whoever has
threads settles once what becomes of warnings, whose filters all threads share.
"""

from __future__ import annotations

import importlib.util
import io
import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from tl_app.errors import UnusablePicture
from tl_app.inputs import container
from tl_app.inputs.convert import DECODE_ERRORS, turn
from tl_app.inputs.padding import PAD_LEVEL
from tl_app.inputs.signatures import SIGNATURE_BYTES, picture_format
from tl_app.records import Preprocessing

Levels = np.ndarray
"""uint8 or uint16, shape (h, w, 3)."""

_ORIENTATION_TAG = 0x0112
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
_VALUE_BYTES = {3: 2, 4: 4}
"""Of EXIF's kinds of whole numbers."""

STRIP_ROWS = 64

_PNG_BIT_DEPTH, _BMP_BIT_DEPTH = 24, 28
"""Place of the byte in a file."""


def preprocess(encoded: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """One encoded picture to the backbone's picture.

    Args:
        encoded: as `inputs.files` gives it, whose size has been looked at.
        preprocessing: see `records.Preprocessing`.

    Returns:
        float32, shape (S, S, 3), in 0..255, S being `image_size_px`.

    Raises:
        UnusablePicture: it cannot be decoded.
    """
    return resize(
        decode_levels(encoded),
        preprocessing.image_size_px,
        preprocessing.aspect,
        preprocessing.window,
    )


def decode_levels(encoded: bytes) -> Levels:
    """As `inputs.decode.decode_levels`: upright, on white, first frame, three channels.

    Raises:
        UnusablePicture: another format, or damaged.
    """
    image_format = picture_format(encoded[:SIGNATURE_BYTES])
    decode = _DECODERS.get(image_format or "")
    if decode is None:
        raise UnusablePicture("unsupported", "It is not a JPEG, PNG, GIF, BMP or WebP file.")
    try:
        return decode(encoded)
    except DECODE_ERRORS as error:
        raise UnusablePicture(
            "truncated", f"It is cut off or damaged ({error}); copy or export it again."
        ) from error


def _decode_jpeg(encoded: bytes) -> Levels:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(encoded))
    is_adobe = "adobe" in image.info
    image.load()
    levels = np.asarray(image)
    if image.mode == "CMYK":
        # Pillow turns every CMYK round, as Adobe stores it.
        levels = _from_cmyk(levels if is_adobe else 255 - levels)
    elif image.mode == "L":
        levels = np.repeat(levels[..., None], 3, axis=2)
    return turn(levels, _orientation(container.jpeg_exif(encoded)))


def _from_cmyk(inks: np.ndarray) -> Levels:
    """uint8 (h, w, 4), 0 for no ink, to RGB as libjpeg's users do it."""
    light = 255 - inks.astype(np.uint32)
    return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)


def _orientation(data: bytes) -> int:
    """As `inputs.orientation` reads a TIFF structure: 1 where it is absent or malformed."""
    order = _BYTE_ORDERS.get(data[:2])

    def number(position: int, n_bytes: int) -> int:
        assert order is not None
        return int.from_bytes(data[position : position + n_bytes], order)

    if order is None or number(2, 2) != 42:
        return 1
    first = number(4, 4)
    n_rows = min(number(first, 2), max(len(data) - first - 2, 0) // 12)
    rows = range(first + 2, first + 2 + 12 * n_rows, 12)
    row = next((row for row in rows if number(row, 2) == _ORIENTATION_TAG), None)
    if row is None or number(row + 4, 4) != 1:
        return 1
    value = number(row + 8, _VALUE_BYTES.get(number(row + 2, 2), 0))
    return value if 1 <= value <= 8 else 1


def _decode_png(encoded: bytes) -> Levels:
    _require_whole_png(encoded)
    if encoded[_PNG_BIT_DEPTH] == 16:
        return _on_white(_deep_png(encoded))
    image = PngImagePlugin.PngImageFile(io.BytesIO(encoded))
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        # Pillow spreads grey levels of 2 and 4 bits over 8, and not the one that is transparent.
        image.info["transparency"] = key * 255 // (2 ** encoded[_PNG_BIT_DEPTH] - 1)
    return _on_white(_loaded(image))


def _require_whole_png(encoded: bytes) -> None:
    """Pillow passes over wrong sums of pixels, a second header and a missing end.

    Raises:
        ValueError: a chunk that a picture cannot do without is damaged, or one is missing.
    """
    position, n_headers, is_over = 8, 0, False
    while not is_over:
        length = int.from_bytes(encoded[position : position + 4], "big")
        kind = encoded[position + 4 : position + 8]
        end = position + 12 + length
        if len(kind) < 4 or end > len(encoded):
            raise ValueError("it ends before its last chunk")
        if kind[:1].isupper():
            given = int.from_bytes(encoded[end - 4 : end], "big")
            if zlib.crc32(memoryview(encoded)[position + 4 : end - 4]) != given:
                raise ValueError(f"the sum of a chunk {kind.decode('ascii', 'replace')} is wrong")
        n_headers += kind == b"IHDR"
        is_over = kind == b"IEND"
        position = end
    if n_headers != 1:
        raise ValueError(f"it has {n_headers} headers")


def _deep_png(encoded: bytes) -> np.ndarray:
    """uint16, shape (h, w, channels)."""
    if importlib.util.find_spec("imagecodecs") is None:
        raise UnusablePicture(
            "no_decoder", "16-bit PNG needs one more package: pip install 'tl_app[serve]'."
        )
    import imagecodecs

    try:
        levels = imagecodecs.png_decode(encoded)
    except imagecodecs.PngError as error:
        raise ValueError(error) from error
    return levels if levels.ndim == 3 else levels[..., None]


def _decode_gif(encoded: bytes) -> Levels:
    """The frame on a white canvas: what it does not cover is white as well."""
    image = GifImagePlugin.GifImageFile(io.BytesIO(encoded))
    extents = image.tile[0].extents
    if extents is None:
        raise ValueError("its frame has no place")
    left, top, right, bottom = extents
    if image.size != container.gif_size(encoded):  # Pillow makes room for it
        raise ValueError("its frame lies beyond its canvas")
    image.load()
    frame = np.asarray(image.convert("RGBA"))[top:bottom, left:right]
    levels = np.full((image.height, image.width, 3), 255, np.uint8)
    levels[top:bottom, left:right] = _on_white(frame)
    return levels


def _decode_webp(encoded: bytes) -> Levels:
    return _on_white(
        _loaded(WebPImagePlugin.WebPImageFile(io.BytesIO(container.webp_with_alpha(encoded))))
    )


def _decode_bmp(encoded: bytes) -> Levels:
    if not container.bmp_is_common(encoded):
        raise ValueError("this kind of BMP is not decoded here; save it as PNG")
    if not container.bmp_is_whole(encoded):
        raise ValueError("its last row is cut off")
    image = BmpImagePlugin.BmpImageFile(io.BytesIO(encoded))
    if encoded[_BMP_BIT_DEPTH] == 8:
        start, n_colours = container.bmp_palette(encoded)
        row_bytes = (image.width + 3) // 4 * 4
        rows = np.frombuffer(encoded, np.uint8, row_bytes * image.height, start)
        indices = rows.reshape(image.height, row_bytes)[:, : image.width]
        if int(indices.max()) >= n_colours:
            raise ValueError("its palette lacks a colour")
    return _on_white(_loaded(image))


_DECODERS: dict[str, Callable[[bytes], Levels]] = {
    "JPEG": _decode_jpeg,
    "PNG": _decode_png,
    "GIF": _decode_gif,
    "WEBP": _decode_webp,
    "BMP": _decode_bmp,
}


def _loaded(image: ImageFile.ImageFile) -> np.ndarray:
    """uint8, shape (h, w, 1, 3 or 4), palettes and transparent colours put in."""
    image.load()
    has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    wanted = "RGBA" if has_alpha else "L" if image.mode in ("1", "L") else "RGB"
    levels = np.asarray(image if image.mode == wanted else image.convert(wanted))
    return levels if levels.ndim == 3 else levels[..., None]


def _on_white(levels: np.ndarray) -> Levels:
    """1 to 4 channels, alpha last, to three: exact integers, rounded to the nearest level."""
    if levels.shape[2] in (2, 4):
        full = int(np.iinfo(levels.dtype).max)
        colour = levels[..., :-1]
        if int(levels[..., -1].min()) < full:
            mixed = np.empty(colour.shape, levels.dtype)
            # In strips: the products are wide numbers.
            for top in range(0, len(levels), STRIP_ROWS):
                strip = levels[top : top + STRIP_ROWS].astype(np.uint32)
                alpha = strip[..., -1:]
                product = strip[..., :-1] * alpha + full * (full - alpha)
                # 16 bits fill 32 to the last: (p + full // 2) // full without the carry.
                mixed[top : top + STRIP_ROWS] = product // full + (product % full > full // 2)
            colour = mixed
        levels = colour
    return np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels


def resize(levels: Levels, size_px: int, aspect: str, window: tuple[int, int]) -> np.ndarray:
    """float32 (size_px, size_px, 3) in 0..255; 16 bits go through the window."""
    height, width = levels.shape[:2]
    if aspect == "pad":
        longer = max(height, width)
        # round(side * size_px / longer), at least 1, in integers.
        rows, columns = (
            max((side * 2 * size_px + longer) // (2 * longer), 1) for side in (height, width)
        )
        top, left = (size_px - rows) // 2, (size_px - columns) // 2
        padded = np.full((size_px, size_px, 3), PAD_LEVEL, np.float32)
        inner = _resample(levels, rows, columns, window)
        padded[top : top + rows, left : left + columns] = inner
        return padded
    if aspect == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        levels = levels[top : top + side, left : left + side]
    return _resample(levels, size_px, size_px, window)


def _resample(levels: Levels, height: int, width: int, window: tuple[int, int]) -> np.ndarray:
    """Antialiased and bilinear, in floats: Pillow rounds colour pictures to whole levels."""
    resized = np.empty((height, width, 3), np.float32)
    for channel in range(3):  # one after the other: floats of a large picture are large
        plane = Image.fromarray(_in_window(levels[..., channel], window))
        plane = plane.resize((width, height), Image.Resampling.BILINEAR)
        resized[..., channel] = np.asarray(plane)
    return np.clip(resized, 0.0, 255.0, out=resized)


def _in_window(plane: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """8 bits as they are, 16 bits as `inputs.preprocess.apply_window` has them; float32."""
    pixels = plane.astype(np.float32)
    if plane.dtype == np.uint8:
        return pixels
    low, high = (np.float32(level) for level in window)
    np.clip(pixels, low, high, out=pixels)
    pixels -= low
    pixels *= np.float32(255.0 / (window[1] - window[0]))
    return np.minimum(pixels, np.float32(255.0), out=pixels)
