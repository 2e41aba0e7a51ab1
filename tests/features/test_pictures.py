"""Files are looked at once, large ones decoded once, and a changed file is never trained on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl_app.errors import DataError, UnusablePicture
from tl_app.features import inspecting
from tl_app.features import pictures as pictures_module
from tl_app.features.inspecting import Inspector, scan_preprocessing
from tl_app.features.pictures import FilePictures, pictures_table, to_fixed_point, to_pixels
from tl_app.features.store import FeatureStore
from tl_app.inputs import inspect as inspect_module
from tl_app.inputs.decode import decode_oriented
from tl_app.inputs.inspect import inspect_file
from tl_app.inputs.pictures import load_picture
from tl_app.progress import SilentReporter
from tl_app.records import Example, Inspection, Preprocessing

PREPROCESSING = Preprocessing(32, "squash", (0, 65535), 10**7)


def draw(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def make_inspector(store: FeatureStore) -> Inspector:
    return Inspector(store, scan_preprocessing(32, "squash", 10**7))


def example_of(path: Path, found: Inspection) -> Example:
    return Example(path=path.name, label=0, given_side=None, given_group=None, **asdict(found))


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


def test_a_second_look_decodes_nothing_and_says_the_same(tmp_path, store, monkeypatch) -> None:
    files = [draw(tmp_path / f"{i}.png", i) for i in range(3)]
    Image.fromarray(np.random.default_rng(9).integers(0, 60_000, (20, 20)).astype(np.uint16)).save(
        tmp_path / "deep.png"
    )
    files.append(tmp_path / "deep.png")
    with make_inspector(store) as inspect:
        first = [inspect(path) for path in files]
    assert first == [inspect_file(path, max_pixels=10**7) for path in files]

    def refuse(*_, **__):
        raise AssertionError("decoded again")

    monkeypatch.setattr(inspecting, "inspect_picture", refuse)
    with make_inspector(FeatureStore(store.root)) as inspect:
        assert [inspect(path) for path in files] == first
        copy = tmp_path / "copy.png"
        copy.write_bytes(files[0].read_bytes())
        assert inspect(copy) == first[0]
        with pytest.raises(AssertionError, match="decoded again"):
            inspect(draw(tmp_path / "new.png", 77))


def test_what_cannot_be_used_is_looked_at_every_time(tmp_path, store) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(draw(tmp_path / "a.png", 0).read_bytes()[:200])
    for _ in range(2):
        with make_inspector(store) as inspect, pytest.raises(UnusablePicture):
            inspect(broken)


def test_a_large_photograph_is_decoded_once(tmp_path, store, monkeypatch) -> None:
    monkeypatch.setattr(inspecting, "LARGE_PIXELS", 1000)
    large, small = draw(tmp_path / "large.png", 1), draw(tmp_path / "small.png", 2, (10, 10))
    decodes = []

    def counted(encoded, *args):
        decodes.append(len(encoded.numpy()))
        return decode_oriented(encoded, *args)

    def refuse(_):
        raise AssertionError("decoded a second time")

    monkeypatch.setattr(inspect_module, "decode_oriented", counted)
    with make_inspector(store) as inspect:
        monkeypatch.setattr(inspect, "_to_picture", refuse)
        examples = [example_of(path, inspect(path)) for path in (large, small)]
    assert len(decodes) == 2
    decoded = []

    def counting(path, *args, **kwargs):
        decoded.append(path.name)
        return load_picture(path, *args, **kwargs)

    monkeypatch.setattr(pictures_module, "load_picture", counting)
    pictures = FilePictures(tmp_path, examples, PREPROCESSING, store)
    expected = [
        to_pixels(to_fixed_point(load_picture(path, PREPROCESSING).numpy()))
        for path in (large, small)
    ]
    for _ in range(2):
        for i in range(2):
            np.testing.assert_array_equal(pictures.load(i), expected[i])
    assert decoded == ["small.png", "small.png"]
    pictures.keep([0, 1], SilentReporter())
    np.testing.assert_array_equal(pictures.load(1), expected[1])
    assert decoded == ["small.png"] * 3
    again = FilePictures(tmp_path, examples, PREPROCESSING, FeatureStore(store.root))
    np.testing.assert_array_equal(again.load(1), expected[1])
    assert decoded == ["small.png"] * 3


def test_a_large_photograph_is_kept_at_a_second_size_too(tmp_path, store, monkeypatch) -> None:
    monkeypatch.setattr(inspecting, "LARGE_PIXELS", 1000)
    path = draw(tmp_path / "large.png", 1)
    for size in (32, 48, 48):
        preprocessing = scan_preprocessing(size, "squash", 10**7)
        with Inspector(store, preprocessing) as inspect:
            found = inspect(path)
        table = pictures_table(store, preprocessing)
        assert not table.missing([bytes.fromhex(found.pixel_hash)])[0]


def test_another_window_never_meets_kept_16_bit_pictures(tmp_path, store) -> None:
    path = tmp_path / "deep.png"
    levels = np.random.default_rng(3).integers(0, 4096, (32, 32)).astype(np.uint16)
    Image.fromarray(levels).save(path)
    examples = [example_of(path, inspect_file(path, max_pixels=10**7))]
    loaded = []
    for window in ((0, 4095), (0, 65535)):
        preprocessing = Preprocessing(32, "squash", window, 10**7)
        pictures = FilePictures(tmp_path, examples, preprocessing, store)
        pictures.keep([0], SilentReporter())
        loaded.append(pictures.load(0))
    assert loaded[0].max() > 4 * loaded[1].max()


def test_another_window_leaves_what_is_kept_of_8_bit_pictures(tmp_path, store) -> None:
    """Though a 16-bit picture is beside them."""
    files = [draw(tmp_path / "plain.png", 1), tmp_path / "deep.png"]
    levels = np.random.default_rng(3).integers(0, 4096, (32, 32)).astype(np.uint16)
    Image.fromarray(levels).save(files[1])
    examples = [example_of(path, inspect_file(path, max_pixels=10**7)) for path in files]
    keys: list[tuple] = []
    for window in ((0, 4095), (0, 65535)):
        preprocessing = Preprocessing(32, "squash", window, 10**7)
        pictures = FilePictures(tmp_path, examples, preprocessing, store)
        missing = pictures_table(store, preprocessing).missing(pictures.keys)
        assert missing.tolist() == ([True, True] if not keys else [False, True])
        pictures.keep([0, 1], SilentReporter())
        keys.append((pictures.key, pictures.keys))
    assert keys[0][0] == keys[1][0]
    assert keys[0][1][0] == keys[1][1][0]
    assert keys[0][1][1] != keys[1][1][1]


@pytest.mark.parametrize("change", ["other pixels", "same size", "gone", "cut"])
def test_a_file_that_changed_is_an_error_that_names_it(tmp_path, store, change) -> None:
    path = draw(tmp_path / "a.png", 0)
    examples = [example_of(path, inspect_file(path, max_pixels=10**7))]
    content = path.read_bytes()
    if change == "gone":
        path.unlink()
    elif change == "cut":
        path.write_bytes(content[:-40])
    elif change == "same size":
        path.write_bytes(content[:-1] + b"?")
    else:
        draw(path, 1)
    with pytest.raises(DataError) as caught:
        FilePictures(tmp_path, examples, PREPROCESSING, store).load(0)
    assert str(path) in str(caught.value.received)
    assert "byte for byte" in str(caught.value.allowed)


def test_fixed_point_is_within_half_a_step() -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    assert np.abs(to_pixels(to_fixed_point(pixels)) - pixels).max() <= 1 / 512
    whole = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(to_pixels(to_fixed_point(whole)), whole)
