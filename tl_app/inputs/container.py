"""What the containers of GIF, WebP and BMP files say, read without decoding a pixel."""

from __future__ import annotations

from tl_app.errors import UnusablePicture

_MAX_SEGMENTS = 1024
"""As in `inputs.orientation`."""


def cut_off(image_format: str) -> UnusablePicture:
    """The error for a file that ends before its picture does."""
    return UnusablePicture(
        "truncated", f"The {image_format} file is cut off before its end; copy or export it again."
    )


def gif_first_frame(data: bytes, *, max_pixels: int) -> tuple[bytes, int]:
    """The GIF without its later frames, so that a long animation costs one frame.

    Returns:
        The file, and the pixels of the frame.

    Raises:
        UnusablePicture: "truncated" when any frame or the end mark is missing;
            "too_many_pixels" when the first frame claims more than `max_pixels`.
    """
    try:
        position = 13 + _gif_table_bytes(data[10])
        first_end, n_pixels = None, 0
        while data[position] != 0x3B:
            if data[position] == 0x21:
                position = _gif_skip_blocks(data, position + 2)
            elif data[position] == 0x2C:
                if first_end is None:
                    width = int.from_bytes(data[position + 5 : position + 7], "little")
                    height = int.from_bytes(data[position + 7 : position + 9], "little")
                    n_pixels = width * height
                    if n_pixels > max_pixels:
                        raise too_many_pixels(width, height, max_pixels)
                start = position + 10 + _gif_table_bytes(data[position + 9])
                position = _gif_skip_blocks(data, start + 1)
                first_end = first_end or position
            else:
                raise UnusablePicture(
                    "truncated", "The GIF file is damaged between its frames; export it again."
                )
    except IndexError:
        raise cut_off("GIF") from None
    if first_end is None:
        raise UnusablePicture("not_an_image", "The GIF file holds no picture.")
    single = data if first_end == position else data[:first_end] + b";"
    return single, n_pixels


def gif_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas.

    Raises:
        UnusablePicture: "truncated" when the file ends before it says so.
    """
    if len(data) < 13:
        raise cut_off("GIF")
    return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")


def _gif_table_bytes(packed: int) -> int:
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0


def _gif_skip_blocks(data: bytes, position: int) -> int:
    while data[position]:
        position += data[position] + 1
    return position + 1


def webp_size(data: bytes) -> tuple[int, int, bool]:
    """Width, height and whether there is alpha.

    Raises:
        UnusablePicture: "truncated" when the file is shorter than it says it is;
            "not_an_image" when it holds no picture.
    """
    if len(data) < 30 or len(data) < int.from_bytes(data[4:8], "little") + 8:
        raise cut_off("WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return width, height, bool(data[20] & 0x10)
    if kind == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, bool(packed >> 28 & 1)
    if kind == b"VP8 ":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        return width, int.from_bytes(data[28:30], "little") & 0x3FFF, False
    raise UnusablePicture("not_an_image", "The WebP file holds no picture.")


def webp_first_frame(data: bytes) -> bytes:
    """The WebP file without the frames after the first, so that an animation costs one."""
    position, frames = 12, 0
    end = int.from_bytes(data[4:8], "little") + 8
    while position + 8 <= end:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"ANMF":
            frames += 1
            if frames == 2:
                kept = data[:position]
                return kept[:4] + (position - 8).to_bytes(4, "little") + kept[8:]
        position += 8 + size + (size & 1)
    return data


def bmp_is_common(data: bytes) -> bool:
    """Whether `inputs.decode` reads this BMP; the same conditions stand there as graph code."""

    def number(position: int, n_bytes: int) -> int:
        return int.from_bytes(data[position : position + n_bytes], "little")

    header_bytes, bit_depth, compression = number(14, 4), number(28, 2), number(30, 4)
    if header_bytes < 40:
        return False
    if compression == 0:
        return bit_depth in (8, 24, 32)
    masks = (number(54, 4), number(58, 4), number(62, 4))
    return compression == 3 and bit_depth == 32 and masks == (0x00FF0000, 0x0000FF00, 0x000000FF)


def bmp_is_whole(data: bytes) -> bool:
    """Whether a common BMP has all its rows behind its header, each filled up to four bytes."""
    start, header_bytes, width, height, bit_depth = (
        int.from_bytes(data[position : position + n_bytes], "little", signed=n_bytes == 4)
        for position, n_bytes in ((10, 4), (14, 4), (18, 4), (22, 4), (28, 2))
    )
    row_bytes = (width * bit_depth + 31) // 32 * 4
    return start >= 14 + header_bytes and len(data) >= start + row_bytes * abs(height)


def bmp_palette(data: bytes) -> tuple[int, int]:
    """Where the rows of an 8-bit BMP begin, and how many colours its palette has."""
    start, stored = (int.from_bytes(data[at : at + 4], "little") for at in (10, 46))
    return start, stored if 0 < stored <= 256 else 256


def jpeg_exif(data: bytes) -> bytes:
    """The TIFF structure of a JPEG's first EXIF segment, as `inputs.orientation` finds it."""
    position = 0
    for _ in range(_MAX_SEGMENTS):
        window = data[position : position + 9].ljust(9, b"\0")
        marker, size = window[1], int.from_bytes(window[2:4], "big")
        if position + 4 > len(data) or window[0] != 0xFF or marker in (0, 0xD9, 0xDA):
            break
        if marker == 0xFF:  # what fills the space before a marker
            position += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        elif size < 2:
            break
        elif marker == 0xE1 and size >= 8 and window[4:] == b"Exif\0":
            return data[position + 10 : position + 2 + size]
        else:
            position += 2 + size
    return b""


def webp_with_alpha(data: bytes) -> bytes:
    """The same file, told to have alpha where it may have: Pillow believes what the file says, and
    shows what is seen through as black."""
    if data[12:16] != b"VP8X":
        return data
    return data[:20] + bytes((data[20] | 0x10,)) + data[21:]


def too_many_pixels(width: int, height: int, max_pixels: int) -> UnusablePicture:
    """The error for a picture over the limit, told before decoding it."""
    return UnusablePicture(
        "too_many_pixels",
        f"{width} x {height} is {width * height:,} pixels, over the limit of {max_pixels:,}; "
        "make it smaller, or raise the limit with --set data.max_pixels=NUMBER.",
    )
