"""What of a table cannot be used: bad rows by their lines, and files refused as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.text_makers import aside, n_lines, scan_bytes, scan_loosely
from tl_app.errors import DataError

BAD_CELLS = {
    b"caf\xe9 noir,pos": "wrong_encoding",
    "很好".encode("gbk") + b",pos": "wrong_encoding",
    b"good,p\xff": "wrong_encoding",
    b"  \t ,pos": "empty",
    b'"\n",pos': "empty",
    "\u3000\xa0,pos".encode(): "empty",
    b"a\0b,pos": "nul_bytes",
    b"good,p\0": "nul_bytes",
    b"x" * 41 + b",pos": "too_long",
    b'"opened,pos': "unbalanced_quotes",
    b'"shut" late,pos': "unbalanced_quotes",
    b"text alone": "malformed",
    b"one,two,three": "malformed",
    b"y," + b"l" * 1001: "malformed",
    b"no label,": "no_label",
    b"no label, \t": "no_label",
}
BAD_JSON = {
    b'{"text": "caf\xe9", "label": "pos"}': "wrong_encoding",
    b'{"text": "half \\ud83d", "label": "pos"}': "wrong_encoding",
    b'{"text": "x", "label": "\\udc00"}': "wrong_encoding",
    b'{"text": "", "label": "pos"}': "empty",
    b'{"text": null, "label": "pos"}': "empty",
    b'{"text": "a\\u0000b", "label": "pos"}': "nul_bytes",
    b'{"text": "a\0b", "label": "pos"}': "nul_bytes",
    b'\0{"text": "a", "label": "pos"}': "nul_bytes",
    b'{"text": "' + b"x" * 41 + b'", "label": "pos"}': "too_long",
    b'{"text": "a", "label": null}': "no_label",
    b'{"text": "a", "label": NaN}': "no_label",
    b'{"text": "a", "label": " "}': "no_label",
    b'{"text": "a"}': "no_label",
    b'{"label": "pos"}': "malformed",
    b'{"text": 1.5, "label": "pos"}': "malformed",
    b'{"text": true, "label": "pos"}': "malformed",
    b'{"text": "a", "label": ["pos"]}': "malformed",
    b'{"text": "a", "label": {}}': "malformed",
    b'{"text": "a", "label": "pos", "group": []}': "malformed",
    b'{"text": "a", "label": "pos"': "malformed",
    b'["a", "pos"]': "malformed",
    b'"text"': "malformed",
    b"[" * 100_000: "malformed",
}


@pytest.mark.parametrize(("line", "kind"), BAD_CELLS.items())
def test_a_bad_row_of_cells_is_set_aside_alone(line, kind):
    raw = b"text,label\nbefore,pos\n" + line + b"\nafter,neg\n"
    dataset = scan_bytes(raw, max_characters=40)
    assert aside(dataset) == [("t.csv:3", kind)]
    after = 4 + n_lines(line.decode("latin-1"))
    assert [(e.path, e.text) for e in dataset.examples] == [
        ("t.csv:2", "before"),
        (f"t.csv:{after}", "after"),
    ]


@pytest.mark.parametrize(("line", "kind"), BAD_JSON.items())
def test_a_bad_object_is_set_aside_alone(line, kind):
    good = '{{"text": "{}", "label": "pos"}}\n'
    raw = good.format("before").encode() + line + b"\n" + good.format("after").encode()
    dataset = scan_bytes(raw, "t.jsonl", max_characters=40)
    assert aside(dataset) == [("t.jsonl:2", kind)]
    assert [e.text for e in dataset.examples] == ["before", "after"]


def test_reasons_say_what_and_where():
    raw = b"text,label\ncaf\xe9,pos\na,\n" + b"x" * 50 + b",pos\ngood,pos\n"
    reasons = [entry.reason for entry in scan_bytes(raw, max_characters=40).set_aside]
    assert reasons == [
        "not in UTF-8: byte 0xe9 after 3 characters",
        "no label",
        "50 characters; at most 40 are read",
    ]


def test_one_character_is_singular():
    raw = b"text,label\na\xe9,pos\na\0,pos\ngood,pos\n"
    reasons = [entry.reason for entry in scan_bytes(raw).set_aside]
    assert reasons == [
        "not in UTF-8: byte 0xe9 after 1 character",
        "a NUL byte after 1 character",
    ]


def test_half_a_character_is_told_as_such():
    raw = b'{"text": "half \\ud83d", "label": "pos"}\n{"text": "x", "label": "pos"}\n'
    (entry,) = scan_bytes(raw, "t.jsonl").set_aside
    assert entry.reason == "\\ud83d alone is half a character"


def test_what_is_set_aside_is_counted(reporter):
    raw = b"text,label\n" + b"good,pos\n" * 3 + b'"bad,pos\n ,pos\nx,\ngood,neg\n'
    scan_bytes(raw, reporter=reporter)
    assert reporter.warnings == [
        "3 of 7 texts set aside: 1 empty, 1 without a label, 1 with unbalanced quotes; "
        "listed in the run."
    ]


def test_a_megabyte_is_too_long_by_default():
    raw = f"text,label\n{'x' * 200_001},pos\n{'x' * 200_000},pos\n".encode()
    dataset = scan_bytes(raw)
    assert aside(dataset) == [("t.csv:2", "too_long")]
    assert [e.n_characters for e in dataset.examples] == [200_000]


def test_a_class_whose_texts_are_all_unusable_is_not_forgotten():
    raw = b"text,label\n" + b"".join(
        b"good %d,a\nfine %d,b\nf\xe9 %d,c\n" % (i, i, i) for i in range(4)
    )
    with pytest.raises(DataError, match=r"c \(0 of 4\); 4 not in UTF-8 set aside"):
        scan_bytes(raw, purpose="training")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("text,label\ngood,pos\n".encode("utf-16"), "UTF-16"),
        ("text,label\ngood,pos\n".encode("utf-16-be"), "UTF-16BE"),
        ("text,label\ngood,pos\n".encode("utf-16-le"), "UTF-16LE"),
        ("text,label\ngood,pos\n".encode("utf-32"), "UTF-32"),
        (b"PK\x03\x04" + bytes(100), "Excel"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b"text,label\n" + bytes(1000), "NUL"),
        (bytes(range(256)) * 10, "control bytes"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_files_that_are_no_text_are_refused_as_a_whole(raw, words, name):
    with pytest.raises(DataError, match=r"UTF-8 text|binary") as caught:
        scan_bytes(raw, name)
    assert words in str(caught.value)
    assert caught.value.allowed
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "table is empty"),
        (b"text,label\n", "no lines below"),
        (b"t\xe9xt,label\ngood,pos\n", "line 1: not in UTF-8: byte 0xe9"),
        (b"text,label\ngood\n,\nbad\n", "No line of the table can be used"),
        (b"text,label\n ,pos\n ,neg\n", "No text can be used"),
    ],
)
def test_tables_of_which_nothing_can_be_used(raw, words):
    with pytest.raises(DataError) as caught:
        scan_bytes(raw, purpose="training")
    text = str(caught.value)
    assert words in text
    assert "t.csv" in text
    assert caught.value.allowed
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "table is empty"),
        (b'[\n {\n  "text": "a",\n', "line 1: not JSON"),
        (b'["a", "b"]\n', "line 1: JSON, but not an object"),
        (b"{}\n", "no JSON objects"),
    ],
)
def test_json_that_is_not_in_lines(raw, words):
    with pytest.raises(DataError, match=r"empty|no JSON objects") as caught:
        scan_bytes(raw, "t.jsonl")
    assert words in str(caught.value)
    assert "one object a line" in str(caught.value)


def test_lines_set_aside_are_told_where_one_class_is_left():
    raw = b'[\n{"text": "a", "label": "x"},\n{"text": "b", "label": "y"}\n]\n'
    with pytest.raises(DataError, match="only one class") as caught:
        scan_bytes(raw, "t.jsonl", purpose="training")
    assert "y (1 text); 3 malformed set aside" in str(caught.value)


def test_an_unreadable_table_and_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"no such file or folder\..*'t.csv'"):
        scan_loosely(tmp_path / "t.cvs")

    def refuse(self, *_: object):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        scan_loosely(tmp_path / "t.csv")
