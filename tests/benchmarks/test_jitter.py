from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.jitter import grow


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for label, name in enumerate(("cat", "dog", "hen")):
        for i in range(2):
            path = tmp_path / f"{name}{i}.png"
            pixels = np.random.default_rng(10 * label + i).integers(0, 256, (24, 32, 3), np.uint8)
            Image.fromarray(pixels).save(path)
            found.setdefault(name, []).append(path)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.jpg"))
    }


def test_the_same_pictures_every_time(tmp_path: Path, sources: dict[str, list[Path]]) -> None:
    for name in ("one", "two"):
        grow(tmp_path / name, sources, 0, 30)
    grow(tmp_path / "other", sources, 0, 30, seed=1)
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert one != contents(tmp_path / "other")
    assert len(set(one.values())) == 30


def test_growing_keeps_what_is_there(tmp_path: Path, sources: dict[str, list[Path]]) -> None:
    grow(tmp_path / "steps", sources, 0, 10)
    grow(tmp_path / "steps", sources, 10, 31)
    grow(tmp_path / "once", sources, 0, 31)
    assert contents(tmp_path / "steps") == contents(tmp_path / "once")
    sizes = [len(list((tmp_path / "once" / name).iterdir())) for name in sources]
    assert sorted(sizes) == [10, 10, 11]


def test_pictures_are_crops(tmp_path: Path, sources: dict[str, list[Path]]) -> None:
    grow(tmp_path / "grown", sources, 0, 30)
    sizes = set()
    for path in (tmp_path / "grown").rglob("*.jpg"):
        with Image.open(path) as picture:
            sizes.add(picture.size)
    assert len(sizes) > 3
    assert all(22 <= width <= 32 and 16 <= height <= 24 for width, height in sizes)
