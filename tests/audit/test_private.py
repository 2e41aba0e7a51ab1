"""What files say about people and places is found, in every format, and shown to nobody."""

from __future__ import annotations

import io
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image, PngImagePlugin

from tests.audit.makers import dataset_of, example_of, inputs_of, jpeg, photo
from tl_app.audit.metadata import private_metadata
from tl_app.audit.private import names_of, private_facts

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description exif:GPSLatitude="48,8N"
 aux:SerialNumber="123" photoshop:City="Ulm"><dc:creator>Jo</dc:creator></rdf:Description>
</rdf:RDF></x:xmpmeta>"""


def tags(*, gps: bool = False, serial: bool = False, name: bool = False) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model 1"
    if gps:
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 3.0, 0.0)})
    if serial:
        exif.get_ifd(0x8769)[0xA431] = "SN-0815"
    if name:
        exif[0x013B] = "Somebody"
    return exif


def saved(image_format: str, **more) -> bytes:
    stream = io.BytesIO()
    photo(1, (40, 30)).save(stream, image_format, **more)
    return stream.getvalue()


def found(data: bytes, image_format: str) -> list[str]:
    return names_of(private_facts(data, image_format)[0])


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"gps": True}, ["GPS position"]),
        ({"serial": True}, ["serial number"]),
        ({"name": True}, ["name of a person"]),
        ({}, []),
    ],
)
def test_exif(image_format, what, words):
    data = saved(image_format, exif=tags(**what))
    assert found(data, image_format) == words
    assert private_facts(data, image_format)[1] == "Maker Model 1"


@pytest.mark.parametrize("before", [b"Exif\0\0", b"", b"Exif\0\0\0\0\0\0"])
def test_exif_of_heic_is_found_behind_its_table_of_contents(before):
    said = tags(gps=True, serial=True)
    plain = heic(b"Exif\0\0" + said.tobytes().removeprefix(b"Exif\0\0"))
    tiff = plain.index(b"MM\0*") if b"MM\0*" in plain else plain.index(b"II*\0")
    assert plain.index(b"Exif\0\0") < tiff - 10  # the table comes first
    start = tiff - len(b"\0\0\0\6Exif\0\0")
    data = plain[:start] + len(before).to_bytes(4, "big") + before + plain[tiff:]
    assert found(data, "HEIF") == ["GPS position", "serial number"]
    assert private_facts(data, "HEIF")[1] == "Maker Model 1"


def heic(exif: bytes) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(photo(1, (64, 64))).save(stream, exif=exif)
    return stream.getvalue()


def test_tags_of_a_tiff_are_its_own():
    data = saved("TIFF", exif=tags(name=True))
    assert private_facts(data, "TIFF")[1] == "Maker Model 1"
    assert "name of a person" in found(data, "TIFF")


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_xmp(image_format):
    assert found(saved(image_format, xmp=XMP), image_format) == [
        "GPS position",
        "name of a place",
        "serial number",
        "name of a person",
    ]


def test_packed_xmp_and_authors_in_png():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    assert "GPS position" in found(saved("PNG", pnginfo=info), "PNG")
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Somebody", zip=True)
    assert found(saved("PNG", pnginfo=info), "PNG") == ["name of a person"]


def test_iptc_in_jpeg():
    record = b"\x1c\x02\x50\0\x08Somebody\x1c\x02\x5a\0\x03Ulm"
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record
    plain = jpeg(photo(1))
    segment = b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block
    data = plain[:2] + segment + plain[2:]
    assert found(data, "JPEG") == ["name of a place", "name of a person"]


def test_blanks_that_cameras_write_are_no_names():
    exif = tags()
    exif[0x8298] = "     "
    assert found(saved("JPEG", exif=exif), "JPEG") == []


def test_programs_computers_and_remarks_are_no_persons():
    assert found(saved("JPEG", comment=b"CREATOR: gd-jpeg v1.0 (using IJG JPEG v62)"), "JPEG") == []
    exif = tags()
    exif[0x013C] = "My computer"
    assert found(saved("JPEG", exif=exif), "JPEG") == []
    info = PngImagePlugin.PngInfo()
    info.add_text("Creator Tool", "a program")
    assert found(saved("PNG", pnginfo=info), "PNG") == []


@pytest.mark.parametrize("word", ["tiff:Artist", "Iptc4xmpCore:CreatorContactInfo"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_names_in_xmp_by_other_words_and_in_wide_letters(word, encoding):
    packet = f"<rdf:Description><{word}>Jo</{word}></rdf:Description>".encode(encoding)
    assert found(saved("WEBP", xmp=packet), "WEBP") == ["name of a person"]


def test_a_finding_counts_and_lists_and_tells_no_secret(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(jpeg(photo(1), exif=tags(gps=True, serial=True)))
    (tmp_path / "b.jpg").write_bytes(jpeg(photo(2)))
    examples = [example_of(tmp_path, name, 0) for name in ("a.jpg", "b.jpg")]
    [finding] = private_metadata(inputs_of(dataset_of(tmp_path, examples), tmp_path))
    assert finding.severity == "warn"
    assert "GPS position 1, serial number 1" in finding.title
    assert [case.paths for case in finding.evidence] == [("a.jpg",)]
    assert "0815" not in str(finding)
