"""A picture file taken apart: what shows, and what is said about it.

The parts of a file, one after the other, are the file, byte for byte; so leaving some out is all
that it takes to clean it, and no pixel is coded anew.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["picture", "exif", "xmp", "iptc", "note", "comment", "other", "unparsed"]
"""`picture` is all that decides how the picture looks, colour profiles too; `note` is a text with a
keyword before a zero byte, `comment` one without; `other` are thumbnails, previews, maker's
segments, and what is not shown; `unparsed` is what cannot be understood of a damaged file."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file.

    Attributes:
        kind: what they are.
        data: the bytes.
        content: what they say, without their envelope; empty for `picture` and `unparsed`.
    """

    kind: Kind
    data: bytes
    content: bytes = b""


def take_apart(data: bytes, image_format: str) -> list[Part] | None:
    """The parts of a file; None for formats whose metadata lie among the pixels (TIFF, HEIF).

    Packed contents of PNG are unpacked up to 16 MiB a file; what would be more is left out. Notes
    stay packed.
    """
    reader = _READERS.get(image_format)
    return None if reader is None else list(reader(data))


# --- JPEG ------------------------------------------------------------------------------------

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_MARKER_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Within a scan: neither a stuffed zero, nor a restart, nor a filling byte."""

_STANDS_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"


def _jpeg_parts(data: bytes) -> Iterator[Part]:
    position = 0
    while (found := _MARKER.search(data, position)) is not None:
        if found.start() > position:  # filling, or junk, which decoders skip
            skipped = data[position : found.start()]
            yield Part("other", skipped, skipped)
            position = found.start()
        marker = data[position + 1]
        if marker == 0xD9:  # the end; what follows is not shown
            yield Part("picture", data[position : position + 2])
            if position + 2 < len(data):
                yield Part("other", data[position + 2 :], data[position + 2 :])
            return
        end = position + 2
        if marker not in _STANDS_ALONE:
            n_bytes = int.from_bytes(data[position + 2 : position + 4], "big")
            end = position + 2 + n_bytes
            if n_bytes < 2 or end > len(data):
                break
        if marker == 0xDA:
            after = _MARKER_IN_SCAN.search(data, end)
            end = len(data) if after is None else after.start()
        yield _jpeg_segment(marker, data[position:end])
        position = end
    if position < len(data):
        yield Part("unparsed", data[position:])


