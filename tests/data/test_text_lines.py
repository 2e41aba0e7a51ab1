"""Physical lines and records of cells: what was written comes back, a bad quote costs one line."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.text_makers import LABELS, n_lines, tables, texts, write_csv
from tl_app.data.cells import Cells, Record, read_records
from tl_app.data.lines import Line, Lines
from tl_app.data.rows import Fault

every_time = settings(derandomize=True, deadline=None)
byte_pieces = st.sampled_from(
    [
        *(b"\n", b"\r", b"\r\n", b"a", b"ab", "é".encode(), "很".encode(), "😀".encode()),
        *(b"\xff", b"\xc3", b"\xe4\xb8", b"\0", "\u2028".encode(), b"\xef\xbb\xbf"),
        b"\xed\xa0\x80",
    ]
)
byte_texts = st.lists(byte_pieces, max_size=30).map(b"".join)


def lines_of(raw: bytes, limit: int = 1_000_000) -> Lines:
    return Lines(io.BytesIO(raw), limit)


def physical(raw: bytes) -> list[str]:
    """The lines of `raw` by another way."""
    body = raw.removeprefix(b"\xef\xbb\xbf")
    cut = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", body)
    return [line.decode("utf-8", "surrogateescape") for line in cut]


def all_of(lines: Lines) -> list[Line]:
    return list(iter(lines.next, None))


@given(byte_texts)
@every_time
def test_lines_are_whole_and_numbered(raw):
    expected = [Line(i, text, False) for i, text in enumerate(physical(raw), start=1)]
    assert all_of(lines_of(raw)) == expected


@given(byte_texts, st.integers(1, 9))
@every_time
def test_a_limit_cuts_long_lines_and_nothing_else(raw, limit):
    found = all_of(lines_of(raw, limit))
    assert len(found) == len(physical(raw))
    for (number, text, is_cut), (i, whole) in zip(found, enumerate(physical(raw), 1), strict=True):
        assert number == i
        content = whole.rstrip("\r\n")
        assert len(text.rstrip("\r\n")) <= limit
        assert is_cut == (len(content) > limit or (len(content) == limit and text == content))
        assert (text == content[:limit]) if is_cut else (text == whole)


@given(byte_texts, st.data())
@every_time
def test_the_way_back_leads_to_the_same_lines(raw, data):
    lines = lines_of(raw, data.draw(st.sampled_from([1, 2, 3, 1000])))
    for _ in range(data.draw(st.integers(0, 10))):
        lines.next()
    place = lines.place
    rest = all_of(lines)
    lines.go_back(place)
    assert all_of(lines) == rest


def records_of(text: str, *, n_columns: int = 2, delimiter: str = ",", budget: int = 100_000):
    lines = lines_of(text.encode("utf-8-sig"))
    return list(read_records(lines, delimiter, n_columns=n_columns, budget=budget))


@given(
    st.integers(2, 4).flatmap(
        lambda n: st.lists(st.lists(texts | st.just(""), min_size=n, max_size=n), min_size=1)
    ),
    st.sampled_from(",;\t"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@every_time
def test_what_csv_writes_comes_back(rows, delimiter, quoting):
    written, begins = write_csv(rows, delimiter, quoting)
    expected = [
        Record(line, row)
        for line, row in zip(begins, rows, strict=True)
        if any(cell.strip() for cell in row) or n_lines("".join(row))
    ]
    assert records_of(written, n_columns=len(rows[0]), delimiter=delimiter) == expected


words = st.text(st.characters(categories=["L"]), min_size=1, max_size=3)


@given(
    st.lists(st.tuples(words, texts, words).map(lambda t: ["".join(t[:2]), t[2]]), min_size=1),
    st.sampled_from(['"never closed,neg\n', 'fine,"neg\n', '"a ""b"",c\n', '"shut" and on,neg\n']),
    st.data(),
)
@every_time
def test_a_bad_quote_costs_its_line_alone(rows, broken, data):
    """Anywhere in a file; cells around it begin with a letter, so no quote of theirs fits it."""
    n_before = data.draw(st.integers(0, len(rows)))
    before, begins = write_csv(rows[:n_before])
    after, begins_after = write_csv(rows[n_before:])
    here = 1 + n_lines(before)
    found = records_of(before + broken + after)
    faults = [record for record in found if isinstance(record, Fault)]
    assert [(fault.line, fault.kind) for fault in faults] == [(here, "unbalanced_quotes")]
    assert [record for record in found if isinstance(record, Record)] == [
        Record(line, row)
        for line, row in zip([*begins, *(here + i for i in begins_after)], rows, strict=True)
    ]


def test_blank_lines_are_left_out_and_quoted_blanks_are_not():
    assert records_of(' \n,\n\t, \n"",\n') == []
    assert records_of('"\n",""\n') == [Record(1, ["\n", ""])]
    (fault,) = records_of('"\n"\n')
    assert isinstance(fault, Fault)
    assert fault.kind == "malformed"


def test_many_bad_quotes_in_a_row():
    text = "".join(f'"open {i},neg\nfine {i},pos\n' for i in range(300))
    found = records_of(text)
    assert [record.line for record in found if isinstance(record, Fault)] == list(range(1, 600, 2))
    assert sum(isinstance(record, Record) for record in found) == 300


WHOLE = "".join(f"text {i},pos\n" for i in range(50))


@pytest.mark.parametrize(
    ("last", "budget"), [('end",pos,extra\n', 10_000), ('end",pos\n', 300), ('end"\n', 10_000)]
)
def test_a_quote_that_meets_another_far_below_swallows_nothing(last, budget):
    """Between the two stand whole records, which are not one cell of an unusable record."""
    found = records_of('"begin,neg\n' + WHOLE + last, budget=budget)
    assert found[0].line == 1
    assert found[0].kind == "unbalanced_quotes"
    assert [record.line for record in found if isinstance(record, Record)][:50] == list(
        range(2, 52)
    )


@pytest.mark.parametrize("line", ["a line, and more, of a poem", "a line of a poem,", "a line"])
def test_a_long_text_over_many_lines_is_one_record(line):
    poem = "\n".join([line] * 100)
    text, begins = write_csv([["one", "pos"], [poem, "neg"], ["two", "pos"]])
    found = records_of(text, budget=500)
    assert found == [
        Record(1, ["one", "pos"]),
        Fault(2, "too_long", "a record of more than 500 characters"),
        Record(begins[2], ["two", "pos"]),
    ]


def test_a_record_over_its_budget_is_not_held():
    cells = Cells(",", budget=10)
    cells.add('"')
    for _ in range(50):
        cells.add("y" * 9 + "\n")
    assert cells.is_open
    cells.add('",' + "z" * 100)
    assert (cells.is_over, cells.is_open) == (True, False)
    assert sum(map(len, cells.found)) <= 10


@pytest.mark.parametrize("line", ['a",,"b\n', '"open\n', 'a,"\n', '"""a\n', 'fine,a\n"open,b\n'])
def test_the_work_grows_with_the_file_alone(line):
    """However the quotes stand, a line is read a few times at most."""

    class Counted(Lines):
        n_read = 0

        def next(self):
            self.n_read += 1
            return super().next()

    lines = Counted(io.BytesIO((line * 400).encode()), 1000)
    for _ in read_records(lines, ",", n_columns=2, budget=1000):
        pass
    assert lines.n_read < 5 * 400 * line.count("\n")


