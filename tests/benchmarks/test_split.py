"""The shared split: disjoint, stratified, and the same pixels for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.split import Split, build_split


def write_picture(path: Path, seed: int, *, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(50):
        write_picture(tmp_path / "photos/cat" / f"{i}.png", i)
    for i in range(20):
        write_picture(tmp_path / "photos/dog/deep" / f"{i}.jpg", 100 + i)
    return tmp_path / "photos"


def files(split: Split, side: str) -> dict[str, set[Path]]:
    """Class name to the files that its links lead to."""
    return {
        folder.name: {path.resolve() for path in folder.iterdir()}
        for folder in (split.folder / side).iterdir()
    }


def test_disjoint_and_stratified(photos: Path, tmp_path: Path) -> None:
    split = build_split(photos, tmp_path / "split")
    train, test = files(split, "train"), files(split, "test")
    assert {name: len(found) for name, found in train.items()} == {"cat": 40, "dog": 16}
    assert {name: len(found) for name, found in test.items()} == {"cat": 10, "dog": 4}
    for name in ("cat", "dog"):
        assert not train[name] & test[name]
        assert train[name] | test[name] == {p.resolve() for p in (photos / name).rglob("*.*")}
    assert (split.n_train, split.n_test, split.class_names) == (56, 14, ("cat", "dog"))


def test_the_seed_decides(photos: Path, tmp_path: Path) -> None:
    splits = [build_split(photos, tmp_path / f"{i}", seed=seed) for i, seed in enumerate((0, 0, 1))]
    tests = [files(split, "test") for split in splits]
    assert tests[0] == tests[1] != tests[2]


def test_fewer_pictures_keep_the_shares(photos: Path, tmp_path: Path) -> None:
    split = build_split(photos, tmp_path / "split", max_pictures=35)
    counts = {name: len(found) for name, found in files(split, "train").items()}
    assert counts == {"cat": 20, "dog": 8}
    assert split.n_test == 7


def test_copies_and_broken_files_are_left_out(photos: Path, tmp_path: Path) -> None:
    (photos / "dog/copy.png").write_bytes((photos / "cat/0.png").read_bytes())
    (photos / "cat/cut.png").write_bytes((photos / "cat/1.png").read_bytes()[:60])
    (photos / "cat/notes.txt").write_text("no picture")
    split = build_split(photos, tmp_path / "split")
    assert split.n_left_out == 2
    assert split.n_train + split.n_test == 70


def test_what_others_would_read_otherwise_is_written_anew(photos: Path, tmp_path: Path) -> None:
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    clear.save(photos / "cat/clear.png")
    turned = Image.new("RGB", (8, 4), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(photos / "cat/turned.jpg", exif=exif)
    split = build_split(photos, tmp_path / "split")
    assert split.n_rewritten == 2
    written = {path.name: path for path in split.folder.rglob("*.png") if not path.is_symlink()}
    with Image.open(written["clear.png.png"]) as picture:
        assert picture.mode == "RGB"
        assert picture.getpixel((0, 0)) == (10, 20, 30)
        assert picture.getpixel((7, 7)) == (255, 255, 255)
    with Image.open(written["turned.jpg.png"]) as picture:
        assert picture.size == (4, 8)


def test_one_class_is_refused(tmp_path: Path) -> None:
    for i in range(9):
        write_picture(tmp_path / "photos/cat" / f"{i}.png", i)
    (tmp_path / "photos/dog").mkdir()
    with pytest.raises(ValueError, match="two class folders"):
        build_split(tmp_path / "photos", tmp_path / "split")
