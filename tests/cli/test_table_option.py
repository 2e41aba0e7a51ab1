"""Where `--table labels.csv` is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tl_app.data.table import list_table
from tl_app.errors import DataError


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"any")
    (folder / "labels.csv").write_text("path,label\na.jpg,below\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_table_below_the_folder_is_found_by_its_name(photos: Path) -> None:
    assert list_table(Path("labels.csv"), photos).class_names == {"below"}


def test_the_current_folder_comes_first(photos: Path) -> None:
    Path("labels.csv").write_text("path,label\na.jpg,here\n", encoding="utf-8")
    assert list_table(Path("labels.csv"), photos).class_names == {"here"}


def test_a_table_that_is_nowhere_is_told(photos: Path) -> None:
    with pytest.raises(DataError, match="below the folder"):
        list_table(Path("lables.csv"), photos)
