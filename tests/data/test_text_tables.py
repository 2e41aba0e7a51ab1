"""Tables of texts: what they hold comes back, streamed, with labels, sides and groups."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.text_makers import (
    PIECES,
    aside,
    scan_bytes,
    scan_loosely,
    tables,
    write_csv,
    write_json_lines,
)
from tl_app.data import line_tables, text_tables
from tl_app.errors import DataError
from tl_app.records import Dataset, TextExample

every_time = settings(derandomize=True, deadline=None)


def said(dataset: Dataset[TextExample]) -> list[tuple[str, str, str]]:
    return [(e.path, e.text, dataset.class_names[e.label]) for e in dataset.examples]


@given(tables, st.sampled_from(",;\t"), st.sampled_from([b"", codecs.BOM_UTF8]))
@every_time
def test_separated_cells_come_back(rows, delimiter, mark):
    written, begins = write_csv([("Text", " LABEL "), *rows], delimiter, csv.QUOTE_MINIMAL)
    dataset = scan_bytes(mark + written.encode(), "t.tsv")
    assert said(dataset) == [
        (f"t.tsv:{line}", text, label) for line, (text, label) in zip(begins[1:], rows, strict=True)
    ]
    assert dataset.set_aside == ()
    assert dataset.modality == "text"


@given(tables, st.booleans(), st.sampled_from([b"", codecs.BOM_UTF8]))
@every_time
def test_json_lines_come_back(rows, ensure_ascii, mark):
    objects = [{"label": label, "id": i, "text": text} for i, (text, label) in enumerate(rows)]
    written, begins = write_json_lines(objects, ensure_ascii=ensure_ascii)
    dataset = scan_bytes(mark + written.encode(), "t.jsonl")
    assert said(dataset) == [
        (f"t.jsonl:{line}", text, label) for line, (text, label) in zip(begins, rows, strict=True)
    ]
    assert dataset.set_aside == ()


@given(tables)
@every_time
def test_hashes_are_of_the_text(rows):
    dataset = scan_bytes(write_csv([("text", "label"), *rows])[0].encode())
    for example, (text, _) in zip(dataset.examples, rows, strict=True):
        assert example.text_hash == hashlib.sha256(text.encode()).hexdigest()
        assert example.normal_hash == hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
        assert example.n_characters == len(text)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["t.csv", "t.ndjson"])
def test_ends_of_lines(newline, name):
    lines = ["text,label", "one,a", "", "two,b", '"three\nfour",a', "five,b"]
    if name == "t.ndjson":
        lines = ["", *(json.dumps({"text": t, "label": "ab"[t == "two"]}) for t in ("one", "two"))]
    dataset = scan_bytes(newline.join(lines).encode(), name)
    paths = [(e.path, e.text) for e in dataset.examples]
    if name == "t.csv":
        at = [
            ("t.csv:2", "one"),
            ("t.csv:4", "two"),
            ("t.csv:5", "three\nfour"),
            ("t.csv:7", "five"),
        ]
        assert paths == at
    else:
        assert paths == [("t.ndjson:2", "one"), ("t.ndjson:3", "two")]
    assert dataset.set_aside == ()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *(("true", "true"), ("false", "false"), ("1", "1"), ("1.0", "1.0"), ("-3", "-3")),
        *(("1.10", "1.10"), ("1e3", "1e3"), ("-0", "-0")),
        *(("0", "0"), ('" a "', "a"), ("Infinity", "Infinity"), ("9" * 5000, None)),
    ],
)
def test_labels_of_any_json_type_become_strings(value, name):
    raw = f'{{"text": "a", "label": {value}}}\n{{"text": "b", "label": "z"}}'.encode()
    dataset = scan_bytes(raw, "t.jsonl")
    if name is None:  # longer than a name may be
        assert aside(dataset) == [("t.jsonl:1", "malformed")]
    else:
        assert set(dataset.class_names) == {name, "z"}


def test_numbers_of_other_fields_do_no_harm():
    raw = b'{"text": "a", "label": "b", "id": ' + b"9" * 5000 + b', "x": 1e999}'
    assert [e.text for e in scan_bytes(raw, "t.jsonl").examples] == ["a"]


def test_control_characters_are_data_however_many():
    """Also unescaped in JSON, which forbids them, and where they are most of the file."""
    text = "\x01\x1b\x07\t\x7f" * 30
    for raw, name in (
        (f"text,label\n{text},pos\n".encode(), "t.csv"),
        (f'{{"text": "{text}", "label": "pos"}}\n'.encode(), "t.jsonl"),
    ):
        assert [e.text for e in scan_bytes(raw, name).examples] == [text]


def test_one_and_one_point_zero_are_two_labels(reporter):
    raw = b"".join(b'{"text": "a", "label": %s}\n' % v for v in (b"1", b"1.0", b"true", b'"1"'))
    assert scan_bytes(raw, "t.jsonl").class_names == ("1", "1.0", "true")


def test_hostile_content_comes_out_as_data(reporter):
    hostile = ["\x1b[2J\x1b[31mred", "\u202elabel", "<script>alert(1)</script>", "=cmd()", "a\x07b"]
    rows = [(f"{piece} {i}", piece) for i, piece in enumerate(hostile)]
    raw = write_csv([("text", "label"), *rows])[0].encode()
    dataset = scan_bytes(raw, reporter=reporter)
    assert [(e.text, dataset.class_names[e.label]) for e in dataset.examples] == rows
    with pytest.raises(DataError) as caught:
        scan_bytes(raw, purpose="training", reporter=reporter)
    for told in (str(caught.value), reporter.said):
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert "\x07" not in told
    assert "\\x1b[2J" in str(caught.value)
    assert "<script>" in str(caught.value)


def test_split_and_group():
    sides = ["train", "TRAIN", "Valid", "validation", " val ", "test", ""]
    rows = [(f"text {i}", "ab"[i % 2], side, f" g{i // 2} ") for i, side in enumerate(sides)]
    header = ("text", "label", "Split", "group")
    dataset = scan_bytes(write_csv([header, *rows])[0].encode())
    assert [e.given_side for e in dataset.examples] == [
        *("train", "train", "validation", "validation", "validation", "test", None)
    ]
    assert [e.given_group for e in dataset.examples][:3] == ["g0", "g0", "g1"]
    assert dataset.given_sides == ("train", "validation", "test")


def test_json_sides_and_groups_may_come_late_and_be_numbers():
    rows: list[dict[str, Any]] = [{"text": f"t{i}", "label": "a"} for i in range(150)]
    rows += [{"text": "late", "label": "b", "split": "test", "group": 7}]
    dataset = scan_bytes(write_json_lines(rows)[0].encode(), "t.jsonl")
    late = dataset.examples[-1]
    assert (late.given_side, late.given_group) == ("test", "7")
    assert dataset.given_sides == ("test",)


def test_unknown_splits_are_told_at_once():
    rows = [("a", "x", "train"), ("b", "x", "dev"), ("c", "y", "tset"), ("d", "y", "dev")]
    raw = write_csv([("text", "label", "split"), *rows])[0].encode()
    with pytest.raises(DataError, match=r"unknown values of split \(2\)") as caught:
        scan_bytes(raw)
    assert "'dev' (line 3), 'tset' (line 4)" in str(caught.value)


def test_no_end_of_unknown_splits(monkeypatch):
    monkeypatch.setattr(text_tables, "MAX_UNKNOWN_SPLITS", 5)
    rows = [("a", "x", f"word {i}") for i in range(50)]
    raw = write_csv([("text", "label", "split"), *rows])[0].encode()
    with pytest.raises(DataError, match="5 or more"):
        scan_bytes(raw)


@pytest.fixture
def large(tmp_path, monkeypatch) -> Callable[[str], Path]:
    """Writes a table of a megabyte, mostly in a column that is not used. Limits are small."""
    monkeypatch.setattr(line_tables, "MIN_LINE_CHARACTERS", 20_000)
    monkeypatch.setattr(text_tables, "BAR_FROM_BYTES", 1_000_000)
    monkeypatch.setattr(text_tables, "N_ROWS_A_STEP", 10)

    def write(name: str) -> Path:
        filler = ("từ " * 2_000)[:6_000]
        rows = [
            (f"text {i} {PIECES[i % 8]}", "pos" if i % 2 else "neg", filler) for i in range(150)
        ]
        if name == "t.jsonl":
            written = write_json_lines(
                [{"text": text, "label": label, "note": note} for text, label, note in rows]
            )[0]
            long = '{"text": "' + "x" * 500_000 + '"}\n'
        else:
            written = write_csv([("text", "label", "note"), *rows])[0]
            long = '"never closed,pos,x\n' + "y" * 500_000 + "\n"
        (tmp_path / name).write_bytes((written + long).encode())
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_large_file_is_never_held(large, name):
    file = large(name)
    n_bytes = file.stat().st_size
    assert n_bytes > 1_500_000
    scan_loosely(file, max_characters=100)  # what is imported and cached once
    tracemalloc.start()
    dataset = scan_loosely(file, max_characters=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(dataset.examples) == 150
    assert {entry.kind for entry in dataset.set_aside} >= {"too_long"}
    assert peak < n_bytes / 2


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_large_file_has_a_bar(large, name, reporter):
    scan_loosely(large(name), max_characters=100, reporter=reporter)
    ((title, total, unit),) = reporter.bars
    assert (title, unit) == (f"Reading {name}", "MB")
    assert reporter.n_advanced == total >= 1


def test_a_small_file_needs_no_bar(reporter):
    scan_bytes(b"text,label\na,b\nc,d\n", reporter=reporter)
    assert reporter.bars == []
    assert "2 texts of the column text, with labels of the column label." in reporter.said
