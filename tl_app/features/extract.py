"""Run the frozen part once a picture and keep what it said.

Pictures are decoded once and kept resized; training reads those, the final predictions read
the files again. Kept pictures are fixed-point numbers, 1/256 of a level apart: whole levels
would move the features by some per cent against what the files give.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tl_app.config import Augmentation
from tl_app.features.arrays import kept_array, new_array
from tl_app.inputs.augment import build_augment
from tl_app.inputs.pictures import iterate_pictures
from tl_app.progress import Reporter
from tl_app.records import Preprocessing

PICTURE_SCALE = 256
"""Steps of a kept picture in one level of 0..255."""

FLOAT16_MAX = 60_000.0
"""Larger activations are kept as float32: half floats end at 65,504."""


def keep_pictures(
    files: Sequence[Path],
    preprocessing: Preprocessing,
    path: Path,
    *,
    batch_size: int,
    reporter: Reporter,
) -> np.ndarray:
    """Decode and resize every file once.

    Returns:
        uint16, memory-mapped, shape (n_files, S, S, 3): levels times PICTURE_SCALE.
    """
    size = preprocessing.image_size_px
    shape = (len(files), size, size, 3)
    kept = kept_array(path, shape, np.uint16)
    if kept is not None:
        return kept
    with (
        new_array(path, shape, np.uint16) as array,
        reporter.bar("Reading pictures", len(files), "images") as bar,
    ):
        start = 0
        for batch in iterate_pictures(files, preprocessing, batch_size):
            pixels = np.rint(batch.numpy() * PICTURE_SCALE).astype(np.uint16)
            array[start : start + len(pixels)] = pixels
            start += len(pixels)
            bar.advance(len(pixels))
    return np.load(path, mmap_mode="r", allow_pickle=False)


def view_seeds(rows: np.ndarray, view: int, seed: int) -> np.ndarray:
    """int32, shape (n_rows, 2): the same picture, view and seed always draw the same changes."""
    mixed = (rows.astype(np.int64) * 4096 + view) % (2**31)
    return np.stack([np.full_like(mixed, seed % 2**31), mixed], axis=1).astype(np.int32)


def picture_stream(
    pictures: np.ndarray,
    batches: Sequence[np.ndarray],
    *,
    augmentation: Augmentation | None,
    view: int,
    seed: int,
) -> tf.data.Dataset:
    """Batches of float32 pictures (n, S, S, 3) in 0..255, augmented where asked.

    Args:
        pictures: uint16, shape (n_pictures, S, S, 3), as `keep_pictures` gives them.
        batches: rows of each batch, in order.
        augmentation: None for the plain view.
        view, seed: of the random changes.
    """
    shape = pictures.shape[1:]

    def generate():
        for rows in batches:
            yield pictures[rows], view_seeds(rows, view, seed)

    dataset = tf.data.Dataset.from_generator(
        generate,
        output_signature=(
            tf.TensorSpec((None, *shape), tf.uint16),
            tf.TensorSpec((None, 2), tf.int32),
        ),
    )
    change = build_augment(augmentation, shape[0]) if augmentation is not None else None

    def to_float(batch, seeds):
        # Exact: the scale is a power of two.
        batch = tf.cast(batch, tf.float32) * (1.0 / PICTURE_SCALE)
        if change is None:
            return batch
        return tf.map_fn(
            lambda pair: change(pair[0], pair[1]),
            (batch, seeds),
            fn_output_signature=tf.TensorSpec(shape, tf.float32),
        )

    return dataset.map(to_float, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
        2
    )


class FrozenPart:
    """A model below a boundary, traced once; its call takes pictures, float32 (n, S, S, 3).

    Attributes:
        boundary: shape of one activation.
    """

    def __init__(self, below: keras.Model) -> None:
        self.boundary = tuple(below.output.shape[1:])
        self._compiled = tf.function(
            lambda batch: tf.cast(below(batch, training=False), tf.float32),
            input_signature=[tf.TensorSpec((None, *below.input.shape[1:]), tf.float32)],
        )

    def __call__(self, batch: tf.Tensor) -> np.ndarray:
        """float32, shape (n, *boundary); a batch too large for the device is halved."""
        try:
            return self._compiled(batch).numpy()
        except tf.errors.ResourceExhaustedError:
            n = len(batch)
            if n < 2:
                raise
            return np.concatenate([self(batch[: n // 2]), self(batch[n // 2 :])])


def extract(
    below: FrozenPart,
    pictures: np.ndarray,
    path: Path,
    *,
    dtype: type,
    batch_size: int,
    title: str,
    reporter: Reporter,
    rows: np.ndarray | None = None,
    augmentation: Augmentation | None = None,
    n_views: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """What `below` says of each picture, kept on disk.

    Args:
        below: pictures to the boundary.
        pictures: uint16, shape (n_pictures, S, S, 3), as `keep_pictures` gives them.
        path: of the .npy file; reused when it is there.
        dtype: np.float16 or np.float32; float16 becomes float32 where values are too large.
        rows: int64, which pictures; None for all.
        augmentation: None for the plain view, which is drawn once whatever `n_views` says.
        n_views: augmented views of each picture.
        seed: of the augmentation.

    Returns:
        Memory-mapped, shape (n_views, n_rows, *boundary).
    """
    rows = np.arange(len(pictures)) if rows is None else rows
    n_views = n_views if augmentation is not None else 1
    shape = (n_views, len(rows), *below.boundary)
    for kept_dtype in (dtype, np.float32):
        kept = kept_array(path, shape, kept_dtype)
        if kept is not None:
            return kept

    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    fits = True
    with (
        new_array(path, shape, dtype) as array,
        reporter.bar(title, n_views * len(rows), "images") as bar,
    ):
        for view in range(n_views):
            start = 0
            stream = picture_stream(
                pictures, batches, augmentation=augmentation, view=view, seed=seed
            )
            for batch in stream:
                values = below(batch)
                fits = fits and (dtype != np.float16 or np.abs(values).max() < FLOAT16_MAX)
                if not fits:
                    break
                array[view, start : start + len(values)] = values
                start += len(values)
                bar.advance(len(values))
    if not fits:
        path.unlink()
        return extract(
            below,
            pictures,
            path,
            dtype=np.float32,
            batch_size=batch_size,
            title=f"{title} (float32)",
            reporter=reporter,
            rows=rows,
            augmentation=augmentation,
            n_views=n_views,
            seed=seed,
        )
    return np.load(path, mmap_mode="r", allow_pickle=False)
