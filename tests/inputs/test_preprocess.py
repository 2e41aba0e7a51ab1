"""The one preprocessing: the same bits in eager mode, tf.data and a SavedModel."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.inputs.makers import exif, gif, noise, png, save, smooth, with_segment
from tl_app.errors import ConfigError, DataError
from tl_app.inputs.padding import PAD_LEVEL
from tl_app.inputs.pictures import iterate_pictures
from tl_app.inputs.preprocess import (
    apply_window,
    build_preprocess,
    resize,
)
from tl_app.inputs.window import describe_window, resolve_window
from tl_app.records import Example, Preprocessing

MANY = 10_000_000


def settings_of(aspect="squash", size=32, window=(0, 4095), max_pixels=MANY) -> Preprocessing:
    return Preprocessing(image_size_px=size, aspect=aspect, window=window, max_pixels=max_pixels)


def samples() -> list[bytes]:
    """Pictures whose preparation exercises every branch."""
    frames = [Image.fromarray(noise(20, 22, seed=i)) for i in range(2)]
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64, 1)
    return [
        save(smooth(90, 121), "JPEG"),
        with_segment(save(smooth(90, 121), "JPEG"), exif(7)),
        save(Image.fromarray(smooth(33, 65)).convert("CMYK"), "JPEG"),
        save(noise(40, 31, 4), "PNG"),
        save(Image.fromarray(noise(40, 31)).convert("P"), "PNG"),
        png(ramp, colour_type=0, bit_depth=16),
        gif(np.arange(12).reshape(3, 4) % 4, noise(4, 1)[:, 0], transparent=2, canvas=(7, 7)),
        save(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        save(noise(21, 50, 4), "WEBP"),
        save(Image.fromarray(noise(9, 9)).convert("P"), "BMP"),
        save(noise(1, 1), "PNG"),
        save(noise(1, 3000), "PNG"),
        save(noise(3000, 1), "JPEG"),
    ]


ASPECTS = ("squash", "crop", "pad")


class Server(tf.Module):
    """The least that a SavedModel can be: a batch of bytes in, pictures out, by each policy."""

    def __init__(self) -> None:
        self._preprocess = {aspect: build_preprocess(settings_of(aspect)) for aspect in ASPECTS}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def serve(self, encoded):
        spec = tf.TensorSpec([32, 32, 3], tf.float32)
        return {
            aspect: tf.map_fn(preprocess, encoded, fn_output_signature=spec)
            for aspect, preprocess in self._preprocess.items()
        }


def test_eager_dataset_and_saved_model_agree_bit_for_bit(tmp_path):
    encoded = samples()
    paths = [tmp_path / f"{i}.bin" for i in range(len(encoded))]
    for path, one in zip(paths, encoded, strict=True):
        path.write_bytes(one)
    server = Server()
    tf.saved_model.save(server, tmp_path / "model", signatures=server.serve)
    serve = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    served = serve(tf.constant(encoded))

    for aspect in ASPECTS:
        preprocess = build_preprocess(settings_of(aspect))
        eager = np.stack([preprocess(tf.constant(one)).numpy() for one in encoded])
        assert eager.dtype == np.float32
        assert eager.min() >= 0
        assert eager.max() <= 255
        batches = list(iterate_pictures(paths, settings_of(aspect), 4))
        assert [len(batch) for batch in batches] == [4, 4, 4, 1]
        np.testing.assert_array_equal(np.concatenate(batches), eager)
        np.testing.assert_array_equal(served[aspect], eager)

    with pytest.raises(tf.errors.InvalidArgumentError):
        serve(tf.constant([encoded[0], encoded[0][:500]]))


def test_eight_bit_levels_are_not_touched_by_the_window():
    pixels = noise(16, 16)
    for window in [(0, 255), (0, 4095), (100, 200)]:
        preprocess = build_preprocess(settings_of(size=16, window=window))
        np.testing.assert_array_equal(preprocess(tf.constant(save(pixels, "PNG"))), pixels)


@pytest.mark.parametrize("window", [(0, 4095), (1000, 3000), (0, 65535), (7, 8)])
def test_the_window_maps_its_ends_to_black_and_white(window):
    low, high = window
    levels = np.array([0, low, (low + high) // 2, high, 65535], np.uint16).reshape(1, -1, 1)
    found = apply_window(tf.constant(levels), tf.constant(16), window).numpy().ravel()
    want = (np.clip(levels.ravel().astype(float), low, high) - low) * 255 / (high - low)
    np.testing.assert_allclose(found, want, atol=1e-3)
    assert found[1] == 0
    assert found[3] == pytest.approx(255, abs=1e-4)
    assert found.max() <= 255


def test_twelve_bits_keep_more_than_two_hundred_grey_levels():
    ramp = np.linspace(0, 4095, 32 * 32).astype(np.uint16).reshape(32, 32, 1)
    preprocess = build_preprocess(settings_of(size=32, window=(0, 4095)))
    pixels = preprocess(tf.constant(png(ramp, colour_type=0, bit_depth=16))).numpy()
    assert len(np.unique(pixels.round())) > 200
    assert len(np.unique(pixels)) == len(np.unique(ramp))


def test_squash_agrees_with_pillows_antialiased_resize():
    pixels = noise(97, 61)
    found = resize(tf.constant(pixels, tf.float32), 32, "squash").numpy()
    for channel in range(3):
        image = Image.fromarray(pixels[..., channel].astype(np.float32))
        want = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(found[..., channel], want, atol=0.01)


@pytest.mark.parametrize("turned", [False, True])
def test_crop_takes_the_middle_square(turned):
    pixels = np.zeros((10, 30, 3), np.float32)
    pixels[:, 10:20] = noise(10, 10)
    middle = pixels[:, 10:20]
    if turned:
        pixels, middle = pixels.swapaxes(0, 1), middle.swapaxes(0, 1)
    np.testing.assert_array_equal(resize(tf.constant(pixels), 10, "crop"), middle)


def test_pad_keeps_the_whole_picture_between_grey_bars():
    pixels = noise(8, 16).astype(np.float32)
    found = resize(tf.constant(pixels), 16, "pad").numpy()
    np.testing.assert_array_equal(found[4:12], pixels)
    assert (found[:4] == PAD_LEVEL).all()
    assert (found[12:] == PAD_LEVEL).all()


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    size=st.sampled_from([1, 7, 32]),
    aspect=st.sampled_from(["squash", "crop", "pad"]),
)
def test_any_size_becomes_the_square_and_flat_stays_flat(height, width, size, aspect):
    pixels = tf.fill([height, width, 3], 93.0)
    found = resize(pixels, size, aspect).numpy()
    assert found.shape == (size, size, 3)
    is_bar = found == PAD_LEVEL
    np.testing.assert_allclose(found[~is_bar], 93.0, atol=1e-3)
    if aspect != "pad" or height == width:
        assert not is_bar.any()
    else:
        longer, shorter = max(height, width), min(height, width)
        kept = max(1, int(shorter * size / longer + 0.5))
        assert (~is_bar).sum() == kept * size * 3


def test_an_unknown_aspect_is_an_error():
    with pytest.raises(ValueError, match="'crop', 'pad', 'squash'"):
        resize(tf.zeros([3, 3, 3]), 4, "stretch")


def test_names_of_any_kind_come_in_order(tmp_path):
    names = [b"b.png", b"a'\"\n.png", b"caf\xe9.png", "猫.png".encode()]
    paths = [os.fsdecode(os.fsencode(tmp_path) + b"/" + name) for name in names]
    for i, path in enumerate(paths):
        with open(path, "wb") as file:
            file.write(save(np.full((4, 4, 3), 10 * i, np.uint8), "PNG"))
    batches = list(iterate_pictures([Path(path) for path in paths], settings_of(size=4), 3))
    assert [float(picture[0, 0, 0]) for batch in batches for picture in batch] == [0, 10, 20, 30]


def test_no_files_give_no_batches():
    assert list(iterate_pictures([], settings_of(), 4)) == []


@pytest.mark.parametrize("fault", ["vanished", "truncated", "too large"])
def test_a_file_that_changed_is_named(tmp_path, fault):
    paths = [tmp_path / f"{i}.jpg" for i in range(5)]
    for path in paths:
        path.write_bytes(save(smooth(30, 40), "JPEG"))
    if fault == "vanished":
        paths[3].unlink()
    elif fault == "truncated":
        paths[3].write_bytes(paths[3].read_bytes()[:-100])
    else:
        paths[3].write_bytes(save(smooth(40, 40), "JPEG"))
    with pytest.raises(DataError, match="cannot be used any more") as caught:
        list(iterate_pictures(paths, settings_of(max_pixels=1200), 2))
    assert str(paths[3]) in str(caught.value)
    assert caught.value.next_step


# --- the window of `auto` --------------------------------------------------------------


def example(bits: int, max_level: int) -> Example:
    return Example(
        path="a.png",
        label=0,
        given_side=None,
        given_group=None,
        file_hash="",
        pixel_hash="",
        width_px=1,
        height_px=1,
        mode="I;16",
        image_format="PNG",
        exif_orientation=1,
        n_bytes=1,
        max_level=max_level,
        bits=bits,
    )


@given(st.lists(st.integers(0, 65535), min_size=1), st.lists(st.integers(0, 255)))
def test_auto_window_is_the_smallest_full_depth_that_holds_all(deep, shallow):
    examples = [example(16, level) for level in deep] + [example(8, level) for level in shallow]
    low, high = resolve_window("auto", examples)
    assert low == 0
    assert high in {2**k - 1 for k in range(8, 17)}
    assert high >= max(deep)
    assert high == 255 or (high - 1) // 2 < max(deep)


def test_window_without_deep_pictures_and_a_given_one():
    assert resolve_window("auto", [example(8, 255)]) == (0, 65535)
    assert resolve_window("auto", []) == (0, 65535)
    assert resolve_window((30, 900), [example(16, 4095)]) == (30, 900)


@pytest.mark.parametrize("window", [(5, 5), (9, 2), (-1, 5), (0, 65536)])
def test_window_in_the_wrong_order_or_range(window):
    with pytest.raises(ConfigError, match="low < high"):
        resolve_window(window, [])


def test_the_window_is_said_and_one_odd_file_is_named():
    def deep(path: str, level: int) -> Any:
        return SimpleNamespace(path=path, bits=16, max_level=level)

    eight: Any = SimpleNamespace(bits=8)
    usual = [deep(f"{i}.png", 4000) for i in range(5)]
    assert describe_window((0, 65535), [eight]) == ("", False)
    text, is_warning = describe_window((0, 4095), usual)
    assert "0 to 4,095" in text
    assert not is_warning
    text, is_warning = describe_window((0, 65535), [*usual, deep("odd.png", 65535)])
    assert is_warning
    assert "odd.png" in text
    assert "data.window=[0,4095]" in text
