"""Files to batches of pictures, in order, decoded in parallel.

The decoder's graph is large: tracing it costs seconds, and so does preparing it to run. The
scan, training and the final predictions therefore all call one traced function from threads
(TensorFlow lets go of Python's lock while it decodes); a `tf.data` pipeline would prepare the
graph anew each time.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import tensorflow as tf

from tl_app.errors import DataError, UnusablePicture
from tl_app.inputs.ahead import run_ahead
from tl_app.inputs.decode import decode_levels
from tl_app.inputs.decode_budget import DECODING
from tl_app.inputs.files import read_picture_file
from tl_app.inputs.preprocess import apply_window, resize
from tl_app.records import Preprocessing

BATCHES_AHEAD = 2
"""Decoded while the caller works on the one before; bounds the memory."""


def iterate_pictures(
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    file_hashes: Sequence[str] | None = None,
) -> Iterator[tf.Tensor]:
    """Batches of pictures, as `build_preprocess` gives them bit for bit.

    Args:
        paths: files.
        preprocessing: how they become pictures.
        batch_size: n; the last batch may be smaller.
        file_hashes: SHA-256 of each file when it was looked at; None: any content will do.

    Returns:
        float32, shape (n, S, S, 3), in 0..255.

    Raises:
        DataError: a file changed or vanished since it was looked at; the file is named.
    """
    wanted = [None] * len(paths) if file_hashes is None else file_hashes
    pictures = run_ahead(
        zip(paths, wanted, strict=True),
        lambda pair: load_picture(pair[0], preprocessing, file_hash=pair[1]),
        n_ahead=(1 + BATCHES_AHEAD) * batch_size,
    )
    while batch := list(islice(pictures, batch_size)):
        yield tf.stack(batch)


def load_picture(
    path: Path, preprocessing: Preprocessing, *, file_hash: str | None = None
) -> tf.Tensor:
    """One picture as `build_preprocess` gives it; thread-safe.

    Returns:
        float32, shape (S, S, 3), in 0..255.

    Raises:
        DataError: the file changed or vanished since it was looked at, as in `iterate_pictures`.
    """
    try:
        file = read_picture_file(path, max_pixels=preprocessing.max_pixels)
        if file_hash is not None and hashlib.sha256(file.data).hexdigest() != file_hash:
            raise _lost(path, "It is not the file that it was.")
        with DECODING.reserve(file.n_pixels):
            return traced_preprocess(preprocessing)(file.encoded)
    except UnusablePicture as problem:
        raise _lost(path, problem.reason) from problem
    except tf.errors.OpError as error:
        raise _lost(path, "It is cut off or damaged.") from error


def _lost(path: Path, reason: str) -> DataError:
    return DataError(
        f"A picture cannot be used any more. {reason}",
        received=str(path),
        allowed="the file as it was when the data was scanned, byte for byte",
        next_step="bring the file back, or start a new run, which scans again",
    )


@functools.lru_cache(maxsize=8)
def traced_preprocess(preprocessing: Preprocessing) -> Callable[[bytes], tf.Tensor]:
    """`build_preprocess` for one picture at a time, traced once a process; thread-safe.

    Returns:
        A function of encoded bytes, giving float32, shape (S, S, 3), in 0..255. It raises
        tf.errors.OpError on what cannot be decoded.
    """

    finish = traced_resize(preprocessing)
    return lambda encoded: finish(*decode_levels(tf.constant(encoded), preprocessing.max_pixels))


@functools.lru_cache(maxsize=8)
def traced_resize(preprocessing: Preprocessing) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """What follows decoding: levels uint16 (h, w, 3) and their bits to float32 (S, S, 3)."""

    def window_and_resize(levels: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
        pixels = apply_window(levels, bits, preprocessing.window)
        return resize(pixels, preprocessing.image_size_px, preprocessing.aspect)

    return tf.function(
        window_and_resize,
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint16), tf.TensorSpec([], tf.int32)],
        autograph=False,
    )
