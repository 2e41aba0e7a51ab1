"""Parquet tables, where pyarrow is installed, and what is said where it is not."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings

from tests.data.text_makers import scan_loosely, tables
from tl_app.errors import DataError


def write(path, **columns):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table(columns), path, row_group_size=3)
    return path


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="not installed") as caught:
        scan_loosely(tmp_path / "t.parquet")
    assert "pip install 'tl_app[parquet]'" in str(caught.value)
    assert "t.parquet" in str(caught.value)


@given(tables)
@settings(derandomize=True, deadline=None, max_examples=30)
def test_rows_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "rows.parquet"
    write(path, text=[text for text, _ in rows], label=[label for _, label in rows])
    dataset = scan_loosely(path)
    assert [(e.path, e.text, dataset.class_names[e.label]) for e in dataset.examples] == [
        (f"rows.parquet:{i}", text, label) for i, (text, label) in enumerate(rows, start=1)
    ]
    assert dataset.set_aside == ()


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([1, 0, 1], ("0", "1")),
        ([1.0, 0.5, 1.0], ("0.5", "1.0")),
        ([True, False, True], ("false", "true")),
        ([" a", "b ", "a"], ("a", "b")),
    ],
)
def test_labels_of_any_type(tmp_path, labels, names):
    dataset = scan_loosely(write(tmp_path / "t.parquet", text=list("xyz"), label=labels))
    assert dataset.class_names == names


def test_categories_sides_and_groups(tmp_path):
    pa = pytest.importorskip("pyarrow")
    labels = pa.array(["pos", "neg", "pos"]).dictionary_encode()
    path = write(
        tmp_path / "t.PQ",
        review=["a", "b", "c"],
        label=labels,
        split=["train", "test", None],
        group=[7, 7, None],
        id=[1, 2, 3],
    )
    dataset = scan_loosely(path)
    assert dataset.class_names == ("neg", "pos")
    assert [e.given_side for e in dataset.examples] == ["train", "test", None]
    assert [e.given_group for e in dataset.examples] == ["7", "7", None]


def test_only_the_columns_that_are_used_are_read(tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet", text=["a"], label=["b"], note=["long"], split=["test"])
    parquet = pytest.importorskip("pyarrow.parquet")
    read = parquet.ParquetFile.iter_batches
    asked = []

    def watch(self, *arguments, columns):
        asked.append(columns)
        return read(self, *arguments, columns=columns)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", watch)
    scan_loosely(path)
    assert asked == [["text", "label", "split"]]


@pytest.mark.parametrize("as_categories", [False, True])
def test_what_cannot_be_used_is_told_by_its_row(tmp_path, as_categories):
    pa = pytest.importorskip("pyarrow")
    raw = pa.array([b"good", b"caf\xe9", b" ", b"a\0b", b"x" * 41, None, b"fine", b"last"])
    text = pa.StringArray.from_buffers(
        len(raw), raw.buffers()[1], raw.buffers()[2], raw.buffers()[0]
    )
    if as_categories:
        text = text.dictionary_encode()
    labels = ["p", "p", "p", "p", "p", "p", None, "q"]
    path = write(tmp_path / "t.parquet", text=text, label=labels)
    dataset = scan_loosely(path, max_characters=40)
    assert [(e.path, e.kind) for e in dataset.set_aside] == [
        ("t.parquet:2", "wrong_encoding"),
        ("t.parquet:3", "empty"),
        ("t.parquet:4", "nul_bytes"),
        ("t.parquet:5", "too_long"),
        ("t.parquet:6", "empty"),
        ("t.parquet:7", "no_label"),
    ]
    assert [e.text for e in dataset.examples] == ["good", "last"]


def test_texts_of_another_type(tmp_path):
    path = write(tmp_path / "t.parquet", text=[1, 2], label=["a", "b"])
    with pytest.raises(DataError, match="the text is a number, not a string"):
        scan_loosely(path)


def test_columns_are_guessed_and_named(tmp_path):
    path = write(tmp_path / "t.parquet", b=["l1", "l2"], a=["a long text", "another text"])
    assert [e.text for e in scan_loosely(path).examples] == ["a long text", "another text"]
    path = write(tmp_path / "t.parquet", a=["x"], b=["y"], c=["z"])
    assert scan_loosely(path, text_column="C", label_column="a").examples[0].text == "z"


@pytest.mark.parametrize("damage", [lambda b: b[:-30], lambda b: b"", lambda b: b"text,label\n"])
def test_damaged_files(tmp_path, damage):
    path = write(tmp_path / "t.parquet", text=["x"], label=["y"])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="cannot be read as Parquet") as caught:
        scan_loosely(path)
    assert "t.parquet" in str(caught.value)
