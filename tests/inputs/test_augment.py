"""Augmentations: pure functions of picture and seed, in range, and doing what they say."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.inputs.makers import noise, smooth
from tl_app.config import NO_AUGMENTATION, Augmentation
from tl_app.inputs.augment import build_augment, mix_batch
from tl_app.inputs.colour import adjust_colour
from tl_app.inputs.describe import describe_augmentation
from tl_app.inputs.geometry import rotation, warp
from tl_app.inputs.randaugment import OPERATIONS, apply_operation

SIZE = 40
PICTURE = tf.constant(smooth(SIZE, SIZE), tf.float32)

SINGLE = {
    "flip_horizontal": Augmentation(flip_horizontal=True),
    "flip_vertical": Augmentation(flip_horizontal=False, flip_vertical=True),
    "crop": Augmentation(flip_horizontal=False, crop_min_area=0.3),
    "rotation": Augmentation(flip_horizontal=False, rotation_degrees=25),
    "brightness": Augmentation(flip_horizontal=False, brightness=0.5),
    "contrast": Augmentation(flip_horizontal=False, contrast=0.5),
    "saturation": Augmentation(flip_horizontal=False, saturation=0.9),
    "hue": Augmentation(flip_horizontal=False, hue=0.4),
    "randaugment": Augmentation(flip_horizontal=False, randaugment_layers=2),
    "erasing": Augmentation(flip_horizontal=False, erasing_probability=0.7),
}
EVERYTHING = Augmentation(
    flip_horizontal=True,
    flip_vertical=True,
    crop_min_area=0.5,
    rotation_degrees=20,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.05,
    randaugment_layers=2,
    erasing_probability=0.5,
)
ALL = {**SINGLE, "everything": EVERYTHING}


def views(augmentation: Augmentation, picture: tf.Tensor, n: int) -> np.ndarray:
    """float32, shape (n, S, S, 3): seeds (7, 0), (7, 1), ..."""
    augment = build_augment(augmentation, int(picture.shape[0]))
    seeds = tf.constant([[7, i] for i in range(n)], tf.int32)
    dataset = tf.data.Dataset.from_tensor_slices(seeds)
    mapped = dataset.map(lambda seed: augment(picture, seed), num_parallel_calls=2)
    return next(iter(mapped.batch(n))).numpy()


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bits_and_other_seeds_differ(name):
    augment = build_augment(ALL[name], SIZE)
    first, second = views(ALL[name], PICTURE, 12), views(ALL[name], PICTURE, 12)
    np.testing.assert_array_equal(first, second)
    assert len({view.tobytes() for view in first}) > 1
    assert first.dtype == np.float32
    assert first.shape == (12, SIZE, SIZE, 3)
    assert first.min() >= 0
    assert first.max() <= 255
    eager = augment(PICTURE, tf.constant([7, 3], tf.int32)).numpy()
    np.testing.assert_allclose(eager, first[3], atol=1e-3)


def test_nothing_on_changes_nothing():
    np.testing.assert_array_equal(views(NO_AUGMENTATION, PICTURE, 2), np.stack([PICTURE] * 2))


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 1), ("flip_vertical", 0)])
def test_flips_are_exact_and_happen_half_the_time(name, axis):
    found = views(SINGLE[name], PICTURE, 200)
    flipped = np.flip(PICTURE.numpy(), axis)
    is_flipped = [np.array_equal(view, flipped) for view in found]
    is_same = [np.array_equal(view, PICTURE) for view in found]
    assert sum(is_flipped) + sum(is_same) == 200
    assert 70 < sum(is_flipped) < 130


@pytest.mark.parametrize("name", ["crop", "rotation"])
def test_geometry_leaves_no_black_corners(name):
    white = tf.fill([SIZE, SIZE, 3], 255.0)
    np.testing.assert_allclose(views(SINGLE[name], white, 20), 255.0, atol=1e-2)


def test_rotation_turns_about_the_centre():
    turned = warp(PICTURE, rotation(tf.constant(np.pi / 2))).numpy()
    candidates = [np.rot90(PICTURE.numpy(), k) for k in (1, 3)]
    assert min(np.abs(turned - candidate).max() for candidate in candidates) < 0.1


def test_crops_stay_inside_and_keep_their_area():
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    coordinates = tf.constant(np.stack([y, x, 0 * x], -1) * 4.0, tf.float32)
    found = views(Augmentation(flip_horizontal=False, crop_min_area=0.25), coordinates, 100) / 4
    heights = found[:, -1, 0, 0] - found[:, 0, 0, 0]
    widths = found[:, 0, -1, 1] - found[:, 0, 0, 1]
    shares = heights * widths / (SIZE - 1) ** 2
    assert shares.min() > 0.2
    assert shares.max() <= 1.001
    assert shares.min() < 0.4
    assert shares.max() > 0.85
    ratios = widths / heights
    assert 0.7 < ratios.min() < 0.9
    assert 1.1 < ratios.max() < 1.4


def test_colour_without_change_is_the_identity():
    np.testing.assert_allclose(adjust_colour(PICTURE), PICTURE, atol=0.05)


def test_colour_changes_are_those_of_their_names():
    grey = np.tensordot(PICTURE.numpy(), [0.299, 0.587, 0.114], 1)
    half = adjust_colour(PICTURE, brightness=0.5).numpy()
    np.testing.assert_allclose(half, PICTURE.numpy() / 2, atol=0.05)
    flat = adjust_colour(PICTURE, contrast=0.0).numpy()
    np.testing.assert_allclose(flat, grey.mean(), atol=0.1)
    unsaturated = adjust_colour(PICTURE, saturation=0.0).numpy()
    np.testing.assert_allclose(unsaturated, np.repeat(grey[..., None], 3, -1), atol=0.1)
    muted = tf.constant(smooth(SIZE, SIZE) * 0.2 + 100, tf.float32)
    turned = adjust_colour(muted, hue=0.5).numpy()
    weights = [0.299, 0.587, 0.114]
    before = np.tensordot(muted.numpy(), weights, 1)
    np.testing.assert_allclose(np.tensordot(turned, weights, 1), before, atol=0.2)
    again = adjust_colour(tf.constant(turned), hue=0.5).numpy()
    np.testing.assert_allclose(again, muted, atol=0.2)
    assert np.abs(turned - muted.numpy()).max() > 5


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_of_randaugment(name):
    index = tf.constant(OPERATIONS.index(name))
    for strength in (-1.0, 1.0):
        found = apply_operation(PICTURE, index, tf.constant(strength)).numpy()
        assert found.shape == (SIZE, SIZE, 3)
        assert found.min() >= 0
        assert found.max() <= 255
        assert np.array_equal(found, PICTURE) == (name == "identity")
    still = apply_operation(PICTURE, index, tf.constant(0.0)).numpy()
    if name not in ("auto_contrast", "equalize", "posterize"):
        np.testing.assert_allclose(still, PICTURE, atol=0.05)


def test_auto_contrast_and_equalize_on_known_pictures():
    flat = tf.fill([4, 4, 3], 77.0)
    for name in ("auto_contrast", "equalize"):
        index = tf.constant(OPERATIONS.index(name))
        np.testing.assert_array_equal(apply_operation(flat, index, tf.constant(1.0)), flat)
        two = tf.where(tf.range(4)[:, None, None] < 2, 50.0, 60.0) * tf.ones([4, 4, 3])
        found = apply_operation(two, index, tf.constant(1.0)).numpy()
        assert set(np.unique(found)) == {0.0, 255.0}


def test_erasing_replaces_one_rectangle_as_often_as_asked():
    picture = tf.fill([SIZE, SIZE, 3], 128.0)
    found = views(SINGLE["erasing"], picture, 200)
    changed = (found != 128.0).any(-1)
    is_erased = changed.any((1, 2))
    assert 110 < is_erased.sum() < 170
    for mask in changed[is_erased]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.98
        assert mask.mean() < 0.27


def batch(n: int = 16) -> tuple[tf.Tensor, tf.Tensor]:
    pictures = tf.constant(np.stack([noise(12, 12, seed=i) for i in range(n)]), tf.float32)
    return pictures, tf.one_hot(tf.range(n), n)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.4, 1.0), (0.001, 0.001)])
def test_mixed_labels_tell_the_mixture(mixup, cutmix):
    pictures, labels = batch()
    seed = tf.constant([3, 4], tf.int32)
    mixed, mixed_labels = mix_batch(pictures, labels, seed, mixup, cutmix)
    again, _ = mix_batch(pictures, labels, seed, mixup, cutmix)
    np.testing.assert_array_equal(mixed, again)
    np.testing.assert_allclose(tf.reduce_sum(mixed_labels, -1), 1.0, atol=1e-6)
    assert np.isfinite(mixed).all()
    assert np.min(mixed_labels) >= 0
    partners = np.roll(pictures.numpy(), 1, 0)
    kept = np.diag(mixed_labels.numpy())
    for row in range(16):
        blend = kept[row] * pictures[row].numpy() + (1 - kept[row]) * partners[row]
        is_blend = np.abs(mixed[row].numpy() - blend).max() < 0.01
        from_own = (mixed[row].numpy() == pictures[row].numpy()).all(-1)
        from_partner = (mixed[row].numpy() == partners[row]).all(-1)
        is_cut = (from_own | from_partner).all() and abs(from_own.mean() - kept[row]) < 0.01
        assert (mixup > 0 and is_blend) or (cutmix > 0 and is_cut)


def test_mixing_switched_off_changes_nothing():
    pictures, labels = batch()
    mixed, mixed_labels = mix_batch(pictures, labels, tf.constant([1, 2]), 0.0, 0.0)
    np.testing.assert_array_equal(mixed, pictures)
    np.testing.assert_array_equal(mixed_labels, labels)


def test_mixing_works_in_a_dataset_and_with_a_batch_of_one():
    pictures, labels = batch(1)
    dataset = tf.data.Dataset.from_tensors((pictures, labels)).map(
        lambda p, y: mix_batch(p, y, tf.constant([1, 2]), 0.3, 1.0)
    )
    mixed, _ = next(iter(dataset))
    np.testing.assert_allclose(mixed, pictures, atol=1e-3)


# --- words -----------------------------------------------------------------------------


def test_each_augmentation_has_a_line_and_flips_have_a_warning():
    assert describe_augmentation(NO_AUGMENTATION) == []
    for name, augmentation in SINGLE.items():
        lines = describe_augmentation(augmentation)
        assert len(lines) == 1
        assert ("may change the meaning" in lines[0]) == name.startswith("flip")
    assert len(describe_augmentation(EVERYTHING)) == 10
    assert "up to 25 degrees" in describe_augmentation(SINGLE["rotation"])[0]
    assert "30%" in describe_augmentation(SINGLE["crop"])[0]


def test_words_window_and_files_need_no_tensorflow():
    program = (
        "import sys, tl_app.inputs.describe, tl_app.inputs.window, tl_app.inputs.files\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
