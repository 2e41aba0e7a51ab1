"""EXIF orientation in the graph, with Pillow's `exif_transpose` as the other opinion."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ImageOps

from tests.inputs.makers import decode, exif, opened, orientation_of, save, smooth, with_segment
from tl_app.inputs.orientation import jpeg_orientation

PLAIN = save(smooth(16, 24), "JPEG")


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def read_orientation(encoded):
    return jpeg_orientation(encoded)


def oriented(body: bytes, **options) -> int:
    return int(read_orientation(tf.constant(with_segment(PLAIN, body, **options))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_all_orientations_equal_pillow(orientation, order):
    encoded = with_segment(PLAIN, exif(orientation, order=order))
    want = np.asarray(ImageOps.exif_transpose(opened(encoded)))
    np.testing.assert_array_equal(decode(encoded)[0], want)
    assert orientation_of(encoded) == orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("before", [0, 1, 30])
@pytest.mark.parametrize("offset", [8, 26])
@pytest.mark.parametrize("kind", [3, 4])
def test_the_row_is_found_wherever_it_stands(order, before, offset, kind):
    body = exif(6, order=order, before=before, offset=offset, kind=kind)
    assert oriented(body) == 6


def test_exif_behind_other_segments_and_fill_bytes():
    encoded = with_segment(PLAIN, exif(8), fill=3)
    encoded = with_segment(encoded, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    encoded = with_segment(encoded, b"ICC_PROFILE\0" + bytes(60000), marker=0xE2)
    assert int(read_orientation(tf.constant(encoded))) == 8


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Exif",
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        exif(6)[:-12],
        exif(6, tag=0x0113),
        exif(0),
        exif(9),
        exif(65535),
        exif(6, count=0),
        exif(6, count=2),
        exif(6, kind=7),
        exif(6).replace(b"II", b"IM"),
        exif(6).replace(b"*", b"+"),
        b"Exif\0\0II*\0" + struct.pack("<I", 0xFFFFFFFF) + exif(6)[14:],
        b"Exif\0\0II*\0" + struct.pack("<I", 8) + b"\xff\xff",
    ],
)
def test_malformed_exif_means_upright(body):
    assert oriented(body) == 1


def test_more_rows_announced_than_there_are():
    body = bytearray(exif(3))
    body[14:16] = b"\xff\xff"
    assert oriented(bytes(body)) == 3


def test_a_file_of_fill_bytes_ends_soon():
    assert int(read_orientation(tf.constant(b"\xff\xd8" + b"\xff" * 1_000_000))) == 1


def test_exif_in_the_pixels_is_not_read():
    encoded = PLAIN[:-2] + with_segment(PLAIN, exif(6))[2:]
    assert int(read_orientation(tf.constant(encoded))) == 1


@settings(max_examples=100, deadline=None)
@given(data=st.binary(min_size=1, max_size=120))
@example(b"\xff\xd8\xff\xe1\x00\x00")
@example(b"\xff\xd8\xff\xe1\xff\xffExif\0\0")
@example(b"\xff\xd8\xff\xe1\x00\x08Exif\0\0")
def test_any_bytes_give_an_orientation(data):
    assert int(read_orientation(tf.constant(data))) in range(1, 9)


@settings(max_examples=100, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=4),
    orientation=st.integers(1, 8),
    order=st.sampled_from("<>"),
)
def test_damaged_exif_never_raises(changes, orientation, order):
    body = bytearray(exif(orientation, order=order, before=2))
    for at, value in changes:
        body[at % len(body)] = value
    assert oriented(bytes(body)) in range(1, 9)
