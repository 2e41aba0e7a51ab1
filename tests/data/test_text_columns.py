"""Which columns are the text and the label: by name, by length, or as the caller says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.text_makers import scan_loosely, write_csv, write_json_lines
from tl_app.data.text_columns import LABEL_NAMES, TEXT_NAMES, choose_columns
from tl_app.errors import DataError

FILE = Path("/set/t.csv")


def chosen(header: str, rows: list[dict[str, str]] | None = None, text=None, label=None):
    columns = header.split(",")
    found = choose_columns(FILE, columns, lambda: rows or [], text_column=text, label_column=label)
    return found.text, found.label


@pytest.mark.parametrize("text", TEXT_NAMES)
@pytest.mark.parametrize("label", LABEL_NAMES)
def test_usual_names_among_others(text, label):
    assert chosen(f"id,{label},stars,{text},split") == (text, label)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("review,text,class,label", ("text", "label")),  # the plainest names win
        ("body,stars", ("body", "stars")),
        ("stars,body", ("body", "stars")),
        ("words,target", ("words", "target")),
        ("title,text", ("text", "title")),
        ("label,sentence,group,split", ("sentence", "label")),
        (",words,label", ("words", "label")),
        ("Unnamed: 0,words,label", ("words", "label")),
        (" Text ,LABEL", (" Text ", "LABEL")),
        ("path,text,label", ("text", "label")),
    ],
)
def test_names_tell(header, expected):
    assert chosen(header) == expected


@pytest.mark.parametrize("header", ["a,b", "review,comment", "category,sentiment", ",b,split,a"])
def test_of_two_columns_the_longer_values_are_the_text(header):
    first, second = [c for c in header.split(",") if c not in ("", "split")]
    rows = [{first: "a longer text", second: "x"}, {first: "", second: "some label"}]
    assert chosen(header, rows) == (first, second)
    assert chosen(header, [{first: "ab", second: "abc"}]) == (second, first)


@pytest.mark.parametrize(
    "header",
    ["a,b", "a,b,c", "id,text,stars", "review,comment,label", "text", "a,text,class,topic", ""],
)
def test_what_cannot_be_told_is_asked(header):
    with pytest.raises(DataError, match="cannot be told") as caught:
        chosen(header)
    assert f"columns {header.replace(',', ', ') or '(none)'}" in str(caught.value)
    assert "--text-column COLUMN --label-column COLUMN" in str(caught.value)


def test_paths_are_not_trained_on():
    with pytest.raises(DataError, match="cannot be told"):
        chosen("path,label")
    assert chosen("path,label", text="path") == ("path", "label")


def test_the_caller_decides():
    assert chosen("text,label,words,kind", text="words", label="KIND ") == ("words", "kind")
    assert chosen("text,label,words", text="words") == ("words", "label")
    assert chosen("text,label,kind", label="kind") == ("text", "kind")
    assert chosen("a,b", label="a") == ("b", "a")
    assert chosen("text,split,group", label="split") == ("text", "split")
    assert chosen("Text,text,label", text="Text") == ("Text", "label")


def test_a_side_column_that_is_the_label_gives_no_sides():
    found = choose_columns(FILE, ["text", "split"], list, text_column=None, label_column="split")
    assert (found.label, found.split) == ("split", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": "txet"}, r"no column txet\. Did you mean 'text'"),
        ({"label": "lable\x1b"}, r"no column lable\\x1b"),
        ({"text": "text", "label": "Text"}, "both the text and the label"),
    ],
)
def test_names_that_are_not_there(options, words):
    with pytest.raises(DataError, match=words) as caught:
        chosen("text,label,id", **options)
    assert "text, label, id" in str(caught.value)
    assert "--text-column" in str(caught.value)


@pytest.mark.parametrize(
    "header", ["text,text,label", "text,label,label", "text,label,split,split"]
)
def test_doubled_columns(header):
    with pytest.raises(DataError, match="more than one column"):
        chosen(header)


def test_doubled_columns_that_are_not_used_do_no_harm():
    assert chosen("text,label,id,id") == ("text", "label")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_first_line_of_a_file_decides(tmp_path, reporter, delimiter):
    rows = [("Worte", "Kind", "note"), ("ein, zwei; drei\tvier", "a", "n")]
    (tmp_path / "t.csv").write_text(write_csv(rows, delimiter)[0])
    dataset = scan_loosely(
        tmp_path / "t.csv", text_column="WORTE", label_column="kind", reporter=reporter
    )
    assert [e.text for e in dataset.examples] == ["ein, zwei; drei\tvier"]
    assert "1 text of the column worte, with labels of the column kind" in reporter.said
    assert "columns not used: note." in reporter.said


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_lengths_are_taken_from_the_rows_and_none_is_lost(tmp_path, name):
    rows = [{"b": f"label {i % 2}", "a": f"a text of some length {i}"} for i in range(300)]
    table = write_csv([("b", "a"), *(tuple(row.values()) for row in rows)])[0]
    (tmp_path / name).write_text(table if name == "t.csv" else write_json_lines(rows)[0])
    dataset = scan_loosely(tmp_path / name)
    assert [e.text for e in dataset.examples] == [row["a"] for row in rows]
    assert dataset.class_names == ("label 0", "label 1")


def test_keys_of_json_are_taken_as_they_are(tmp_path):
    rows = [{"Text": "one", "Label": "a", "Split": "test"}, {"Label": "b", "Text": "two"}]
    (tmp_path / "t.jsonl").write_text(write_json_lines(rows)[0])
    dataset = scan_loosely(tmp_path / "t.jsonl")
    assert [(e.text, e.given_side) for e in dataset.examples] == [("one", "test"), ("two", None)]
