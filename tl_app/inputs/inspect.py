"""One look at a file: what it is, and whether training and serving can use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_app.errors import UnusablePicture
from tl_app.inputs.decode import TOO_MANY_PIXELS, decode_oriented
from tl_app.inputs.decode_budget import DECODING
from tl_app.inputs.files import PictureFile, read_picture_file
from tl_app.records import Inspection

AlsoLook = Callable[[Inspection, tf.Tensor], None]
"""Gets what was found, and the levels: uint16, shape (h, w, 3)."""


def inspect_file(path: Path, *, max_pixels: int) -> Inspection:
    """Read and decode one file, with the decoder that training and serving use.

    Safe to call from several threads.

    Args:
        path: of a picture.
        max_pixels: refuse pictures with more, before decoding.

    Raises:
        UnusablePicture: with a kind of `records.SetAside` and a sentence for people.
    """
    return inspect_picture(read_picture_file(path, max_pixels=max_pixels), max_pixels=max_pixels)


def inspect_picture(
    picture: PictureFile, *, max_pixels: int, also: AlsoLook | None = None
) -> Inspection:
    """`inspect_file` of a file that was read already.

    Args:
        picture: the file.
        max_pixels: as for `inspect_file`.
        also: is shown what was found, and the decoded picture, which need not be decoded again.
    """
    with DECODING.reserve(picture.n_pixels):
        return _inspect(picture, max_pixels, also)


def _inspect(picture: PictureFile, max_pixels: int, also: AlsoLook | None) -> Inspection:
    """A function of its own: the pixels go with it, before others may have the room."""
    decoded, bits, orientation = _decode(picture, max_pixels)
    levels = decoded.numpy()
    height, width, _ = levels.shape
    pixels = levels if bits == 16 else levels.astype(np.uint8)
    pixel_hash = hashlib.sha256(f"{height}x{width}x3 {bits} bits\n".encode())
    pixel_hash.update(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).data)
    found = Inspection(
        file_hash=hashlib.sha256(picture.data).hexdigest(),
        pixel_hash=pixel_hash.hexdigest(),
        width_px=width,
        height_px=height,
        mode=picture.mode,
        image_format=picture.image_format,
        exif_orientation=orientation if picture.image_format == "JPEG" else picture.orientation,
        n_bytes=len(picture.data),
        max_level=int(pixels.max()),
        bits=bits,
    )
    if also is not None:
        also(found, decoded)
    return found


def _decode(picture: PictureFile, max_pixels: int) -> tuple[tf.Tensor, int, int]:
    try:
        levels, bits, orientation = decode_oriented(tf.constant(picture.encoded), max_pixels)
        return levels, int(bits), int(orientation)
    except tf.errors.ResourceExhaustedError as error:
        raise UnusablePicture(
            "too_many_pixels", "There is not enough memory to decode it; make it smaller."
        ) from error
    except tf.errors.OpError as error:
        if TOO_MANY_PIXELS in str(error.message):
            # Pillow and TensorFlow read different sizes from a header made to deceive.
            raise UnusablePicture(
                "too_many_pixels", f"Its data claim more than {max_pixels:,} pixels."
            ) from error
        raise UnusablePicture(
            "truncated",
            f"The {picture.image_format} file is cut off or damaged; copy or export it again.",
        ) from error
