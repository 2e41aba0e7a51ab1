"""A table without a line of names, and one in another encoding: told, with a command that helps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.text_makers import LABELS, scan_bytes, scan_loosely, texts, write_csv
from tl_app.errors import DataError

TEXTS = ("it was great", "I left early", "so, so good", "never again")
ROWS = [(f"{text} {i}", ("pos", "neg")[i % 2]) for i in range(5) for text in TEXTS]


def run_in_shell(command: object, folder: Path) -> None:
    done = subprocess.run(str(command), shell=True, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def raises_alarm(content: str) -> bool:
    try:
        scan_bytes(content.encode())
    except DataError as error:
        return "no line of names" in error.problem
    return False


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_table_without_names_is_refused_and_the_command_names_its_columns(
    tmp_path, delimiter, order
):
    rows = [tuple(row[i] for i in order) for row in ROWS]
    file = tmp_path / "my mail.csv"
    file.write_text(write_csv(rows, delimiter)[0])
    with pytest.raises(DataError, match="no line of names") as caught:
        scan_loosely(file)
    assert "the label pos is in line 1 and in line 2" in str(caught.value.received)
    assert "--text-column" in str(caught.value.allowed)
    run_in_shell(caught.value.next_step, tmp_path)
    dataset = scan_loosely(tmp_path / "my mail.named.csv")
    assert len(dataset.examples) == len(ROWS)
    assert dataset.class_names == ("neg", "pos")
    assert dataset.examples[0].text == ROWS[0][0]


def test_names_that_are_given_are_names():
    raw = write_csv([("sms", "spam"), ("buy now", "spam"), ("hello", "ham")])[0].encode()
    with pytest.raises(DataError, match="no line of names"):
        scan_bytes(raw)
    assert len(scan_bytes(raw, text_column="sms", label_column="spam").examples) == 2


@pytest.mark.parametrize(
    "header",
    [
        ("text", "label"),
        ("sentence", "kind"),
        ("What did you think of it, all in all?", "Your department"),
        ("words", "label"),
        ("comment", "spam"),
        ("v2", "v1"),
    ],
)
def test_an_ordinary_header_raises_no_alarm(header):
    labels = ("spam", "ham")
    rows = [header, *((f"some words {i}", labels[i % 2]) for i in range(6))]
    assert len(scan_bytes(write_csv(rows)[0].encode()).examples) == 6


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(texts, st.sampled_from(LABELS)), min_size=1, max_size=8),
    name=st.sampled_from(["words", "Your words", "a long sentence that names what stands below"]),
)
def test_no_rows_make_a_header_of_other_words_a_row(rows, name):
    assert not raises_alarm(write_csv([(name, "kind"), *rows])[0])


def test_keys_of_json_are_names():
    raw = b'{"words": "a longer text", "pos": "pos"}\n{"words": "another text", "pos": "neg"}\n'
    assert len(scan_bytes(raw, "t.jsonl").examples) == 2


LATIN = "text,label\n" + "".join(f"café noir {i},é{i % 2}\n" for i in range(4))


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (LATIN, "latin-1"),
        (LATIN.replace("text", "texte à lire"), "latin-1"),
        (LATIN.replace("noir", "„noir“ €"), "cp1252"),
        (LATIN, "utf-16"),
        (LATIN, "utf-16-be"),
        (LATIN, "utf-32"),
    ],
    ids=["rows", "line 1", "quotes", "utf-16", "utf-16-be", "utf-32"],
)
def test_another_encoding_is_converted_by_the_command_that_is_told(tmp_path, content, encoding):
    file = tmp_path / "it's mine.csv"
    file.write_bytes(content.encode(encoding))
    with pytest.raises(DataError, match="not UTF-8 text") as caught:
        scan_loosely(file)
    assert caught.value.received
    assert "UTF-8" in str(caught.value.allowed)
    run_in_shell(caught.value.next_step, tmp_path)
    new = tmp_path / "it's mine.utf8.csv"
    assert new.read_text(encoding="utf-8-sig") == content
    assert len(scan_loosely(new).examples) == 4


def test_the_table_of_pictures_is_converted_likewise(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", a=2, b=2)
    for encoding in ("latin-1", "utf-16"):
        file = root / f"{encoding}.csv"
        file.write_bytes("path,label\na/0000.png,café\n".encode(encoding))
        with pytest.raises(DataError, match="not UTF-8 text") as caught:
            run_scan(root, table=file)
        run_in_shell(caught.value.next_step, root)
        assert "café" in (root / f"{encoding}.utf8.csv").read_text(encoding="utf-8-sig")


def test_lines_that_other_lines_do_not_speak_against_are_told_how_to_save(tmp_path, reporter):
    file = tmp_path / "t.csv"
    file.write_bytes("text,label\ncafé,a\ngood,b\nthé,a\n".encode("latin-1"))
    assert len(scan_loosely(file, reporter=reporter).examples) == 1
    (warning, _) = reporter.warnings
    assert warning.startswith("2 lines of t.csv not in UTF-8")
    run_in_shell(warning.rsplit("\n", 1)[1], tmp_path)
    assert len(scan_loosely(tmp_path / "t.utf8.csv").examples) == 3


def test_a_bad_byte_among_lines_of_utf8_is_no_encoding(reporter):
    raw = "text,label\ncafé,a\n".encode() + b"th\xe9,a\n"
    scan_bytes(raw, reporter=reporter)
    assert reporter.warnings == ["1 of 2 texts set aside: 1 not in UTF-8; listed in the run."]


def test_a_nul_byte_in_line_1_is_no_matter_of_encoding():
    with pytest.raises(DataError, match="first line of the table cannot be used"):
        scan_bytes(b"te\0xt,label\ngood,pos\n")
