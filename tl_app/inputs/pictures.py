"""Files to batches of pictures, in order, decoded in parallel.

The decoder's graph is large: tracing it costs seconds, and so does preparing it to run. The
scan, training and the final predictions therefore all call one traced function from threads
(TensorFlow lets go of Python's lock while it decodes); a `tf.data` pipeline would prepare the
graph anew each time.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from tl_app.errors import DataError, UnusablePicture
from tl_app.inputs.decode import decode_levels
from tl_app.inputs.decode_budget import DECODING
from tl_app.inputs.files import read_picture_file
from tl_app.inputs.preprocess import apply_window, resize
from tl_app.records import Preprocessing

MAX_THREADS = min(8, len(os.sched_getaffinity(0)))
"""Each may hold the file of a picture of the largest size."""

BATCHES_AHEAD = 2
"""Decoded while the caller works on the one before; bounds the memory."""


def iterate_pictures(
    paths: Sequence[str | os.PathLike[str]], preprocessing: Preprocessing, batch_size: int
) -> Iterator[tf.Tensor]:
    """Batches of pictures, as `build_preprocess` gives them bit for bit.

    Returns:
        float32, shape (n, S, S, 3), in 0..255; the last batch may be smaller.

    Raises:
        DataError: a file changed or vanished since it was looked at; the file is named.
    """
    to_picture = traced_preprocess(preprocessing)

    def load(path: str | os.PathLike[str]) -> tf.Tensor:
        try:
            file = read_picture_file(Path(path), max_pixels=preprocessing.max_pixels)
            with DECODING.reserve(file.n_pixels):
                return to_picture(file.encoded)
        except UnusablePicture as problem:
            raise _lost(path, problem.reason) from problem
        except tf.errors.OpError as error:
            raise _lost(path, "It is cut off or damaged.") from error

    waiting: deque[Future[tf.Tensor]] = deque()
    todo = iter(paths)
    with ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="decode") as pool:
        try:
            while True:
                while len(waiting) < (1 + BATCHES_AHEAD) * batch_size:
                    path = next(todo, None)
                    if path is None:
                        break
                    waiting.append(pool.submit(load, path))
                if not waiting:
                    return
                n = min(batch_size, len(waiting))
                yield tf.stack([waiting.popleft().result() for _ in range(n)])
        finally:
            # After an error or a signal nobody waits for what is not wanted any more.
            pool.shutdown(wait=False, cancel_futures=True)


def _lost(path: str | os.PathLike[str], reason: str) -> DataError:
    return DataError(
        f"A picture cannot be used any more. {reason}",
        received=os.fspath(path),
        allowed="the file as it was when the data was scanned",
        next_step="bring the file back, or start a new run, which scans again",
    )


@functools.lru_cache(maxsize=8)
def traced_preprocess(preprocessing: Preprocessing) -> Callable[[bytes], tf.Tensor]:
    """`build_preprocess` for one picture at a time, traced once a process; thread-safe.

    Returns:
        A function of encoded bytes, giving float32, shape (S, S, 3), in 0..255. It raises
        tf.errors.OpError on what cannot be decoded.
    """

    def window_and_resize(levels: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
        pixels = apply_window(levels, bits, preprocessing.window)
        return resize(pixels, preprocessing.image_size_px, preprocessing.aspect)

    finish = tf.function(
        window_and_resize,
        input_signature=[tf.TensorSpec([None, None, 3], tf.uint16), tf.TensorSpec([], tf.int32)],
        autograph=False,
    )
    return lambda encoded: finish(*decode_levels(tf.constant(encoded), preprocessing.max_pixels))