def test_an_open_quote_does_not_reach_into_a_line_over_the_limit():
    raw = b'"open,neg\nend",pos' + b"x" * 500 + b"\ntwo,pos\n"
    found = list(read_records(lines_of(raw, limit=100), ",", n_columns=2, budget=1000))
    assert [(entry.line, getattr(entry, "kind", None)) for entry in found] == [
        *((1, "unbalanced_quotes"), (2, "too_long"), (3, None))
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [("a", "(1 of 2)"), ("a,b,c", "(3 of 2)"), ('"a\nb"', "(1 of 2)"), ('"a\nb",c,d', "(3 of 2)")],
)
def test_wrong_numbers_of_cells(line, reason):
    first, fault, last = records_of(f"one,pos\n{line}\ntwo,neg\n")
    assert isinstance(fault, Fault)
    assert (fault.line, fault.kind) == (2, "malformed")
    assert reason in fault.reason
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert last.cells == ["two", "neg"]


def test_a_line_over_the_limit_is_passed_over():
    lines = lines_of(b"one,pos\n" + b"x" * 500 + b",neg\r\ntwo,pos\n", limit=100)
    found = list(read_records(lines, ",", n_columns=2, budget=1000))
    assert [(entry.line, type(entry)) for entry in found] == [(1, Record), (2, Fault), (3, Record)]


def test_bytes_that_are_no_utf8_stay_in_their_cell():
    lines = lines_of(b"caf\xe9,neg\n\xe5\xa5\xbd,pos\n")
    bad, good = read_records(lines, ",", n_columns=2, budget=1000)
    assert bad == Record(1, ["caf\udce9", "neg"])
    assert good == Record(2, ["好", "pos"])


@given(tables)
@every_time
def test_quotes_that_are_no_quoting_are_characters(rows):
    """In a cell that begins with another character they stand as they are."""
    cells = [["x" + re.sub("[\r\n,]", "", text), LABELS[0]] for text, _ in rows]
    written = "".join(f"{text},{label}\n" for text, label in cells)
    assert [record.cells for record in records_of(written) if isinstance(record, Record)] == cells
