"""Tiny pictures, a light inspection and a reporter that remembers."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, UnidentifiedImageError

from tl_app.config import DataSettings
from tl_app.data.scan import scan
from tl_app.errors import UnusablePicture
from tl_app.records import Dataset, Inspection


def light_inspect(path: Path) -> Inspection:
    """What the real inspection records, by Pillow alone."""
    try:
        raw = path.read_bytes()
    except PermissionError as error:
        raise UnusablePicture("unreadable", "not allowed to read it") from error
    if not raw:
        raise UnusablePicture("empty", "the file is empty")
    try:
        with Image.open(path) as image:
            image.load()
            pixels = image.convert("RGB").tobytes()
            width, height = image.size
            mode, image_format = image.mode, str(image.format)
    except UnidentifiedImageError as error:
        raise UnusablePicture("not_an_image", "no picture") from error
    except OSError as error:
        raise UnusablePicture("truncated", "ends too early") from error
    return Inspection(
        file_hash=hashlib.sha256(raw).hexdigest(),
        pixel_hash=hashlib.sha256(pixels).hexdigest(),
        width_px=width,
        height_px=height,
        mode=mode,
        image_format=image_format,
        exif_orientation=1,
        n_bytes=len(raw),
        max_level=max(pixels),
        bits=8,
    )


class Recorder:
    """A reporter whose words can be looked at."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []
        self.bars: list[tuple[str, int, str]] = []
        self.n_advanced = 0
        self._lock = threading.Lock()

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Recorder]:
        self.bars.append((title, total, unit))
        yield self

    def advance(self, n: int = 1, *, note: str = "") -> None:
        with self._lock:
            self.n_advanced += n

    @property
    def said(self) -> str:
        return "\n".join([*self.messages, *self.warnings])


_drawn = iter(range(1, 1 << 24))


def write_picture(path: Path, colour: int | None = None) -> Path:
    """A 2 x 2 PNG; each call without a colour draws another one."""
    number = next(_drawn) if colour is None else colour
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = (number & 255, number >> 8 & 255, number >> 16 & 255)
    Image.new("RGB", (2, 2), rgb).save(path, format="PNG")
    return path


@pytest.fixture
def picture() -> Callable[..., Path]:
    return write_picture


@pytest.fixture
def pictures() -> Callable[..., Path]:
    """Write n pictures each into some folders of a root."""

    def write(root: Path, **counts: int) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        for name, n in counts.items():
            folder = root / name.replace("__", "/")
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                write_picture(folder / f"{i:04d}.png")
        return root

    return write


@pytest.fixture
def reporter() -> Recorder:
    return Recorder()


@pytest.fixture
def inspect() -> Callable[[Path], Inspection]:
    return light_inspect


@pytest.fixture
def run_scan(reporter: Recorder) -> Callable[..., Dataset]:
    """`scan` with light parts; `settings` are keywords of DataSettings."""

    def run(source: object, *, settings: dict[str, Any] | None = None, **options: Any) -> Dataset:
        arguments: dict[str, Any] = {
            "inspect": light_inspect,
            "reporter": reporter,
            "test_required": True,
            **options,
        }
        return scan(str(source), DataSettings(**(settings or {})), **arguments)

    return run