def _jpeg_segment(marker: int, segment: bytes) -> Part:
    content = segment[4:]
    if marker == 0xE1:
        if content.startswith(_EXIF):
            return Part("exif", segment, content[len(_EXIF) :])
        for start in (_XMP, _MORE_XMP):
            if content.startswith(start):
                return Part("xmp", segment, content[len(start) :])
        return Part("other", segment, content)
    if marker == 0xED:
        return Part("iptc", segment, content)
    if marker == 0xFE:
        return Part("comment", segment, content)
    # APP14 says how colours are coded, the profile of APP2 how they look.
    shows = marker == 0xEE or (marker == 0xE0 and content.startswith(b"JFIF\0"))
    shows = shows or (marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"))
    if 0xE0 <= marker <= 0xEF and not shows:
        return Part("other", segment, content)
    return Part("picture", segment)


def jpeg_exif(tiff: bytes) -> bytes:
    """A segment of EXIF data."""
    content = _EXIF + tiff
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content


# --- PNG -------------------------------------------------------------------------------------

_PNG_SHOWS = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP"}
    | {b"sBIT", b"bKGD", b"hIST", b"pHYs", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT"}
)
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_PROFILE_KEYWORD = b"Raw profile type "
_MAX_UNPACKED_BYTES = 2**24
"""Of all texts of a file together, so that many small chunks do not fill the memory."""


def _png_parts(data: bytes) -> Iterator[Part]:
    yield Part("picture", data[:8])
    position, room = 8, _MAX_UNPACKED_BYTES
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            break
        name, content = data[position + 4 : position + 8], data[position + 8 : end - 4]
        part, n_unpacked = _png_chunk(name, data[position:end], content, room)
        yield part
        room -= n_unpacked
        position = end
        if name == b"IEND":
            if position < len(data):
                yield Part("other", data[position:], data[position:])
            return
    if position < len(data):
        yield Part("unparsed", data[position:])


def _png_chunk(name: bytes, chunk: bytes, content: bytes, room: int) -> tuple[Part, int]:
    """The part, and the number of bytes that were unpacked, at most `room`."""
    if name in _PNG_SHOWS:
        return Part("picture", chunk), 0
    if name == b"eXIf":
        return Part("exif", chunk, content.removeprefix(_EXIF)), 0
    if name not in (b"tEXt", b"zTXt", b"iTXt"):
        return Part("other", chunk, content), 0
    keyword, text, is_packed = _png_text(name, content)
    is_profile = keyword.startswith(_PROFILE_KEYWORD)
    if keyword != _XMP_KEYWORD and not is_profile:
        return Part("note", chunk, keyword + b"\0"), 0
    if is_packed:
        text = _unpacked(text, room)
    part = _png_profile(keyword, chunk, text) if is_profile else Part("xmp", chunk, text)
    return part, len(text) if is_packed else 0


def _png_profile(keyword: bytes, chunk: bytes, text: bytes) -> Part:
    """Metadata in hexadecimal, as ImageMagick writes them."""
    raw = re.sub(rb"[^0-9a-fA-F]", b"", text.split(b"\n", 3)[-1])
    profile = bytes.fromhex(raw[: len(raw) // 2 * 2].decode())
    kind = keyword.rpartition(b" ")[2].lower()
    if kind in (b"exif", b"app1"):
        return Part("exif", chunk, profile.removeprefix(_EXIF))
    if kind in (b"iptc", b"8bim"):
        return Part("iptc", chunk, profile)
    return Part("xmp" if kind == b"xmp" else "other", chunk, profile)


def _png_text(name: bytes, content: bytes) -> tuple[bytes, bytes, bool]:
    """Keyword, text, and whether the text is packed."""
    keyword, _, rest = content.partition(b"\0")
    if name == b"iTXt":
        return keyword, rest[2:].partition(b"\0")[2].partition(b"\0")[2], rest[:1] == b"\1"
    return (keyword, rest[1:], True) if name == b"zTXt" else (keyword, rest, False)


def _unpacked(packed: bytes, room: int) -> bytes:
    if not room:  # to zlib, zero is no limit
        return b""
    try:
        return zlib.decompressobj().decompress(packed, room)
    except zlib.error:
        return b""


def png_exif(tiff: bytes) -> bytes:
    """A chunk of EXIF data."""
    body = b"eXIf" + tiff
    return len(tiff).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


# --- WebP ------------------------------------------------------------------------------------

_WEBP_SHOWS = frozenset(
    {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}  # in the RIFF container
)

_VP8X_BYTES = 10
"""Flags, and the size of the canvas."""


def _webp_parts(data: bytes) -> Iterator[Part]:
    yield Part("picture", data[:12])
    position = 12
    end_of_all = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    while position + 8 <= end_of_all:
        n_bytes = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + n_bytes + (n_bytes & 1)
        if end > len(data):
            break
        name, content = data[position : position + 4], data[position + 8 : position + 8 + n_bytes]
        kind: Kind = "picture" if name in _WEBP_SHOWS else "other"
        if name == b"VP8X" and n_bytes < _VP8X_BYTES:
            break
        if name == b"EXIF":
            kind, content = "exif", content.removeprefix(_EXIF)
        elif name == b"XMP ":
            kind = "xmp"
        yield Part(kind, data[position:end], b"" if kind == "picture" else content)
        position = end
    if position < len(data):
        is_over = position >= end_of_all
        rest = data[position:]
        yield Part("other", rest, rest) if is_over else Part("unparsed", rest)


_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04


def webp_joined(parts: list[bytes], *, has_exif: bool) -> bytes:
    """A WebP file of its header and chunks, whose sizes and flags are set anew."""
    chunks = [
        chunk[:8]
        + bytes([chunk[8] & ~(_EXIF_FLAG | _XMP_FLAG) | (_EXIF_FLAG if has_exif else 0)])
        + chunk[9:]
        if chunk.startswith(b"VP8X")
        else chunk
        for chunk in parts[1:]
    ]
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def webp_exif(tiff: bytes) -> bytes:
    """A chunk of EXIF data."""
    return b"EXIF" + len(tiff).to_bytes(4, "little") + tiff + b"\0" * (len(tiff) & 1)


# --- GIF -------------------------------------------------------------------------------------


def _gif_parts(data: bytes) -> Iterator[Part]:
    if len(data) < 13:
        yield Part("picture", data)
        return
    position = 13 + _gif_table_bytes(data[10])
    yield Part("picture", data[:position])
    while position < len(data):
        start, kind, content = position, data[position], b""
        part: Kind = "picture"
        if kind == 0x3B:
            yield Part("picture", data[position : position + 1])
            if position + 1 < len(data):
                yield Part("other", data[position + 1 :], data[position + 1 :])
            return
        if kind == 0x21 and position + 2 < len(data):
            label = data[position + 1]
            position, content = _gif_blocks(data, position + 2)
            if label in (0xFE, 0x01):
                part = "comment"
            elif label == 0xFF:
                is_xmp = content.startswith(b"XMP Data")
                is_shown = content.startswith((b"NETSCAPE", b"ANIMEXTS", b"ICCRGBG1"))
                part = "xmp" if is_xmp else "picture" if is_shown else "other"
                if is_xmp:  # written as it is: its letters pass for the sizes of blocks
                    content = data[start:position]
        elif kind == 0x2C and position + 10 < len(data):
            first = position + 10 + _gif_table_bytes(data[position + 9])
            position, _ = _gif_blocks(data, first + 1)
        else:
            break
        yield Part(part, data[start:position], b"" if part == "picture" else content)
    if position < len(data):
        yield Part("unparsed", data[position:])


def _gif_table_bytes(packed: int) -> int:
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0


def _gif_blocks(data: bytes, position: int) -> tuple[int, bytes]:
    """Where the blocks end, and what is in them."""
    content = []
    while position < len(data) and data[position]:
        content.append(data[position + 1 : position + 1 + data[position]])
        position += data[position] + 1
    return min(position + 1, len(data)), b"".join(content)


_READERS: dict[str, Callable[[bytes], Iterator[Part]]] = {
    "JPEG": _jpeg_parts,
    "PNG": _png_parts,
    "WEBP": _webp_parts,
    "GIF": _gif_parts,
}
