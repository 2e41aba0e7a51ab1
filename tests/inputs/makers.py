"""Encoders for kinds of files that Pillow does not write, and the decoders under test."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from tl_app.inputs.decode import decode_oriented

COLOUR_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def decode(encoded: bytes, max_pixels: int | None = None) -> tuple[np.ndarray, int]:
    """Levels and bits, by the graph."""
    levels, bits, _ = decode_oriented(tf.constant(encoded), max_pixels)
    assert levels.dtype == tf.uint16
    return levels.numpy(), int(bits)


def orientation_of(encoded: bytes) -> int:
    return int(decode_oriented(tf.constant(encoded))[2])


def noise(height: int, width: int, channels: int = 3, *, seed: int = 0) -> np.ndarray:
    """uint8, shape (height, width, channels)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    """A picture like a photograph: slow gradients, and a darker disc off the middle."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    disc = (y - 0.3) ** 2 + (x - 0.6) ** 2 < 0.05
    layers = [200 * x + 20, 200 * y + 30, 100 * (x + y) + 10]
    return np.stack([np.where(disc, 0.4, 1.0) * layer for layer in layers], -1).astype(np.uint8)


def save(picture: np.ndarray | Image.Image, image_format: str, **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def opened(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded))


def on_white(rgba: np.ndarray, full: int = 255) -> np.ndarray:
    """Composite in exact rational arithmetic, rounded half up."""
    colour, alpha = rgba[..., :3].astype(object), rgba[..., 3:].astype(object)
    doubled = 2 * (colour * alpha + full * (full - alpha)) + full
    return (doubled // (2 * full)).astype(np.uint16)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(
    samples: np.ndarray,
    *,
    colour_type: int,
    bit_depth: int = 8,
    palette: bytes = b"",
    transparency: bytes | None = None,
    extra: Sequence[tuple[bytes, bytes]] = (),
    interlaced: bool = False,
) -> bytes:
    """A PNG of any kind. `samples`: integers, shape (h, w, channels of the colour type)."""
    height, width, _ = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
        passes += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for top, left, step_y, step_x in passes:
        part = samples[top::step_y, left::step_x]
        if part.size:
            rows += b"".join(b"\0" + _png_row(row, bit_depth) for row in part)
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *extra]
    if palette:
        chunks.append((b"PLTE", palette))
    if transparency is not None:
        chunks.append((b"tRNS", transparency))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def _png_row(row: np.ndarray, bit_depth: int) -> bytes:
    if bit_depth == 16:
        return row.astype(">u2").tobytes()
    if bit_depth == 8:
        return row.astype(np.uint8).tobytes()
    shifts = np.arange(bit_depth - 1, -1, -1)
    return np.packbits((row.reshape(-1, 1) >> shifts) & 1).tobytes()


def bmp(
    body: bytes,
    width: int,
    height: int,
    bit_depth: int,
    *,
    compression: int = 0,
    tables: bytes = b"",
) -> bytes:
    """A BMP with the 40-byte header; `tables` are masks or the palette."""
    offset = 14 + 40 + len(tables)
    header = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bit_depth, compression, len(body), 0, 0, 0, 0
    )
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + tables + body


def tiff(
    levels: np.ndarray,
    *,
    photometric: int,
    orientation: int = 1,
    order: Literal["<", ">"] = "<",
    extra: Sequence[tuple[int, int]] = (),
) -> bytes:
    """An uncompressed TIFF of uint8 or uint16 levels, shape (h, w, channels).

    `extra` holds further tags with their values of 32 bits.
    """
    height, width, channels = levels.shape
    bits = 8 * levels.dtype.itemsize
    body = levels.astype(levels.dtype.newbyteorder(order)).tobytes()
    depths = struct.pack(order + "H" * channels, *[bits] * channels)
    tags: list[tuple[int, int, int, bytes]] = [
        (256, 4, 1, struct.pack(order + "I", width)),
        (257, 4, 1, struct.pack(order + "I", height)),
        (258, 3, channels, depths),
        (259, 3, 1, struct.pack(order + "HH", 1, 0)),
        (262, 3, 1, struct.pack(order + "HH", photometric, 0)),
        (273, 4, 1, b"PIXL"),
        (274, 3, 1, struct.pack(order + "HH", orientation, 0)),
        (277, 3, 1, struct.pack(order + "HH", channels, 0)),
        (278, 4, 1, struct.pack(order + "I", height)),
        (279, 4, 1, struct.pack(order + "I", len(body))),
    ]
    if channels == 4:
        tags.append((338, 3, 1, struct.pack(order + "HH", 2, 0)))
    tags += [(tag, 4, 1, struct.pack(order + "I", value)) for tag, value in extra]
    tags.sort()
    after = 8 + 2 + 12 * len(tags) + 4
    pixels_at = after + len(depths)
    directory = struct.pack(order + "H", len(tags))
    for tag, kind, count, value in tags:
        if value == b"PIXL":
            value = struct.pack(order + "I", pixels_at)
        if len(value) > 4:
            value = struct.pack(order + "I", after)
        directory += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return start + directory + b"\0\0\0\0" + depths + body


def exif(
    orientation: int,
    *,
    order: str = "<",
    tag: int = 0x0112,
    kind: int = 3,
    count: int = 1,
    before: int = 0,
    offset: int = 8,
) -> bytes:
    """The body of an EXIF segment with `before` other rows ahead of the orientation."""
    number = "H" if kind == 3 else "I"
    value = struct.pack(order + number, orientation).ljust(4, b"\0")
    rows = [struct.pack(order + "HHI", 1 + i, 4, 1) + b"\1\0\0\0" for i in range(before)]
    rows.append(struct.pack(order + "HHI", tag, kind, count) + value)
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, offset) + b"\0" * (offset - 8)
    directory = struct.pack(order + "H", len(rows)) + b"".join(rows) + b"\0\0\0\0"
    return b"Exif\0\0" + head + directory


def with_segment(jpeg: bytes, body: bytes, marker: int = 0xE1, *, fill: int = 0) -> bytes:
    """Put a segment behind the start mark of a JPEG."""
    segment = b"\xff" * fill + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
    return jpeg[:2] + segment + jpeg[2:]


def gif(
    indices: np.ndarray,
    palette: np.ndarray,
    *,
    transparent: int | None = None,
    canvas: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
    local: bool = False,
    comment: bytes = b"",
) -> bytes:
    """A GIF of one frame; `palette` is uint8, shape (2^k, 3), k up to 7; codes uncompressed."""
    height, width = indices.shape
    canvas_height, canvas_width = canvas or (height, width)
    table, k = palette.tobytes(), int(np.log2(len(palette)))
    flags = 0x80 | (k - 1)
    data = b"GIF89a" + struct.pack(
        "<HHBBB", canvas_width, canvas_height, 0 if local else flags, 0, 0
    )
    data += b"" if local else table
    if comment:
        data += b"\x21\xfe" + bytes([len(comment)]) + comment + b"\0"
    if transparent is not None:
        data += b"\x21\xf9\x04" + bytes([1, 0, 0, transparent]) + b"\0"
    data += b"\x2c" + struct.pack("<HHHHB", at[1], at[0], width, height, flags if local else 0)
    data += table if local else b""
    minimum = max(k, 2)
    clear, end, size = 1 << minimum, (1 << minimum) + 1, minimum + 1
    codes = []
    for position, index in enumerate(indices.ravel()):
        if position % (clear - 2) == 0:  # a fresh start keeps the code size as it is
            codes.append(clear)
        codes.append(int(index))
    bits = np.array([(c >> b) & 1 for c in [*codes, end] for b in range(size)], np.uint8)
    packed = np.packbits(bits, bitorder="little").tobytes()
    data += bytes([minimum])
    for start in range(0, len(packed), 255):
        block = packed[start : start + 255]
        data += bytes([len(block)]) + block
    return data + b"\0;"
