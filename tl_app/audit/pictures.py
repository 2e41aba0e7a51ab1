"""Opening pictures with Pillow, small where the format can; no TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from tl_app.inputs.files import quiet

_TURNS: dict[int, tuple[Image.Transpose, ...]] = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_270,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_90,),
}
"""What turns a picture upright, by EXIF orientation."""

# The classes themselves: `Image.open` has a limit of its own, which is global state.
_OPENERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}


def open_picture(encoded: bytes, image_format: str) -> ImageFile.ImageFile:
    """The header is read, the pixels are not.

    Args:
        encoded: as `inputs.files.read_picture_file` gives it.
        image_format: of the file; TIFF and HEIF were converted to PNG.

    Raises:
        SyntaxError, OSError and others of `inputs.files.HEADER_ERRORS`: it is damaged.
    """
    opener = _OPENERS.get(image_format, PngImagePlugin.PngImageFile)
    if image_format == "JPEG":  # the most frequent kind, which opens without warnings
        return opener(io.BytesIO(encoded))
    with quiet():
        return opener(io.BytesIO(encoded))


def small_rgb(image: ImageFile.ImageFile, side_px: int, orientation: int) -> Image.Image:
    """8-bit RGB, upright, on white where transparent; not larger than needed.

    Args:
        image: opened.
        side_px: the longer side is at most so long; smaller pictures stay as they are.
        orientation: EXIF, 1 to 8.
    """
    if image.format == "JPEG":
        image.draft(None, (side_px, side_px))
    plain = _eight_bits(image)
    plain.thumbnail((side_px, side_px), Image.Resampling.BOX, reducing_gap=None)
    if "A" in plain.getbands() or "transparency" in plain.info:
        layers = plain.convert("RGBA")
        ground = Image.new("RGBA", layers.size, "white")
        plain = Image.alpha_composite(ground, layers)
    plain = plain.convert("RGB")
    for turn in _TURNS.get(orientation, ()):
        plain = plain.transpose(turn)
    return plain


def _eight_bits(image: Image.Image) -> Image.Image:
    """Palettes are looked up, and 16 bits scaled by the bit depth that holds the picture."""
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    levels = np.asarray(image).astype(np.float32)
    highest = max(int(levels.max()), 0)
    full = 2 ** max(8, highest.bit_length()) - 1
    return Image.fromarray(np.clip(levels * (255 / full), 0, 255).astype(np.uint8))
