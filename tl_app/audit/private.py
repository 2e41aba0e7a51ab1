"""What a picture file says about people and places besides the picture."""

from __future__ import annotations

import re
from itertools import islice

from tl_app.audit.parts import Part, take_apart
from tl_app.audit.tiff_tags import Tags, read_tags

PRIVATE: tuple[str, ...] = (
    "GPS position",
    "name of a place",
    "serial number",
    "name of a person",
    "maker's notes",
)
"""What may be found, for people; a picture's facts are bits in this order."""

_GPS, _PLACE, _SERIAL, _NAME, _MAKER = range(len(PRIVATE))

_GPS_TAGS = (2, 4, 20, 22)  # latitude and longitude, here and of the destination
_SERIAL_TAGS = (0xA431, 0xA435)  # of the body and the lens
_OWNER_TAG, _MAKER_NOTE_TAG = 0xA430, 0x927C
_NAME_TAGS = (0x013B, 0x8298, 0x9C9D)  # artist, copyright, Windows' author
_DNG_SERIAL_TAG = 0xC62F
_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG = 700, 33723, 34377
_MAKE_TAG, _MODEL_TAG = 0x010F, 0x0110

_XMP_WORDS: dict[int, re.Pattern[bytes]] = {
    _GPS: re.compile(rb"exif:GPS(Dest)?L(at|ong)itude"),
    _PLACE: re.compile(
        rb"photoshop:(City|State|Country)|Iptc4xmp(Core:Location|Core:CountryCode|Ext:Location)"
    ),
    _SERIAL: re.compile(rb"(aux|exifEX):(Body|Lens)?SerialNumber"),
    _NAME: re.compile(
        rb"dc:(creator|rights)|tiff:(Artist|Copyright)|CreatorContactInfo|xmpRights:Owner"
        rb"|photoshop:(Credit|CaptionWriter)|aux:OwnerName"
        rb"|(exifEX:Camera|plus:Licensor|plus:CopyrightOwner)\w*Name|Ext:PersonInImage|mwg-rs:Name"
    ),
}
_IPTC_PLACES, _IPTC_NAMES = (26, 27, 90, 92, 95, 100, 101), (80, 85, 110, 116, 118, 122)
_IPTC_RECORD = re.compile(rb"\x1c\x02(.)", re.DOTALL)

_HEIF_EXIF = re.compile(rb"(?:Exif\0\0(?:.{4})?|\0{4})(?=II\*\0|MM\0\*)", re.DOTALL)
"""What stands before EXIF data in HEIF: an offset of four bytes, zero or over the word. The word
alone is not enough: it also names the kind of an item, in the table of contents."""

_MOST_EXIF_BLOCKS = 16
"""Of a HEIF file; it may hold several pictures."""

_NAME_KEYWORDS = frozenset({b"author", b"artist", b"copyright", b"creator", b"owner"})


def private_facts(data: bytes, image_format: str) -> tuple[int, str]:
    """What a file says, as bits of `PRIVATE`, and the camera's make and model ("" if unknown).

    Args:
        data: the file.
        image_format: as in `Example`.
    """
    parts = take_apart(data, image_format)
    if parts is None:
        return _facts_among_pixels(data, image_format)
    bits, camera = 0, ""
    for part in parts:
        found, named = _facts_of(part)
        bits |= found
        camera = camera or named
    return bits, camera


def names_of(bits: int) -> list[str]:
    """The words for some bits."""
    return [name for i, name in enumerate(PRIVATE) if bits >> i & 1]


def _facts_of(part: Part) -> tuple[int, str]:
    if part.kind == "exif":
        tags = read_tags(part.content)
        return _tag_bits(tags), camera_of(tags)
    if part.kind == "xmp":
        return _xmp_bits(part.content), ""
    if part.kind == "iptc":
        return _iptc_bits(part.content), ""
    if part.kind == "note" and part.content.partition(b"\0")[0].strip().lower() in _NAME_KEYWORDS:
        return 1 << _NAME, ""
    return 0, ""


def _facts_among_pixels(data: bytes, image_format: str) -> tuple[int, str]:
    """TIFF is tags throughout; HEIF holds EXIF data and XMP somewhere."""
    if image_format == "HEIF":
        bits, camera = _xmp_bits(data), ""
        for start in islice(_HEIF_EXIF.finditer(data), _MOST_EXIF_BLOCKS):
            tags = read_tags(data[start.end() :])
            bits |= _tag_bits(tags)
            camera = camera or camera_of(tags)
        return bits, camera
    tags = read_tags(data)
    bits = _tag_bits(tags) | _iptc_bits(tags.main.get(_IPTC_TAG, b""))
    bits |= _iptc_bits(tags.main.get(_PHOTOSHOP_TAG, b""))
    bits |= _xmp_bits(tags.main.get(_XMP_TAG, b""))
    return bits, camera_of(tags)


def camera_of(tags: Tags) -> str:
    """Make and model, or ""."""
    return f"{tags.text(_MAKE_TAG)} {tags.text(_MODEL_TAG)}".strip()


def _tag_bits(tags: Tags) -> int:
    said = {
        _GPS: any(_holds(tags.gps.get(tag)) for tag in _GPS_TAGS),
        _SERIAL: any(_holds(tags.exif.get(tag)) for tag in _SERIAL_TAGS)
        or _holds(tags.main.get(_DNG_SERIAL_TAG)),
        _NAME: any(_holds(tags.main.get(tag)) for tag in _NAME_TAGS)
        or _holds(tags.exif.get(_OWNER_TAG)),
        _MAKER: _holds(tags.exif.get(_MAKER_NOTE_TAG)),
    }
    return sum(1 << bit for bit, is_said in said.items() if is_said)


def _holds(value: bytes | None) -> bool:
    """Whether a value is more than the blanks that cameras write where nothing is set."""
    return value is not None and bool(value.strip(b"\0 "))


def _xmp_bits(packet: bytes) -> int:
    packet = packet.replace(b"\0", b"")  # of UTF-16 and UTF-32, the letters stay
    return sum(1 << bit for bit, words in _XMP_WORDS.items() if words.search(packet))


def _iptc_bits(content: bytes) -> int:
    records = {match[1][0] for match in _IPTC_RECORD.finditer(content)}
    bits = 1 << _PLACE if records.intersection(_IPTC_PLACES) else 0
    return bits | (1 << _NAME if records.intersection(_IPTC_NAMES) else 0)
