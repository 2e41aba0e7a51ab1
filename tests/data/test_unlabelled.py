"""Texts to be told: from files, folders and tables, without labels."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.data.text_makers import scan_loosely
from tl_app.data.places import as_list
from tl_app.data.unlabelled import find_texts
from tl_app.errors import ConfigError, DataError


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
    with pytest.raises(DataError, match=r"no column nte.*note") as caught:
        find_texts([table], text_column="nte")
    assert "--text-column" in str(caught.value.next_step)
    assert "--label-column" not in str(caught.value)
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


def test_a_line_that_only_its_place_makes_names_is_told(tmp_path):
    table = tmp_path / "my texts.csv"
    table.write_text("a text of its own\nanother\n")
    found = find_texts([table])
    assert found.texts == ["another"]
    (warning,) = found.warnings
    assert "'a text of its own' is not predicted" in warning
    done = subprocess.run(warning.rsplit("\n", 1)[1], shell=True, cwd=tmp_path)
    assert done.returncode == 0
    again = find_texts([tmp_path / "my texts.named.csv"])
    assert again.texts == ["a text of its own", "another"]
    assert again.warnings == []
    assert find_texts([table], text_column="a text of its own").warnings == []


def test_a_document_of_json_and_a_pipe_are_refused(tmp_path):
    (tmp_path / "t.json").write_text('[{"text": "a"}]')
    with pytest.raises(DataError, match="a line at a time") as caught:
        find_texts([tmp_path / "t.json"])
    assert str(caught.value.next_step).startswith("python3 -c ")
    for name in ("x.csv", "x.txt"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="no regular file"):
            find_texts([tmp_path / name])


def test_a_table_that_may_not_be_read_is_told_alike_with_labels_and_without(tmp_path, monkeypatch):
    table = tmp_path / "t.csv"
    table.write_text("text,label\na,b\n")

    def refuse(self, *_: object):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    told = []
    for read in (find_texts, lambda paths: scan_loosely(paths[0])):
        with pytest.raises(DataError, match="cannot be read: Permission denied") as caught:
            read([table])
        told.append(str(caught.value))
    assert told[0] == told[1]


@pytest.mark.parametrize("given", ["a string", b"bytes", None, 5, [None], ["a", 5], Path("a")])
def test_what_is_no_list_of_texts_is_refused(given):
    with pytest.raises(ConfigError, match="texts takes a list of strings") as caught:
        as_list("texts", given, str)
    assert caught.value.received
    assert caught.value.allowed
    assert caught.value.next_step


def test_lists_of_all_kinds_are_taken():
    assert as_list("texts", (t for t in "ab"), str) == ["a", "b"]
    assert as_list("paths", {"a": 1, Path("b"): 2}, (str, os.PathLike)) == ["a", Path("b")]
    assert as_list("texts", (), str) == []
