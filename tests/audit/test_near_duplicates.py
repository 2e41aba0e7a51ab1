"""Copies are found however they were changed, and nothing else is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.audit.makers import dataset_of, example_of, jpeg, measured, photo
from tl_app.audit.near_duplicates import find_near_duplicates
from tl_app.audit.neighbours import close_by_bits, close_by_cosine, unit_rows
from tl_app.audit.turns import N_TURNS, perceptual_hashes, soft_shapes, turned

N_PHOTOS = 30


def crop(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((round(0.05 * width), 0, width, round(0.95 * height)))


CHANGES = {
    "coded anew": lambda picture: picture,
    "smaller": lambda picture: picture.resize((108, 81)),
    "larger": lambda picture: picture.resize((240, 180)),
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned": lambda picture: picture.transpose(Image.Transpose.ROTATE_270),
    "cropped": crop,
    "cropped and mirrored": lambda picture: ImageOps.mirror(crop(picture)),
    "grey": lambda picture: picture.convert("L"),
    "brighter": lambda picture: picture.point(lambda level: min(255, int(level * 1.15))),
}


@pytest.mark.parametrize("with_features", [False, True])
def test_copies_are_found_and_nothing_else(tmp_path: Path, with_features: bool) -> None:
    pictures = [photo(i) for i in range(N_PHOTOS)]
    pictures += [change(pictures[i]) for i, change in enumerate(CHANGES.values())]
    examples = []
    for i, picture in enumerate(pictures):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg(picture, 95 if i < N_PHOTOS else 75))
        examples.append(example_of(tmp_path, f"{i}.jpg", 0))
    thumbnails = measured(dataset_of(tmp_path, examples), tmp_path).thumbnails
    features = None
    if with_features:  # of a network to which a copy is like its original, and others are not
        features = np.random.default_rng(0).normal(size=(len(pictures), 64)).astype(np.float32)
        for i in range(len(CHANGES)):
            features[N_PHOTOS + i] = features[i] + 0.2 * features[N_PHOTOS + i]
    found = find_near_duplicates(examples, thumbnails, features)
    pairs = {tuple(pair) for pair in found.ties.pairs.tolist()}
    missed = [name for i, name in enumerate(CHANGES) if (i, N_PHOTOS + i) not in pairs]
    assert missed == []
    assert len(pairs) == len(CHANGES)
    assert (found.ties.likeness > 0.95).all()
    assert len(np.unique(found.groups)) == N_PHOTOS


def test_exact_copies_share_a_group_even_without_pictures(tmp_path: Path) -> None:
    for name, seed in (("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 1)):
        (tmp_path / name).write_bytes(jpeg(photo(seed)))
    examples = [example_of(tmp_path, name, 0) for name in ("a.jpg", "b.jpg", "c.jpg")]
    groups = find_near_duplicates(examples, None, None).groups
    assert groups[0] == groups[2] != groups[1]
    assert not len(find_near_duplicates([], None, None).groups)


def test_blank_pictures_are_no_copies_of_each_other(tmp_path: Path) -> None:
    examples = []
    for i in range(6):
        stream = io.BytesIO()
        Image.new("RGB", (40, 40), (40 * i, 0, 0)).save(stream, "PNG")
        (tmp_path / f"{i}.png").write_bytes(stream.getvalue())
        examples.append(example_of(tmp_path, f"{i}.png", 0))
    thumbnails = measured(dataset_of(tmp_path, examples), tmp_path).thumbnails
    found = find_near_duplicates(examples, thumbnails, None)
    assert len(np.unique(found.groups)) == 6


def test_one_shape_in_two_colours_is_two_pictures(tmp_path: Path) -> None:
    grey = photo(1).convert("L")
    examples = []
    for name, colour in (("red", "darkred"), ("blue", "darkblue"), ("grey", "black")):
        picture = ImageOps.colorize(grey, colour, "white")
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(picture))
        examples.append(example_of(tmp_path, f"{name}.jpg", 0))
    thumbnails = measured(dataset_of(tmp_path, examples), tmp_path).thumbnails
    found = find_near_duplicates(examples, thumbnails, None)
    assert found.ties.pairs.tolist() == [[0, 2], [1, 2]]  # a copy without colour could be of either


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_hash_of_a_turn_is_the_turn_of_the_hash(seed: int) -> None:
    grey = np.random.default_rng(seed).normal(size=(3, 16, 16)).astype(np.float32)
    hashes = perceptual_hashes(grey)
    for turn in range(N_TURNS):
        own = perceptual_hashes(np.ascontiguousarray(turned(grey, turn)))[0]
        assert np.bitwise_count(own ^ hashes[turn]).max() <= 2  # ties at the median


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_soft_shapes_of_a_turn_are_its_own(seed: int) -> None:
    grey = np.random.default_rng(seed).normal(size=(3, 16, 16)).astype(np.float32)
    shapes = soft_shapes(grey)
    np.testing.assert_allclose(np.linalg.norm(shapes, axis=2), 1, atol=1e-5)
    for turn in range(N_TURNS):
        own = soft_shapes(np.ascontiguousarray(turned(grey, turn)))[0]
        np.testing.assert_allclose(own, shapes[turn], atol=1e-5)
    assert not soft_shapes(np.full((1, 16, 16), 7, np.float32)).any()  # nothing to correlate


def test_eight_turns_are_eight() -> None:
    square = np.arange(9.0).reshape(1, 3, 3)
    assert len({turned(square, turn).tobytes() for turn in range(N_TURNS)}) == 8


@given(st.integers(0, 2**32 - 1), st.integers(2, 700))
@settings(max_examples=20, deadline=None)
def test_blocks_find_what_one_product_would(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    units = unit_rows(random.normal(size=(n, 6)))
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, atol=1e-5)
    wanted = np.argwhere(np.triu(units @ units.T >= 0.8, 1))
    found = close_by_cosine(units[np.newaxis], at_least=0.8, n_nearest=n)
    assert {tuple(p) for p in found.tolist()} == {tuple(p) for p in wanted.tolist()}
    nearest = close_by_cosine(units[np.newaxis], at_least=0.8, n_nearest=1)
    assert np.bincount(nearest[:, 0], minlength=1).max(initial=0) <= 1
    hashes = random.integers(0, 2**63, (3, n), dtype=np.uint64)
    near = close_by_bits(hashes, at_most=20, n_nearest=n)
    bits = np.bitwise_count(hashes[:, :, None] ^ hashes[0]).min(axis=0)
    wanted = np.argwhere(np.triu(bits <= 20, 1))
    assert {tuple(p) for p in near.tolist()} == {tuple(p) for p in wanted.tolist()}
