"""Files of every kind, good and hostile: what the graph gets, and why others are set aside."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
import struct
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.inputs.makers import (
    bmp,
    decode,
    exif,
    gif,
    noise,
    on_white,
    opened,
    png,
    save,
    smooth,
    tiff,
    with_segment,
)
from tl_app.errors import UnusablePicture
from tl_app.inputs.files import read_encoded
from tl_app.inputs.inspect import inspect_file

MANY = 10_000_000


@pytest.fixture
def place(tmp_path):
    """Writes bytes to a file and gives its path."""

    def write(data: bytes, name: str = "picture.jpg") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def refused(path: Path, *, max_pixels: int = MANY) -> UnusablePicture:
    with pytest.raises(UnusablePicture) as caught:
        inspect_file(path, max_pixels=max_pixels)
    assert len(caught.value.reason) < 400
    assert "\n" not in caught.value.reason
    return caught.value


def levels_of(path: Path) -> tuple[np.ndarray, int]:
    return decode(read_encoded(path, max_pixels=MANY))


# --- what usable files give ------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_usual_files_are_handed_on_as_they_are(place, kind):
    encoded = save(noise(9, 14), kind)
    path = place(encoded, "name says nothing.txt")
    assert read_encoded(path, max_pixels=MANY) == encoded
    found = inspect_file(path, max_pixels=MANY)
    assert (found.width_px, found.height_px, found.bits) == (14, 9, 8)
    assert found.image_format == kind
    assert found.mode == opened(encoded).mode
    assert found.n_bytes == len(encoded)
    assert found.file_hash == hashlib.sha256(encoded).hexdigest()
    assert found.max_level == int(np.asarray(opened(encoded).convert("RGB")).max())


def test_orientation_is_recorded_and_size_is_after_it(place):
    found = inspect_file(
        place(with_segment(save(smooth(16, 24), "JPEG"), exif(6))), max_pixels=MANY
    )
    assert (found.width_px, found.height_px, found.exif_orientation) == (16, 24, 6)


def test_pixel_hash_sees_pixels_shape_and_depth_only(place):
    pixels = noise(6, 8)

    def pixel_hash(data: bytes) -> str:
        return inspect_file(place(data), max_pixels=MANY).pixel_hash

    plain = pixel_hash(save(pixels, "PNG"))
    assert pixel_hash(save(pixels, "BMP")) == plain
    assert pixel_hash(png(pixels, colour_type=2, extra=[(b"tEXt", b"a\0b")])) == plain
    assert pixel_hash(save(pixels.reshape(8, 6, 3), "PNG")) != plain
    assert pixel_hash(png(pixels.astype(np.uint16), colour_type=2, bit_depth=16)) != plain
    changed = pixels.copy()
    changed[5, 7, 2] ^= 1
    assert pixel_hash(save(changed, "PNG")) != plain


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_copies_have_the_pixel_hash_of_the_picture(place, orientation):
    encoded = with_segment(save(smooth(16, 24), "JPEG"), exif(orientation))
    upright = save(ImageOps.exif_transpose(opened(encoded)), "PNG")
    assert (
        inspect_file(place(encoded), max_pixels=MANY).pixel_hash
        == inspect_file(place(upright), max_pixels=MANY).pixel_hash
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_8_bit_tiff_equals_pillow(place, mode, compression):
    image = Image.fromarray(noise(9, 13, 4)).convert(mode)
    encoded = save(image, "TIFF", compression=compression)
    path = place(encoded, "a.tif")
    want = on_white(np.asarray(opened(encoded).convert("RGBA")))
    np.testing.assert_array_equal(levels_of(path)[0], want)
    assert inspect_file(path, max_pixels=MANY).image_format == "TIFF"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation_is_applied_once(place, orientation):
    pixels = smooth(8, 12)
    path = place(tiff(pixels, photometric=2, orientation=orientation))
    turned = save(pixels, "PNG", exif=exif(orientation)[6:])
    want = np.asarray(ImageOps.exif_transpose(opened(turned)))
    np.testing.assert_array_equal(levels_of(path)[0], want)
    assert inspect_file(path, max_pixels=MANY).exif_orientation == orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_tiff_keeps_its_levels(place, order, channels):
    levels = np.random.default_rng(3).integers(0, 65536, (7, 9, channels), dtype=np.uint16)
    path = place(tiff(levels, photometric=2 if channels > 1 else 1, order=order))
    found, bits = levels_of(path)
    assert bits == 16
    want = np.repeat(levels, 3, -1) if channels == 1 else levels
    np.testing.assert_array_equal(found, on_white(want, 65535) if channels == 4 else want)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_16_bit_tiff_keeps_its_levels(place, compression):
    levels = np.random.default_rng(3).integers(0, 65536, (7, 9), dtype=np.uint16)
    path = place(save(Image.fromarray(levels), "TIFF", compression=compression))
    assert levels_of(path)[1] == 16
    np.testing.assert_array_equal(levels_of(path)[0][..., 1], levels)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_planes_one_after_the_other_are_set_aside_and_not_misread(place, channels):
    levels = (noise(6, 5, channels).astype(np.uint16)) * 16
    problem = refused(place(tiff(levels, photometric=2, extra=[(284, 2)])))
    assert problem.kind == "unsupported"
    assert "PNG" in problem.reason


def test_white_is_zero_in_16_bit_tiff(place):
    levels = np.arange(12, dtype=np.uint16).reshape(3, 4, 1) * 5000
    found, _ = levels_of(place(tiff(levels, photometric=0)))
    np.testing.assert_array_equal(found, np.repeat(65535 - levels, 3, -1))


def test_floating_point_tiff_is_set_aside(place):
    image = Image.fromarray(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    problem = refused(place(save(image, "TIFF")))
    assert problem.kind == "unsupported"
    assert "rescale" in problem.reason


def test_rare_bmp_goes_through_pillow(place):
    one_bit = save(Image.fromarray(noise(9, 13)).convert("1"), "BMP")
    found, _ = levels_of(place(one_bit))
    np.testing.assert_array_equal(found, np.asarray(opened(one_bit).convert("RGB")))
    packed = bmp(bytes([0x34, 0x12, 0xFF, 0x7F]), 2, 1, 16)
    found, _ = levels_of(place(packed))
    np.testing.assert_array_equal(found, np.asarray(opened(packed).convert("RGB")))


def test_heic_is_converted_and_turned_once(place):
    heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(smooth(48, 64))
    path = place(b"", "a.heic")
    heif.from_pillow(image).save(path, quality=-1, exif=exif(6))
    found = inspect_file(path, max_pixels=MANY)
    assert found.image_format == "HEIF"
    levels, bits = levels_of(path)
    assert bits == 8
    upright = np.asarray(ImageOps.exif_transpose(heif.HeifImageFile(path)).convert("RGB"))
    np.testing.assert_array_equal(levels, upright)


def test_heic_without_its_package_says_what_to_install(place, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    problem = refused(place(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "a.heic"))
    assert problem.kind == "no_decoder"
    assert "pip install 'tl_app[heic]'" in problem.reason


def test_animations_lose_their_later_frames_and_nothing_else(place):
    frames = [Image.fromarray(noise(30, 40, 4, seed=i)) for i in range(4)]
    for kind in ("GIF", "WEBP"):
        encoded = save(frames[0], kind, save_all=True, append_images=frames[1:])
        short = read_encoded(place(encoded), max_pixels=MANY)
        assert len(short) < len(encoded) / 2
        np.testing.assert_array_equal(decode(short)[0], decode(encoded)[0])
        found = inspect_file(place(encoded), max_pixels=MANY)
        assert found.n_bytes == len(encoded)


@pytest.mark.parametrize("name", ['it\'s "quoted".png', "new\nline.png", "blank .png", "ö 猫.png"])
def test_any_name_is_read(place, name):
    assert inspect_file(place(save(noise(4, 4), "PNG"), name), max_pixels=MANY).width_px == 4


def test_a_name_that_is_not_utf8_is_read(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(name, "wb") as file:
        file.write(save(noise(4, 4), "PNG"))
    assert inspect_file(Path(os.fsdecode(name)), max_pixels=MANY).width_px == 4


def test_many_threads_see_what_one_sees(place):
    paths = [place(save(noise(20 + i, 30, seed=i), "JPEG"), f"{i}.jpg") for i in range(24)]
    alone = [inspect_file(path, max_pixels=MANY) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: inspect_file(path, max_pixels=MANY), paths))
    assert together == alone


# --- what is set aside -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "word"),
    [
        (b"", "empty", "0 bytes"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image", "HTML"),
        (b"\n  <html>", "not_an_image", "HTML"),
        (b"<?xml version='1.0'?><svg/>", "unsupported", "SVG"),
        (b"%PDF-1.7", "unsupported", "PDF"),
        (b"PK\x03\x04" + bytes(40), "unsupported", "ZIP"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "unsupported", "AVIF"),
        (b"\0\0\0\x1cftypisom\0\0\0\0mp42", "unsupported", "video"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "unsupported", "RIFF"),
        (bytes(5000), "not_an_image", "zero"),
        (b"hello", "not_an_image", "known format"),
        (b"\xff\xd8\xff", "truncated", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "truncated", "PNG"),
        (b"GIF89a", "truncated", "GIF"),
        (b"BM", "truncated", "BMP"),
        (b"RIFF\0\1\0\0WEBPVP8 ", "truncated", "WebP"),
        (b"II*\0\x08\0\0\0", "truncated", "TIFF"),
    ],
)
def test_files_that_are_no_pictures(place, data, kind, word):
    problem = refused(place(data))
    assert problem.kind == kind
    assert word in problem.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_set_aside(place, kind):
    encoded = save(noise(60, 80), kind)
    lengths = [len(encoded) - 1, len(encoded) * 9 // 10, len(encoded) // 2, 70]
    if kind == "TIFF":  # its directory stands behind the pixels
        lengths = lengths[1:]
    for length in lengths:
        problem = refused(place(encoded[:length]))
        assert problem.kind == "truncated"
        assert not any(word in problem.reason for word in ("execution", "node", "{", "::"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_a_damaged_file_is_called_so_in_our_own_words(place, kind):
    encoded = save(noise(60, 80), kind)
    reason = refused(place(encoded[: len(encoded) // 2])).reason
    assert reason == f"The {kind} file is cut off or damaged; copy or export it again."


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animations_cut_off_in_a_later_frame_are_set_aside(place, kind):
    frames = [Image.fromarray(noise(30, 40, seed=i)) for i in range(4)]
    encoded = save(frames[0], kind, save_all=True, append_images=frames[1:])
    assert refused(place(encoded[: len(encoded) * 3 // 4])).kind == "truncated"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_too_many_pixels_are_refused_by_the_header(place, kind, monkeypatch):
    path = place(save(noise(20, 30), kind))
    assert inspect_file(path, max_pixels=600).width_px == 30
    monkeypatch.setattr("tl_app.inputs.inspect._decode", lambda *_: pytest.fail("decoded"))
    problem = refused(path, max_pixels=599)
    assert problem.kind == "too_many_pixels"
    assert "30 x 20" in problem.reason
    assert "data.max_pixels" in problem.reason


def test_a_bomb_of_billions_of_pixels_costs_nothing(place):
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IDAT"
    assert refused(place(data), max_pixels=100_000_000).kind == "too_many_pixels"


def test_a_tile_larger_than_its_picture_counts(place):
    """64 kilobytes may unpack to a tile of gigabytes, of which the picture shows a corner."""
    data = tiff(noise(4, 4), photometric=2, extra=[(322, 20_000), (323, 20_000)])
    problem = refused(place(data))
    assert problem.kind == "too_many_pixels"
    assert "20000 x 20000" in problem.reason


def test_a_limit_above_pillows_own_holds(place):
    encoded = png(np.zeros((1, 3, 1), np.uint8), colour_type=0)
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 10_000, 8, 0, 0, 0, 0)
    big = encoded[:12] + header + struct.pack(">I", zlib.crc32(header)) + encoded[33:]
    # 200 million pixels: over Pillow's limit, under ours, and then found to be cut off.
    assert read_encoded(place(big), max_pixels=300_000_000) == big


def test_a_jpeg_with_a_second_larger_header_is_refused(place):
    small, large = save(noise(8, 8), "JPEG"), save(noise(200, 200), "JPEG")
    at = small.index(b"\xff\xc0")
    frame = large[large.index(b"\xff\xc0") :][:19]
    for deceiving in (small[:at] + frame + small[at:], small[: at + 19] + frame + small[at + 19 :]):
        assert refused(place(deceiving), max_pixels=100).kind in ("too_many_pixels", "truncated")


def test_a_gif_frame_larger_than_its_canvas_is_refused(place):
    data = bytearray(gif(np.zeros((2, 2), int), noise(4, 1)[:, 0]))
    at = data.index(b"\x2c\0\0\0\0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert refused(place(bytes(data))).kind == "too_many_pixels"


@pytest.mark.parametrize("chunk", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_notes_that_explode_are_refused(place, chunk):
    bomb = zlib.compress(bytes(50_000_000), 9)
    body = {b"zTXt": b"a\0\0", b"iCCP": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[chunk] + bomb
    problem = refused(place(png(noise(4, 4), colour_type=2, extra=[(chunk, body)])))
    assert problem.kind == "unsupported"
    assert "decompression bomb" in problem.reason


def test_missing_files_and_folders_and_pipes(tmp_path):
    assert refused(tmp_path / "gone.jpg").kind == "missing"
    assert refused(tmp_path).kind == "unreadable"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refused(tmp_path / "pipe.jpg").kind == "unreadable"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.jpg"))
        assert refused(tmp_path / "s.jpg").kind == "unreadable"
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert refused(tmp_path / "loop.jpg").kind == "unreadable"
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert refused(tmp_path / "broken.jpg").kind == "missing"
    assert refused(tmp_path / ("n" * 300)).kind == "unreadable"


def test_a_file_without_permission(place):
    path = place(save(noise(4, 4), "PNG"))
    path.chmod(0)
    if os.geteuid() != 0:
        problem = refused(path)
        assert (problem.kind, "chmod" in problem.reason) == ("unreadable", True)
        return
    # Root may read everything: another user looks, who may enter the folders above.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        there = Path(folder, "picture.png")
        there.write_bytes(save(noise(4, 4), "PNG"))
        there.chmod(0)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"read"
            try:
                os.setgroups([])
                os.setuid(65534)
                read_encoded(there, max_pixels=MANY)
            except UnusablePicture as problem:
                answer = f"{problem.kind} {problem.reason}".encode()
            finally:
                os.write(writer, answer)
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            text = answers.read().decode()
        os.waitpid(child, 0)
    assert text.startswith("unreadable")
    assert "chmod" in text


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(2**32)
    problem = refused(path)
    assert problem.kind == "unsupported"
    assert "4.0 GiB" in problem.reason
