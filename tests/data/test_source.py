"""What a user names, looked at before anything is loaded: the words are those of what it is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.data.text_makers import scan_loosely
from tl_app.data.places import require_paths
from tl_app.data.source import Source
from tl_app.data.table import columns_of
from tl_app.errors import DataError

ROWS = [{"text": "a good film", "label": "good"}, {"text": "Rất tệ", "label": "bad"}]


class Told(NamedTuple):
    problem: str
    received: str
    allowed: str
    next_step: str


def refused(source: object, **options) -> Told:
    """The four things that an error says."""
    with pytest.raises(DataError) as caught:
        Source(str(source), **options).require_existing()
    error = caught.value
    assert error.received
    assert error.allowed
    assert error.next_step
    return Told(error.problem, str(error.received), error.allowed, error.next_step)


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.TSV", "nowhere.jsonl", "nowhere.parquet"])
def test_a_missing_table_is_told_as_a_table(tmp_path, name):
    (tmp_path / "mail.csv").write_text("text,label\n")
    error = refused(tmp_path / name)
    assert error.problem == "There is no such table."
    assert "a text and a label column" in error.allowed
    assert "path,label" in error.allowed
    assert "folder" not in " ".join(error)
    listing = subprocess.run(error.next_step, shell=True, capture_output=True, text=True)
    assert listing.stdout == "mail.csv\n"


def test_a_missing_table_suggests_a_near_one(tmp_path):
    (tmp_path / "mail.csv").write_text("text,label\n")
    assert "'mail.csv'" in refused(tmp_path / "mial.csv").problem


def test_a_missing_folder_is_told_as_a_folder(tmp_path):
    assert refused(tmp_path / "photos").problem == "There is no such folder."


def test_what_is_there_passes(tmp_path, pictures):
    Source(str(pictures(tmp_path / "set", a=1, b=1))).require_existing()
    (tmp_path / "t.csv").write_text("text,label\n")
    Source(str(tmp_path / "t.csv")).require_existing()
    Source("tfds:whatever").require_existing()


def test_a_missing_source_of_a_model_is_told_in_the_model_s_words(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        Source(str(tmp_path / "gone")).require("text")
    with pytest.raises(DataError, match=r"no such folder\."):
        Source(str(tmp_path / "gone")).require("image")


def run_in_shell(command: str, folder: Path) -> None:
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_array_of_json_becomes_lines_by_the_command_that_is_told(tmp_path, mark):
    file = tmp_path / "it's mine.json"
    file.write_text(mark + json.dumps(ROWS, indent=1, ensure_ascii=False), encoding="utf-8")
    error = refused(file)
    assert "one array" in error.received
    assert "one object a line" in error.allowed
    run_in_shell(error.next_step, tmp_path)
    texts = [e.text for e in scan_loosely(tmp_path / "it's mine.jsonl").examples]
    assert texts == [row["text"] for row in ROWS]


def test_lines_that_are_named_json_are_renamed(tmp_path):
    file = tmp_path / "t.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    error = refused(file)
    run_in_shell(error.next_step, tmp_path)
    assert len(scan_loosely(tmp_path / "t.jsonl").examples) == 2


@pytest.mark.parametrize("content", ['{\n "text": ["a"]\n}', "no JSON at all", ""])
def test_another_json_document_is_told_to_be_written_anew(tmp_path, content):
    (tmp_path / "t.json").write_text(content)
    error = refused(tmp_path / "t.json")
    assert "one document" in error.received
    assert ".jsonl" in error.next_step


def test_an_array_that_is_named_as_lines(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(ROWS))
    with pytest.raises(DataError, match="no JSON objects") as caught:
        scan_loosely(file)
    run_in_shell(str(caught.value.next_step), tmp_path)
    assert len(scan_loosely(tmp_path / "t.lines.jsonl").examples) == 2


@pytest.mark.parametrize("options", [{}, {"text_column": "text"}])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, options):
    os.mkfifo(tmp_path / "x.csv")
    error = refused(tmp_path / "x.csv", **options)
    assert error.problem == "This is no regular file."
    assert error.allowed.startswith("a CSV")
    with pytest.raises(DataError, match="no regular file"):
        require_paths([tmp_path / "x.csv"], "files")


def test_a_pipe_as_the_table_of_pictures_is_refused(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", a=3, b=3)
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(DataError, match="no regular file"):
        run_scan(root, table=tmp_path / "labels.csv")


def test_a_pipe_among_pictures_is_no_table(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", a=3, b=3)
    os.mkfifo(root / "x.csv")
    assert columns_of(root / "x.csv") is None
    assert len(run_scan(root).examples) == 6


def test_loose_texts_are_told_as_texts(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text("text")
    error = refused(tmp_path)
    assert error.problem == "The folder has no class folders."
    assert "3 .txt" in error.received
    assert error.next_step.startswith("put texts into one sub-folder per class")
    assert "picture" not in " ".join(error)


def test_loose_texts_beside_a_table_or_a_file_without_suffix_decide_nothing(tmp_path):
    for other in ("labels.csv", "README", "1.png"):
        folder = tmp_path / other
        folder.mkdir()
        (folder / "notes.txt").write_text("text")
        (folder / other).write_text("path,label\n")
        assert Source(str(folder)).modality == "image"
