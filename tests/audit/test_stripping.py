"""Cleaned copies: nothing private left, not a pixel changed, nothing written over."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from tests.audit.makers import dataset_of, example_of, jpeg, photo
from tests.audit.test_private import XMP, tags
from tl_app.audit.private import private_facts
from tl_app.audit.stripping import CannotStrip, strip, strip_pictures
from tl_app.errors import ConfigError
from tl_app.progress import SilentBar
from tl_app.records import Example

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def full(image_format: str, orientation: int = 6, **more) -> bytes:
    """A file with a position, a name, a colour profile and an orientation."""
    exif = tags(gps=True, serial=True, name=True)
    exif[0x0112] = orientation
    stream = io.BytesIO()
    photo(1, (40, 30)).save(stream, image_format, exif=exif, icc_profile=PROFILE, **more)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("image_format", "more"),
    [
        ("JPEG", {"xmp": XMP, "comment": b"by Jo"}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {"xmp": XMP, "quality": 80}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_metadata_go_and_the_picture_stays(image_format, more):
    before = full(image_format, **more)
    after = strip(before, image_format)
    assert len(after) < len(before)
    assert private_facts(after, image_format) == (0, "")
    old, new = Image.open(io.BytesIO(before)), Image.open(io.BytesIO(after))
    np.testing.assert_array_equal(np.asarray(old), np.asarray(new))
    assert new.info["icc_profile"] == PROFILE
    assert dict(new.getexif()) == {0x0112: 6}
    np.testing.assert_array_equal(
        np.asarray(ImageOps.exif_transpose(old)), np.asarray(ImageOps.exif_transpose(new))
    )
    assert "xmp" not in new.info
    assert strip(after, image_format) == after


def test_an_upright_picture_needs_no_exif():
    assert not dict(Image.open(io.BytesIO(strip(full("JPEG", 1), "JPEG"))).getexif())


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF"])
def test_what_follows_the_end_goes(image_format):
    stream = io.BytesIO()
    photo(1, (40, 30)).save(stream, image_format)
    assert strip(stream.getvalue() + b"a hidden preview", image_format) == stream.getvalue()


def test_animations_keep_their_frames():
    frames = [photo(i, (40, 30)).quantize(16) for i in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], loop=0, comment=b"by Jo")
    after = Image.open(io.BytesIO(strip(stream.getvalue(), "GIF")))
    assert getattr(after, "n_frames", 1) == 3
    assert after.info["loop"] == 0
    assert "comment" not in after.info


@pytest.mark.parametrize("junk", [b"\0", b"junk", b"\xff\0", b"\xff\xff"])
def test_junk_between_segments_hides_nothing(junk):
    before = full("JPEG", 1)
    gps = before.index(b"\xff\xe1")
    after = strip(before[:gps] + junk + before[gps:], "JPEG")
    assert after == strip(before, "JPEG")
    assert not dict(Image.open(io.BytesIO(after)).getexif())


@pytest.mark.parametrize("n_bytes", [b"\0\0", b"\xff\xff"])
def test_what_cannot_be_parsed_is_not_handed_on(n_bytes):
    before = jpeg(photo(1, (40, 30)))
    tables = before.index(b"\xff\xdb")
    with pytest.raises(CannotStrip, match="damaged"):
        strip(before[:tables] + b"\xff\xe5" + n_bytes + before[tables:], "JPEG")


def test_an_empty_webp_header_is_set_aside(tmp_path):
    body = full("WEBP")[8:] + b"VP8X\0\0\0\0"
    (tmp_path / "photos").mkdir()
    file = tmp_path / "photos/a.webp"
    file.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    example = replace(example_of_photo(tmp_path), path="a.webp", image_format="WEBP")
    done = strip_pictures(tmp_path / "photos", [example], tmp_path / "clean", SilentBar())
    assert "damaged" in done.left_out["a.webp"]


def example_of_photo(folder: Path) -> Example:
    (folder / "plain.jpg").write_bytes(jpeg(photo(1)))
    return example_of(folder, "plain.jpg", 0)


@pytest.mark.parametrize("trace", [b"Exif\0\0II*\0", b"http://ns.adobe.com/xap/1.0/\0<x/>"])
def test_a_copy_is_searched_as_others_would(trace):
    before = jpeg(photo(1, (40, 30)))
    header = b"JFIF\0\1\1\0\0\1\0\1\0\0" + trace  # in a segment that is part of the picture
    segment = b"\xff\xe0" + (len(header) + 2).to_bytes(2, "big") + header
    end = before.index(b"\xff\xdb")
    with pytest.raises(CannotStrip, match="damaged"):
        strip(before[:2] + segment + before[end:], "JPEG")


def test_tiff_is_not_cleaned():
    stream = io.BytesIO()
    photo(1).save(stream, "TIFF", exif=tags(gps=True))
    with pytest.raises(CannotStrip, match="TIFF"):
        strip(stream.getvalue(), "TIFF")


@pytest.fixture
def pictures(tmp_path: Path):
    root = tmp_path / "photos"
    (root / "cat").mkdir(parents=True)
    (root / "cat/a.jpg").write_bytes(full("JPEG"))
    photo(2).save(root / "cat/b.tif")
    return dataset_of(
        root,
        [example_of(root, "cat/a.jpg", 0), example_of(root, "cat/b.tif", 0)],
    )


def test_copies_lie_at_the_same_places_and_originals_stay(pictures, tmp_path: Path):
    root = Path(pictures.root)
    before = (root / "cat/a.jpg").read_bytes()
    done = strip_pictures(root, pictures.examples, tmp_path / "clean", SilentBar())
    assert done.written == ("cat/a.jpg",)
    assert list(done.left_out) == ["cat/b.tif"]
    assert private_facts((tmp_path / "clean/cat/a.jpg").read_bytes(), "JPEG")[0] == 0
    assert (root / "cat/a.jpg").read_bytes() == before


@pytest.mark.parametrize("place", [".", "photos", "photos/clean", "photos/cat"])
def test_no_copy_is_written_among_the_originals(pictures, tmp_path: Path, place):
    with pytest.raises(ConfigError, match="apart"):
        strip_pictures(Path(pictures.root), pictures.examples, tmp_path / place, SilentBar())
    (tmp_path / "link").symlink_to(pictures.root)
    with pytest.raises(ConfigError, match="apart"):
        strip_pictures(Path(pictures.root), pictures.examples, tmp_path / "link", SilentBar())


def test_nothing_is_written_over(pictures, tmp_path: Path):
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something already"):
        strip_pictures(Path(pictures.root), pictures.examples, tmp_path / "clean", SilentBar())
    assert (tmp_path / "clean/mine.txt").read_text() == "mine"


def test_names_that_are_one_on_the_disk_stop_no_other(tmp_path: Path):
    names = ["cat/a.jpg", "cat/b.jpg"]
    root = tmp_path / "photos"
    (root / "cat").mkdir(parents=True)
    for name in names:
        (root / name).write_bytes(jpeg(photo(1)))
    first, last = (example_of(root, name, 0) for name in names)
    second = replace(first, path="cat/./a.jpg")
    done = strip_pictures(root, [first, second, last], tmp_path / "clean", SilentBar())
    assert done.written == (first.path, last.path)
    assert "are one" in done.left_out[second.path]


def test_a_path_that_leads_out_is_left_out(tmp_path: Path):
    root = tmp_path / "photos"
    root.mkdir()
    (tmp_path / "out.jpg").write_bytes(jpeg(photo(1)))
    examples = [example_of(root, "../out.jpg", 0)]
    done = strip_pictures(root, examples, tmp_path / "clean/deep", SilentBar())
    assert not done.written
    assert not (tmp_path / "clean/out.jpg").exists()
