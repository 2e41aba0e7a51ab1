"""The tags of a TIFF structure, as EXIF data and TIFF files have them.

Read by hand: what is damaged or made to deceive gives fewer tags, never an error or a warning.

Source: TIFF 6.0, section 2; CIPA DC-008 (Exif 2.32), section 4.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EXIF_POINTER, GPS_POINTER, ORIENTATION = 0x8769, 0x8825, 0x0112

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of one value, by the number of its type."""

_MAX_VALUE_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Tags:
    """Raw values by tag number.

    Attributes:
        main: of the first picture.
        exif, gps: of the directories that it points to.
        order: "little" or "big", of the bytes in each number.
    """

    main: Mapping[int, bytes] = field(default_factory=dict)
    exif: Mapping[int, bytes] = field(default_factory=dict)
    gps: Mapping[int, bytes] = field(default_factory=dict)
    order: str = "little"

    def number(self, tag: int) -> int | None:
        """A whole number of the main directory; None where there is none."""
        value = self.main.get(tag)
        return int.from_bytes(value[:4], self.order) if value else None  # type: ignore[arg-type]

    def text(self, tag: int) -> str:
        """A text of the main directory, or ""."""
        return self.main.get(tag, b"").partition(b"\0")[0].decode("utf-8", "replace").strip()


def read_tags(data: bytes) -> Tags:
    """All that can be read of a TIFF structure; empty where it is none."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(data[:4])
    if order is None:
        return Tags()

    def directory(offset: int) -> dict[int, bytes]:
        return _directory(data, offset, order)

    main = directory(_number(data[4:8], order))
    exif = directory(_number(main.get(EXIF_POINTER, b"")[:4], order))
    gps = directory(_number(main.get(GPS_POINTER, b"")[:4], order))
    return Tags(main, exif, gps, order)


def orientation_only(orientation: int) -> bytes:
    """A TIFF structure that says how a picture is turned and nothing else."""
    row = b"\x12\x01\x03\0\x01\0\0\0" + orientation.to_bytes(2, "little") + b"\0\0"
    return b"II*\0\x08\0\0\0\x01\0" + row + b"\0\0\0\0"


def _directory(data: bytes, offset: int, order: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    if offset < 8 or offset + 2 > len(data):
        return found
    n_rows = _number(data[offset : offset + 2], order)
    for start in range(offset + 2, min(offset + 2 + 12 * n_rows, len(data) - 11), 12):
        tag, kind = (_number(data[start + i : start + i + 2], order) for i in (0, 2))
        n_bytes = _SIZES.get(kind, 0) * _number(data[start + 4 : start + 8], order)
        if not 0 < n_bytes <= _MAX_VALUE_BYTES:
            continue
        place = start + 8
        if n_bytes > 4:
            place = _number(data[start + 8 : start + 12], order)
        value = data[place : place + n_bytes]
        if len(value) == n_bytes:
            found.setdefault(tag, value)
    return found


def _number(data: bytes, order: str) -> int:
    return int.from_bytes(data, order)  # type: ignore[arg-type]
