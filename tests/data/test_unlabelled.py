"""Texts to be told: from files, folders and tables, without labels."""

from __future__ import annotations

import json

import pytest

from tl_app.data.unlabelled import find_texts
from tl_app.errors import DataError


def test_files_folders_and_tables_in_the_order_of_the_paths(tmp_path):
    (tmp_path / "b.txt").write_text("second")
    folder = tmp_path / "more"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x.txt").write_text("deep")
    (folder / "a.txt").write_text("\ufefffirst", encoding="utf-8")
    (folder / "empty.txt").write_text("")
    (folder / "page.html").write_text("<p>")
    table = tmp_path / "t.csv"
    table.write_text('text,number\n"a, b",1\n,2\nlast,3\n')
    found = find_texts([tmp_path / "b.txt", folder, table])
    assert found.texts == ["second", "first", "deep", "a, b", "last"]
    assert found.names[-2:] == [f"{table}:2", f"{table}:4"]
    assert sorted((entry.path.rsplit("/", 1)[1], entry.kind) for entry in found.set_aside) == [
        ("empty.txt", "empty"),
        ("page.html", "unsupported"),
        ("t.csv:3", "empty"),
    ]


def test_the_column_is_guessed_named_or_asked_for(tmp_path):
    table = tmp_path / "t.jsonl"
    table.write_text(json.dumps({"id": 1, "note": "hello"}) + "\n")
    with pytest.raises(DataError, match="cannot be told") as caught:
        find_texts([table])
    assert "--text-column" in str(caught.value.next_step)
    assert find_texts([table], text_column="NOTE").texts == ["hello"]
    with pytest.raises(DataError, match=r"no column nte.*note"):
        find_texts([table], text_column="nte")
    alone = tmp_path / "alone.csv"
    alone.write_text("whatever\none\ntwo\n")
    assert find_texts([alone]).texts == ["one", "two"]
    doubled = tmp_path / "doubled.csv"
    doubled.write_text("text,text\none,two\n")
    with pytest.raises(DataError, match="more than one column"):
        find_texts([doubled])


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(DataError, match="nothing at this path"):
        find_texts([tmp_path / "gone.txt"])
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match="no texts here"):
        find_texts([tmp_path / "void"])
