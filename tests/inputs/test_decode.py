"""Every format and mode against Pillow, or against pixels known beforehand."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.inputs.makers import bmp, decode, gif, noise, on_white, opened, png, save, smooth

SIZES = [(1, 1), (7, 9), (1, 3000), (3000, 1), (65, 33)]


def rgb(encoded: bytes) -> np.ndarray:
    return np.asarray(opened(encoded).convert("RGB"))


def rgba(encoded: bytes) -> np.ndarray:
    return np.asarray(opened(encoded).convert("RGBA"))


# --- JPEG ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_equals_pillow(size, mode, progressive):
    image = Image.fromarray(smooth(*size)).convert(mode)
    encoded = save(image, "JPEG", progressive=progressive, quality=83)
    levels, bits = decode(encoded)
    assert bits == 8
    np.testing.assert_array_equal(levels, rgb(encoded))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_chroma_subsampling_equals_pillow(subsampling):
    encoded = save(noise(37, 51), "JPEG", subsampling=subsampling)
    np.testing.assert_array_equal(decode(encoded)[0], rgb(encoded))


# --- PNG -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_opaque_png_equals_pillow(size, mode):
    encoded = save(Image.fromarray(noise(*size)).convert(mode), "PNG")
    np.testing.assert_array_equal(decode(encoded)[0], rgb(encoded))


@pytest.mark.parametrize("size", SIZES)
def test_rgba_png_lies_on_white(size):
    pixels = noise(size[0], size[1], 4)
    levels, bits = decode(save(pixels, "PNG"))
    assert bits == 8
    np.testing.assert_array_equal(levels, on_white(pixels))


def test_every_alpha_and_level_rounds_to_the_nearest():
    alpha, level = np.mgrid[0:256, 0:256].astype(np.uint8)
    pixels = np.stack([level, level, level, alpha], -1)
    np.testing.assert_array_equal(decode(save(pixels, "PNG"))[0], on_white(pixels))


def test_hidden_colours_do_not_show():
    pixels = noise(9, 9, 4)
    pixels[..., 3] = 0
    assert (decode(save(pixels, "PNG"))[0] == 255).all()
    assert (decode(save(pixels, "WEBP", lossless=True, exact=True))[0] == 255).all()


def test_grey_alpha_png_lies_on_white():
    pixels = noise(8, 11, 2)
    want = on_white(np.repeat(pixels, [3, 1], axis=-1))
    np.testing.assert_array_equal(decode(png(pixels, colour_type=4))[0], want)
    image = Image.merge("LA", [Image.fromarray(pixels[..., i]) for i in range(2)])
    np.testing.assert_array_equal(decode(save(image, "PNG"))[0], want)


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("has_transparency", [False, True])
def test_palette_png_of_every_depth(bit_depth, interlaced, has_transparency):
    n_colours = 2**bit_depth
    indices = noise(13, 17, 1) & (n_colours - 1)
    palette = noise(n_colours, 1)[:, 0]
    # Fewer transparencies than colours: the rest are opaque.
    alpha = noise(max(n_colours // 2, 1), 1, 1, seed=5).tobytes() if has_transparency else None
    encoded = png(
        indices,
        colour_type=3,
        bit_depth=bit_depth,
        palette=palette.tobytes(),
        transparency=alpha,
        interlaced=interlaced,
    )
    full_alpha = np.full(n_colours, 255, np.uint8)
    if alpha:
        full_alpha[: len(alpha)] = np.frombuffer(alpha, np.uint8)
    table = np.concatenate([palette, full_alpha[:, None]], -1)
    np.testing.assert_array_equal(decode(encoded)[0], on_white(table[indices[..., 0]]))


def test_palette_alpha_as_pillow_writes_it():
    image = Image.fromarray(noise(12, 12, 4)).quantize(16).convert("PA")
    image.putalpha(Image.fromarray(noise(12, 12, 1)[..., 0]))
    encoded = save(image.convert("RGBA").quantize(32), "PNG")
    assert opened(encoded).mode == "P"
    np.testing.assert_array_equal(decode(encoded)[0], on_white(rgba(encoded)))


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
@pytest.mark.parametrize("key", [None, 0, 1])
def test_grey_png_with_and_without_a_transparent_level(bit_depth, key):
    samples = noise(9, 14, 1) & (2**bit_depth - 1)
    transparency = None if key is None else key.to_bytes(2, "big")
    encoded = png(samples, colour_type=0, bit_depth=bit_depth, transparency=transparency)
    want = np.repeat(samples.astype(np.uint16) * (255 // (2**bit_depth - 1)), 3, -1)
    if key is not None:
        want[samples[..., 0] == key] = 255
    np.testing.assert_array_equal(decode(encoded)[0], want)


def test_rgb_png_with_a_transparent_colour():
    pixels = noise(6, 6)
    pixels[2:4, 1:5] = (9, 8, 7)
    key = b"\0\x09\0\x08\0\x07"
    levels, _ = decode(png(pixels, colour_type=2, transparency=key))
    want = pixels.copy()
    want[2:4, 1:5] = 255
    np.testing.assert_array_equal(levels, want)


@pytest.mark.parametrize("colour_type", [0, 2, 4, 6])
@pytest.mark.parametrize("interlaced", [False, True])
def test_sixteen_bit_png_keeps_every_level(colour_type, interlaced):
    n_channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    rng = np.random.default_rng(1)
    samples = rng.integers(0, 65536, (10, 13, n_channels), dtype=np.uint16)
    samples[0, 0] = 65535
    encoded = png(samples, colour_type=colour_type, bit_depth=16, interlaced=interlaced)
    levels, bits = decode(encoded)
    assert bits == 16
    colour = samples[..., :3] if n_channels >= 3 else np.repeat(samples[..., :1], 3, -1)
    alpha = samples[..., -1:] if n_channels in (2, 4) else np.full_like(samples[..., :1], 65535)
    np.testing.assert_array_equal(levels, on_white(np.concatenate([colour, alpha], -1), 65535))


def test_twelve_bits_in_sixteen_keep_more_than_two_hundred_grey_levels():
    ramp = np.linspace(0, 4095, 4096).astype(np.uint16).reshape(64, 64, 1)
    levels, bits = decode(png(ramp, colour_type=0, bit_depth=16))
    assert bits == 16
    assert len(np.unique(levels)) == 4096


def test_broken_notes_in_a_png_do_not_matter():
    pixels = noise(5, 5)
    encoded = png(pixels, colour_type=2, extra=[(b"tEXt", b"no zero byte"), (b"prVt", b"\0" * 9)])
    np.testing.assert_array_equal(decode(encoded)[0], pixels)


# --- GIF -------------------------------------------------------------------------------


def test_gif_equals_pillow():
    encoded = save(Image.fromarray(noise(31, 23)).convert("P"), "GIF")
    np.testing.assert_array_equal(decode(encoded)[0], rgb(encoded))


def test_interlaced_gif_equals_pillow():
    image = Image.fromarray(noise(31, 23)).convert("P")
    encoded = save(image, "GIF", interlace=1)
    np.testing.assert_array_equal(decode(encoded)[0], rgb(encoded))


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("comment", [b"", b"a comment"])
def test_transparent_gif_lies_on_white_and_black_stays_black(local, comment):
    rng = np.random.default_rng(2)
    indices = rng.integers(0, 8, (11, 19))
    palette = noise(8, 1)[:, 0]
    palette[5] = (0, 0, 0)
    encoded = gif(indices, palette, transparent=3, local=local, comment=comment)
    table = palette.copy()
    table[3] = 255
    np.testing.assert_array_equal(decode(encoded)[0], table[indices])
    np.testing.assert_array_equal(decode(encoded)[0], on_white(rgba(encoded)))


def test_uncovered_canvas_of_a_gif_is_white():
    indices = np.arange(12).reshape(3, 4) % 4
    palette = np.array([[0, 0, 0], [90, 0, 0], [0, 90, 0], [0, 0, 90]], np.uint8)
    levels, _ = decode(gif(indices, palette, canvas=(10, 9), at=(2, 5)))
    want = np.full((10, 9, 3), 255)
    want[2:5, 5:9] = palette[indices]
    np.testing.assert_array_equal(levels, want)


def test_transparent_index_outside_the_palette_changes_nothing():
    indices = np.arange(12).reshape(3, 4) % 4
    palette = noise(4, 1)[:, 0]
    levels, _ = decode(gif(indices, palette, transparent=200))
    np.testing.assert_array_equal(levels, palette[indices])


@pytest.mark.parametrize("n_frames", [2, 5])
def test_animated_gif_gives_its_first_frame(n_frames):
    frames = [Image.fromarray(noise(9, 9, seed=i)).convert("P") for i in range(n_frames)]
    encoded = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(encoded)[0], rgb(encoded))


def test_a_later_frame_of_a_gif_that_covers_more_changes_nothing():
    palette = np.array([[0, 0, 0], [90, 0, 0], [0, 90, 0], [0, 0, 90]], np.uint8)
    first = gif(np.arange(12).reshape(3, 4) % 4, palette, canvas=(10, 9), at=(2, 5))
    later = gif(np.ones((10, 9), int), palette)
    levels, _ = decode(first[:-1] + later[later.index(b"\x2c\0\0\0\0") :])
    np.testing.assert_array_equal(levels, decode(first)[0])


def with_frame_size(encoded: bytes, width: int, height: int) -> bytes:
    """A GIF whose first frame says that it is this large; its pixels stay few."""
    at = encoded.index(b"\x2c\0\0\0\0") + 5
    return encoded[:at] + struct.pack("<HH", width, height) + encoded[at + 4 :]


def test_a_gif_frame_larger_than_its_canvas_is_refused_before_decoding():
    small = gif(np.zeros((2, 2), int), noise(4, 1)[:, 0], comment=b"c")
    assert decode(small, 100)[0].shape == (2, 2, 3)
    started = time.perf_counter()
    with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than 100"):
        decode(with_frame_size(small, 65_535, 65_535), 100)
    # Decoding it fills 13 GB.
    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(
    ("n_blocks", "reason"),
    [(0, "more pixels than 100"), (8190, "more pixels than 100"), (9000, "no frame")],
)
def test_a_huge_gif_frame_behind_a_long_comment_is_refused(n_blocks, reason):
    huge = with_frame_size(gif(np.zeros((2, 2), int), noise(4, 1)[:, 0]), 65_535, 65_535)
    at = huge.index(b"\x2c\0\0\0\0")
    # Wherever the search for the frame is given up, the comment looks like a small one.
    comment = b"\x21\xfe" + (b"\x2c" + b"\0" * 44) * n_blocks + b"\0"
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        decode(huge[:at] + comment + huge[at:], 100)


@pytest.mark.parametrize("at", [(0, 65_535), (65_535, 0), (65_535, 65_535), (1, 1)])
def test_a_gif_frame_outside_its_canvas_costs_nothing(at):
    indices, palette = np.ones((2, 2), int), noise(4, 1)[:, 0]
    levels, _ = decode(gif(indices, palette, canvas=(2, 2), at=at), 100)
    want = np.full((2, 2, 3), 255)
    if at == (1, 1):
        want[1, 1] = palette[1]
    np.testing.assert_array_equal(levels, want)


@pytest.mark.parametrize("length", [1, 2, 254, 255])
def test_gif_blocks_of_any_length_are_passed(length):
    encoded = gif(np.arange(6400).reshape(80, 80) % 8, noise(8, 1)[:, 0])
    start = encoded.index(b"\x2c\0\0\0\0") + 11
    body, position = b"", start
    while encoded[position]:
        body += encoded[position + 1 : position + 1 + encoded[position]]
        position += 1 + encoded[position]
    pieces = [body[i : i + length] for i in range(0, len(body), length)]
    blocks = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    data = encoded[:start] + blocks + b"\0;"
    np.testing.assert_array_equal(decode(data)[0], decode(encoded)[0])


def test_a_gif_frame_in_too_many_pieces_is_refused():
    small = gif(np.zeros((2, 2), int), noise(4, 1)[:, 0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many pieces"):
        decode(small[:-2] + b"\1a\2bb" * 5000 + b"\0;", 100)


# --- WebP ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (65, 33)])
@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_webp_equals_pillow(size, lossless, channels):
    encoded = save(noise(size[0], size[1], channels), "WEBP", lossless=lossless, exact=True)
    np.testing.assert_array_equal(decode(encoded)[0], on_white(rgba(encoded)))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("side", [7, 40])
def test_animated_webp_gives_its_first_frame(lossless, channels, side):
    frames = [Image.fromarray(noise(side, side + 2, channels, seed=i)) for i in range(3)]
    encoded = save(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=lossless)
    # Without alpha TensorFlow's own decoder corrupts memory: many rounds would show it.
    for _ in range(20):
        levels, _ = decode(encoded)
    np.testing.assert_array_equal(levels, on_white(rgba(encoded)))


# --- BMP -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (1, 3000), (65, 33)])
@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_bmp_equals_pillow(size, mode):
    encoded = save(Image.fromarray(noise(*size)).convert(mode), "BMP")
    np.testing.assert_array_equal(decode(encoded)[0], rgb(encoded))


def test_reserved_byte_of_a_32_bit_bmp_is_not_alpha():
    pixels = noise(6, 5, 4)
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    np.testing.assert_array_equal(decode(bmp(body, 5, 6, 32))[0], pixels[..., :3])
    np.testing.assert_array_equal(decode(bmp(body[:], 5, 6, 32))[0], rgb(bmp(body, 5, 6, 32)))


def test_bmp_with_rows_from_the_top():
    pixels = noise(6, 4)
    body = pixels[..., ::-1].tobytes()
    np.testing.assert_array_equal(decode(bmp(body, 4, -6, 24))[0], pixels)


def test_bmp_with_masks_and_alpha_lies_on_white():
    pixels = noise(6, 5, 4)
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = b"".join(m.to_bytes(4, "little") for m in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    plain = bmp(body, 5, 6, 32, compression=3, tables=masks[:12])
    np.testing.assert_array_equal(decode(plain)[0], pixels[..., :3])
    tables = masks + bytes(52)  # the 108-byte header
    with_alpha = bytearray(bmp(body, 5, 6, 32, compression=3, tables=tables))
    with_alpha[14] = 108
    np.testing.assert_array_equal(decode(bytes(with_alpha))[0], on_white(pixels))


def test_short_palette_of_a_bmp():
    indices = np.array([[0, 1, 2, 1]], np.uint8)
    palette = np.array([[1, 2, 3], [40, 50, 60], [250, 0, 9]], np.uint8)
    tables = b"".join(bytes([*colour[::-1], 0]) for colour in palette)
    encoded = bytearray(bmp(indices.tobytes(), 4, 1, 8, tables=tables))
    encoded[46] = 3
    np.testing.assert_array_equal(decode(bytes(encoded))[0], palette[indices])


# --- all -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]),
    seed=st.integers(0, 99),
)
def test_any_size_equals_pillow(height, width, kind, seed):
    encoded = save(noise(height, width, seed=seed), kind)
    np.testing.assert_array_equal(decode(encoded)[0], on_white(rgba(encoded)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("side", [6, 90])
def test_truncated_files_raise(kind, side):
    encoded = save(noise(side, side), kind)
    # The last byte of a GIF is its end mark, whose absence `inputs.files` finds.
    longest = len(encoded) - (1 if kind == "GIF" else 0)
    cuts = {*range(1, longest, max(1, longest // 25)), *range(longest - 4, longest)}
    for cut in sorted(cuts):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(encoded[:cut])


@pytest.mark.parametrize(
    "encoded", [b"", b"\xff", b"<html>", b"BM", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X", b"\xff\xd8\xff"]
)
def test_fragments_raise(encoded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(encoded)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_the_limit_of_pixels_holds_in_the_graph(kind):
    encoded = save(noise(20, 30), kind)
    assert decode(encoded, 600)[0].shape == (20, 30, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than 599"):
        decode(encoded, 599)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("n_frames", [1, 2])
def test_the_limit_of_pixels_reads_every_webp_header(channels, lossless, n_frames):
    frames = [Image.fromarray(noise(20, 30, channels, seed=i)) for i in range(n_frames)]
    more = {"save_all": True, "append_images": frames[1:]} if n_frames > 1 else {}
    encoded = save(frames[0], "WEBP", lossless=lossless, **more)
    assert decode(encoded, 600)[0].shape == (20, 30, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than 599"):
        decode(encoded, 599)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP"]))
def test_damaged_bytes_decode_or_raise_and_nothing_else(data, kind):
    encoded = bytearray(save(noise(12, 12), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(encoded) - 1, 120)))
        encoded[at] = data.draw(st.integers(0, 255))
    try:
        levels, bits = decode(bytes(encoded), 10_000)
    except tf.errors.OpError:
        return
    assert levels.shape[2] == 3
    assert bits in (8, 16)
