"""fixes.csv: what is written is read, by this app and by a spreadsheet, whatever the names."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.makers import example_of, jpeg, photo
from tl_app.audit.fix_table import FixRow, read_fixes, rows_of, write_fixes
from tl_app.errors import ConfigError, DataError
from tl_app.findings import Audit, Evidence, Finding, Fix

names = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in (".", ".."))
rows = st.builds(
    FixRow,
    path=st.builds("{}/{}".format, names, names),
    problem=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    action=st.sampled_from(["quarantine", "review"]),
    sha256=st.sampled_from(["", "ab" * 32]),
)


@given(st.lists(rows, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, written):
    file = tmp_path_factory.getbasetemp() / "fixes.csv"
    write_fixes(file, written)
    assert read_fixes(file) == written


def test_no_cell_is_a_formula_and_bytes_stay_bytes(tmp_path: Path):
    file = tmp_path / "fixes.csv"
    paths = ["=cmd|'/C calc'!A1/x.jpg", "@a/b.jpg", "+1/-2.jpg", "not utf-8 \udcff/\n.jpg"]
    write_fixes(file, [FixRow(path, "a copy", "review", "") for path in paths])
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        cells = [row["path"] for row in csv.DictReader(stream)]
    assert cells == [f"./{path}" for path in paths]
    assert b"\xff" in file.read_bytes()


def test_rows_of_an_audit(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(jpeg(photo(1)))
    example = example_of(tmp_path, "a.jpg", 0)
    fixes = (Fix("t.csv:7", "a copy", "quarantine"), Fix("a.jpg", "a copy", "quarantine"))
    finding = Finding("copies", "warn", "t", "a", (Evidence(("a.jpg",)),), fixes)
    audit = Audit(str(tmp_path), "x", "image", 1, (finding,))
    assert Audit.from_dict(audit.to_dict()) == audit
    assert rows_of(audit, [example]) == [
        FixRow("a.jpg", "a copy", "quarantine", example.file_hash),
        FixRow("t.csv:7", "a copy", "review", ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns are none"),
        ("path,action\nx,quarantine\n", "columns are path, action"),
        ("path,problem,action,sha256\n./a,b,delete,\n./c,d,remove,\n", "line 3: action 'remove'"),
        ("path,problem,action,sha256\n,b,review,\n", "line 2: no path"),
        ("path,problem,action,sha256\n./a\n", "line 2: action ''"),
    ],
)
def test_a_damaged_table_is_told_with_all_its_faults(tmp_path: Path, text, message):
    file = tmp_path / "fixes.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_fixes(file)


def test_a_table_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_fixes(tmp_path / "fixes.csv")
