"""Telling texts from pictures by a cheap look."""

from __future__ import annotations

from pathlib import Path

import pytest

from tl_app.data import texts
from tl_app.data.texts import is_text_source


def is_table(folder: Path, content: str | bytes, name: str = "t.csv") -> bool:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return is_text_source(str(file))


@pytest.mark.parametrize(
    "header",
    [
        "text,label",
        "\ufeffLabel;Sentence",
        "review\tid\tstars",
        "id,split,body",
        "a,b",
        "ticket,comments,queue",
    ],
)
def test_tables_of_texts(tmp_path, header):
    assert is_table(tmp_path, f"{header}\nx,y\n")


@pytest.mark.parametrize(
    "header",
    [
        "path,label",
        "path,label,split",
        "path,label,text",
        "path,lable",
        "text",
        "",
    ],
)
def test_tables_of_other_things(tmp_path, header):
    assert not is_table(tmp_path, f"{header}\n1.png,y\n")


def test_by_the_name_of_the_file(tmp_path):
    for name in ("t.jsonl", "t.NDJSON", "t.parquet"):
        assert is_table(tmp_path, b"\0", name)
    assert is_table(tmp_path, "text,label\n", "t.data")
    assert not is_table(tmp_path, "dear reader, this is a letter\n", "letter.txt")
    assert not is_table(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(100), "cat.png")
    assert not is_table(tmp_path, "text,label\n".encode("utf-16"))
    assert is_table(tmp_path, b"text,label\rgood,pos\r")


def test_folders(tmp_path, picture):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
    root = tmp_path / "set"
    assert not is_text_source(str(root))
    (root / "b" / "1.txt").write_text("text")
    assert is_text_source(str(root))
    assert is_text_source(f"{root}/")
    picture(root / "a" / "1.png")
    assert not is_text_source(str(root))


def test_folders_of_sides(tmp_path):
    for side in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / side / name).mkdir(parents=True)
            (tmp_path / side / name / "1.txt").write_text("text")
    assert is_text_source(str(tmp_path))


def test_loose_texts_beside_pictures_are_no_classes(tmp_path, pictures):
    root = pictures(tmp_path / "set", a=2, b=2)
    (root / "notes.txt").write_text("text")
    assert not is_text_source(str(root))


def test_only_the_first_files_are_looked_at(tmp_path, monkeypatch, picture):
    monkeypatch.setattr(texts, "N_FIRST_FILES", 3)
    (tmp_path / "a").mkdir()
    for i in range(4):
        (tmp_path / "a" / f"{i}.txt").write_text("text")
    picture(tmp_path / "a" / "9.png")
    assert is_text_source(str(tmp_path))


@pytest.mark.parametrize("source", ["tfds:imdb_reviews", "nowhere/at/all", "a\0b", ""])
def test_what_is_not_there(source, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text("text")
    monkeypatch.chdir(tmp_path)  # nothing named is not the folder that one stands in
    assert not is_text_source(source)
