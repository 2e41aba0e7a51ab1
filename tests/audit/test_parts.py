"""The parts of a file are the file, whatever is in it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.audit.makers import jpeg, photo
from tl_app.audit.parts import take_apart
from tl_app.audit.tiff_tags import orientation_only, read_tags


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x013B] = "Somebody"
    tags[0x0112] = 6
    return tags


def saved(image_format: str, **more) -> bytes:
    stream = io.BytesIO()
    photo(1, (40, 30)).save(stream, image_format, **more)
    return stream.getvalue()


def notes() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Somebody")
    info.add_text("Comment", "x" * 500, zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<x/>", zip=True)
    return info


FILES = {
    "JPEG": jpeg(photo(1, (40, 30)), exif=exif(), comment=b"hello") + b"after the end",
    "PNG": saved("PNG", pnginfo=notes(), exif=exif()) + b"after the end",
    "WEBP": saved("WEBP", exif=exif(), xmp=b"<x/>"),
    "GIF": saved("GIF", comment=b"hello") + b"after the end",
}


@pytest.mark.parametrize("image_format", FILES)
def test_the_parts_are_the_file_and_all_kinds_are_found(image_format):
    parts = take_apart(FILES[image_format], image_format)
    assert parts is not None
    assert b"".join(part.data for part in parts) == FILES[image_format]
    expected = {
        "JPEG": {"picture", "exif", "comment", "other"},
        "PNG": {"picture", "exif", "note", "xmp", "other"},
        "WEBP": {"picture", "exif", "xmp"},
        "GIF": {"picture", "comment", "other"},
    }
    assert {part.kind for part in parts} == expected[image_format]


@given(
    image_format=st.sampled_from(sorted(FILES)),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_damaged_files_come_apart_and_together_too(image_format, cut, changes):
    data = bytearray(FILES[image_format][: round(cut * len(FILES[image_format]))])
    for place, value in changes:
        if data:
            data[int(place * len(data))] = value
    parts = take_apart(bytes(data), image_format)
    assert parts is not None
    assert b"".join(part.data for part in parts) == data


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b""]))
def test_tags_of_anything_are_read_without_an_error(data, start):
    tags = read_tags(start + data)
    assert all(isinstance(value, bytes) for value in tags.main.values())


def test_texts_of_a_png_are_unpacked_up_to_a_limit_together(monkeypatch):
    monkeypatch.setattr("tl_app.audit.parts._MAX_UNPACKED_BYTES", 1500)
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 10_000, zip=True)  # is removed, whatever it says
    for _ in range(3):
        info.add_itxt("XML:com.adobe.xmp", "y" * 1000, zip=True)
    parts = take_apart(saved("PNG", pnginfo=info), "PNG")
    assert parts is not None
    assert [len(part.content) for part in parts if part.kind == "xmp"] == [1000, 500, 0]
    assert [part.content for part in parts if part.kind == "note"] == [b"Comment\0"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_alone(orientation):
    tags = read_tags(orientation_only(orientation))
    assert tags.number(0x0112) == orientation
    assert len(tags.main) == 1


def test_a_pillow_exif_is_read_in_both_byte_orders():
    for endian in ("<", ">"):
        tags = exif()
        tags.endian = endian
        tags.get_ifd(0x8769)[0xA431] = "SN-1"
        found = read_tags(tags.tobytes().removeprefix(b"Exif\0\0"))
        assert found.text(0x013B) == "Somebody"
        assert found.number(0x0112) == 6
        assert found.exif[0xA431].startswith(b"SN-1")
