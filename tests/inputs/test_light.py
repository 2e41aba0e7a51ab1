"""The preprocessing without TensorFlow says what the graph says, of every format."""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.inputs.makers import (
    bmp,
    decode,
    exif,
    gif,
    noise,
    png,
    save,
    smooth,
    with_segment,
)
from tl_app.errors import UnusablePicture
from tl_app.inputs.files import encoded_of
from tl_app.inputs.light import decode_levels, preprocess
from tl_app.inputs.preprocess import build_preprocess
from tl_app.records import Preprocessing

# Pillow tells the console of some damage that it passes over.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SIZE = (37, 53)
SHADES = noise(16, 1)[:, 0]
MASKS = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF))


def image(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.fromarray(smooth(*size)).convert(mode)


def without_adobe(jpeg: bytes) -> bytes:
    """A CMYK JPEG that does not say who stored it."""
    start = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[start + 2 : start + 4], "big")
    return jpeg[:start] + jpeg[start + 2 + length :]


def palette_png(bit_depth: int, **options) -> bytes:
    indices = noise(13, 17, 1) & (2**bit_depth - 1)
    palette = noise(2**bit_depth, 1)[:, 0].tobytes()
    return png(indices, colour_type=3, bit_depth=bit_depth, palette=palette, **options)


def deep(channels: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 65536, (9, 14, channels))


@cache
def files() -> dict[str, bytes]:
    """Of every kind that the graph reads."""
    found = {
        f"jpeg {mode} {'progressive' if progressive else 'baseline'}": save(
            image(mode), "JPEG", progressive=progressive, quality=83
        )
        for mode in ("RGB", "L", "CMYK")
        for progressive in (False, True)
    }
    found["jpeg CMYK of nobody"] = without_adobe(found["jpeg CMYK baseline"])
    for subsampling in (0, 1, 2):
        found[f"jpeg subsampling {subsampling}"] = save(
            noise(*SIZE), "JPEG", subsampling=subsampling
        )
    for orientation in range(1, 9):
        for order in "<>":
            found[f"jpeg turned {orientation} {order}"] = with_segment(
                save(image(), "JPEG"), exif(orientation, order=order)
            )
    found["jpeg turned by a long"] = with_segment(save(image(), "JPEG"), exif(6, kind=4))
    found["jpeg turned by nonsense"] = with_segment(save(image(), "JPEG"), exif(9))
    found["jpeg with a damaged exif"] = with_segment(save(image(), "JPEG"), exif(6)[:-9])
    for mode in ("1", "L", "P", "RGB", "LA", "RGBA"):
        found[f"png {mode}"] = save(image(mode), "PNG")
    found["png rgba noise"] = save(noise(*SIZE, 4), "PNG")
    found["png grey alpha"] = png(noise(8, 11, 2), colour_type=4)
    for depth in (1, 2, 4, 8):
        grey = noise(9, 14, 1) & (2**depth - 1)
        for key in (None, 0, 1):
            found[f"png grey {depth} key {key}"] = png(
                grey,
                colour_type=0,
                bit_depth=depth,
                transparency=None if key is None else key.to_bytes(2, "big"),
            )
        for interlaced in (False, True):
            found[f"png palette {depth} {interlaced}"] = palette_png(depth, interlaced=interlaced)
            found[f"png palette {depth} {interlaced} alpha"] = palette_png(
                depth,
                interlaced=interlaced,
                transparency=noise(max(2 ** (depth - 1), 1), 1, 1).tobytes(),
            )
    found["png rgb key"] = png(noise(9, 9) & 1, colour_type=2, transparency=b"\0\1\0\0\0\1")
    for colour_type, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        for interlaced in (False, True):
            found[f"png 16 bits {colour_type} {interlaced}"] = png(
                deep(channels), colour_type=colour_type, bit_depth=16, interlaced=interlaced
            )
    found["png 16 bits grey key"] = png(
        deep(1) & 1, colour_type=0, bit_depth=16, transparency=b"\0\1"
    )
    found["png 16 bits rgb key"] = png(
        deep(3) & 1, colour_type=2, bit_depth=16, transparency=b"\0\1\0\0\0\1"
    )
    found["gif"] = save(image(), "GIF")
    indices = noise(11, 7, 1)[..., 0] & 15
    found["gif transparent"] = gif(indices, SHADES, transparent=3)
    found["gif transparent local"] = gif(indices, SHADES, transparent=0, local=True)
    found["gif on a larger canvas"] = gif(indices, SHADES, canvas=(20, 30), at=(4, 9))
    found["gif on a larger canvas, transparent"] = gif(
        indices, SHADES, canvas=(20, 30), at=(4, 9), transparent=0
    )
    for lossless in (False, True):
        for channels in (3, 4):
            found[f"webp {lossless} {channels}"] = save(
                noise(*SIZE, channels), "WEBP", lossless=lossless
            )
            found[f"webp moving {lossless} {channels}"] = save(
                Image.fromarray(noise(*SIZE, channels)),
                "WEBP",
                lossless=lossless,
                save_all=True,
                append_images=[Image.fromarray(noise(*SIZE, channels, seed=2))],
            )
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        found[f"bmp {mode}"] = save(image(mode), "BMP")
    body = noise(6, 5, 4).tobytes()
    found["bmp reserved byte"] = bmp(body, 5, 6, 32)
    found["bmp from the top"] = bmp(body, 5, -6, 32)
    found["bmp filled up"] = found["bmp RGB"] + b"\0\0"
    found["bmp without the end of its last row"] = found["bmp RGB"][:-1]
    found["bmp masks"] = bmp(body, 5, 6, 32, compression=3, tables=MASKS)
    found["jpeg whose mark of EXIF is unusual"] = found["jpeg turned 6 <"].replace(
        b"Exif\0\0", b"Exif\0x"
    )
    wider = bytearray(found["webp moving True 3"])
    wider[24] += 20  # the canvas
    found["webp moving on a wider canvas"] = bytes(wider)
    return found


