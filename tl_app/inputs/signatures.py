"""What kind of file it is by its first bytes; names of files say nothing."""

from __future__ import annotations

SIGNATURE_BYTES = 64

_KNOWN_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\x00\x00\x01\x00", "an icon file"),
    (b"\x1aE\xdf\xa3", "a video"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def picture_format(start: bytes) -> str | None:
    """ "JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF" or "HEIF" by the first bytes, else None."""
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith(b"BM"):
        return "BMP"
    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS and b"avif" not in start:
        return "HEIF"
    return None


def describe_other(start: bytes) -> tuple[str, str]:
    """The kind and reason for a file that is none of the formats read here."""
    advice = "use JPEG, PNG, GIF, BMP, WebP, TIFF or HEIC"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "not_an_image", "It is a web page (HTML), not a picture; download the picture again."
    if text.startswith((b"<svg", b"<?xml")):
        return "unsupported", f"It is SVG or XML text, not a picture of pixels; {advice}."
    if start[4:8] == b"ftyp":
        name = "an AVIF picture" if b"avif" in start or b"avis" in start else "a video"
        return "unsupported", f"It is {name}, which is not read here; {advice}."
    if start.startswith(b"RIFF"):
        return "unsupported", f"It is a RIFF file without a WebP picture; {advice}."
    for signature, name in _KNOWN_OTHERS:
        if start.startswith(signature):
            return "unsupported", f"It is {name}, which is not read here; {advice}."
    if not any(start):
        return "not_an_image", "Its first bytes are all zero: a copy that failed; copy it again."
    return "not_an_image", f"It is not a picture of a known format; {advice}."