NAMES = list(files())


@pytest.mark.parametrize("name", NAMES)
def test_every_format_is_decoded_as_by_the_graph(name):
    encoded = files()[name]
    try:
        wanted, bits = decode(encoded)
    except tf.errors.OpError:
        with pytest.raises(UnusablePicture):
            decode_levels(encoded)
        return
    found = decode_levels(encoded)
    assert found.dtype == (np.uint16 if bits == 16 else np.uint8)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("aspect", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (37, 53), (480, 640), (64, 64)])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_aspect_is_resampled_as_by_the_graph(aspect, size, bits):
    encoded = save(noise(*size), "PNG")
    if bits == 16:
        levels = np.random.default_rng(0).integers(0, 65536, (*size, 3))
        encoded = png(levels, colour_type=2, bit_depth=16)
    settings = Preprocessing(64, aspect, (1000, 60000), 10**6)
    wanted = build_preprocess(settings)(tf.constant(encoded)).numpy()
    found = preprocess(encoded, settings)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-3)  # of 255


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    data=st.data(),
)
def test_damaged_bytes_are_told_as_by_the_graph_or_refused(name, data):
    """Whatever the bytes that pass for a file: what the graph says of them, or UnusablePicture; but
    that Pillow finds the end of a few damaged JPEGs that TensorFlow gives up."""
    encoded = bytearray(files()[name])
    if data.draw(st.booleans(), "cut"):
        encoded = encoded[: data.draw(st.integers(0, len(encoded) - 1), "length")]
    elif data.draw(st.booleans(), "longer"):
        encoded += data.draw(st.binary(min_size=1, max_size=50), "behind")
    else:
        for _ in range(data.draw(st.integers(1, 4), "n_bytes")):
            place = data.draw(st.integers(0, len(encoded) - 1), "place")
            encoded[place] = data.draw(st.integers(0, 255), "byte")
    with suppress(UnusablePicture):
        decode_levels(bytes(encoded))  # which nobody has looked at before
    try:
        passed = encoded_of(bytes(encoded), max_pixels=10**6)
        found = decode_levels(passed)
    except UnusablePicture:
        return
    assert found.ndim == 3
    assert found.shape[2] == 3
    try:
        wanted, _ = decode(passed)
    except tf.errors.OpError:
        assert name.startswith("jpeg")
        return
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_that_is_cut_off_is_refused(name):
    encoded = files()[name]
    with pytest.raises(UnusablePicture, match="cut off or damaged"):
        decode_levels(encoded[: len(encoded) // 2])


@pytest.mark.parametrize("place", [(9, 24), (65_000, 65_000)])
def test_a_frame_beyond_its_canvas_is_refused(place):
    """Pillow would make room for it, as much as it takes."""
    encoded = gif(np.zeros((11, 7), int), SHADES, canvas=(20, 30), at=place)
    with pytest.raises(UnusablePicture, match="cut off or damaged"):
        decode_levels(encoded)


@pytest.mark.parametrize(("place", "value"), [(46, 1), (10, 0)])
def test_a_bmp_without_its_colours_or_header_is_refused(place, value):
    encoded = bytearray(files()["bmp P"])
    encoded[place : place + 4] = struct.pack("<I", value)
    with pytest.raises(UnusablePicture, match="cut off or damaged"):
        decode_levels(bytes(encoded))


def test_other_files_are_refused():
    with pytest.raises(UnusablePicture, match="not a JPEG"):
        decode_levels(b"<html>")
