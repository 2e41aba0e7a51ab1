"""Tables that are read line by line: CSV, TSV and JSON lines."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path

from tl_app.data.cells import read_records
from tl_app.data.delimited import parse_header
from tl_app.data.json_lines import OBJECT_A_LINE, is_array, read_objects, to_lines
from tl_app.data.lines import Line, Lines
from tl_app.data.listing import named, quoted, shown
from tl_app.data.rows import Fault, Row, check_characters
from tl_app.data.sniffing import not_utf8, refuse_other_than_text
from tl_app.errors import DataError, UnusableText

JSON_SUFFIXES = (".jsonl", ".ndjson")

CHARACTERS_A_LINE = 20
"""A line may be so many times as long as a text: JSON spells some characters with twelve."""
MIN_LINE_CHARACTERS = 1_000_000
N_SAMPLE_ROWS = 100
"""So many objects of JSON lines are looked at for the names of columns."""


class LinesTable:
    """A table of CSV, TSV or JSON lines, a line in memory at a time.

    Args:
        file: JSON lines if its name says so, else separated cells.
        max_characters: of a text that is read; lines may be somewhat longer.
        expected: names of columns that speak for a delimiter.

    Attributes:
        columns: their names: of CSV in lower case, of JSON those of the first objects.
        delimiter: of cells; None of JSON lines.
        total, unit: how much there is to read.

    Raises:
        DataError: it is not UTF-8 text, or has no first line.
        OSError: it cannot be read.
    """

    unit = "MB"

    def __init__(self, file: Path, max_characters: int, expected: Collection[str]) -> None:
        refuse_other_than_text(file)
        self._limit = max(CHARACTERS_A_LINE * max_characters, MIN_LINE_CHARACTERS)
        self._stream = file.open("rb")
        self._lines = Lines(self._stream, self._limit)
        self._start = self._lines.place
        self.delimiter: str | None = None
        self.total = max(1, os.path.getsize(file) // 1_000_000)
        try:
            if file.suffix.lower() in JSON_SUFFIXES:
                self.columns = _keys(file, list(islice(self.rows(()), N_SAMPLE_ROWS)))
            else:
                header = _checked(file, self._lines.next())
                self.columns, self.delimiter = parse_header(header, expected)
                self._start = self._lines.place
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> LinesTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def done(self) -> int:
        return self._lines.place.n_bytes // 1_000_000

    def rows(self, wanted: Sequence[str]) -> Iterator[Row | Fault]:
        """Each row from the first."""
        self._lines.go_back(self._start)
        if self.delimiter is None:
            yield from read_objects(self._lines)
            return
        n_columns = len(self.columns)
        for found in read_records(
            self._lines, self.delimiter, n_columns=n_columns, budget=self._limit
        ):
            if isinstance(found, Fault):
                yield found
            else:
                yield Row(found.line, dict(zip(self.columns, found.cells, strict=True)))


def _keys(file: Path, sample: Sequence[Row | Fault]) -> list[str]:
    """The keys of the first objects of JSON lines, in order."""
    keys = list(dict.fromkeys(k for row in sample if isinstance(row, Row) for k in row.values))
    if not keys:
        next_step = to_lines(file) if is_array(file) else f"head {quoted(file)}"
        faults = [f"line {row.line}: {row.reason}" for row in sample if isinstance(row, Fault)]
        raise DataError(
            "The table is empty." if not sample else "The first lines are no JSON objects.",
            received=f"{shown(file)}{': ' if faults else ''}{named(faults, n=1)}",
            allowed=OBJECT_A_LINE,
            next_step=next_step,
        )
    return keys


def _checked(file: Path, header: Line | None) -> str:
    """The first line of separated cells without its end."""
    if header is None:
        raise DataError(
            "The table is empty.",
            received=shown(file),
            allowed="a first line with the names of the columns, then a text and a label a line",
            next_step=f"head {quoted(file)}",
        )
    try:
        check_characters(header.text)
    except UnusableText as problem:
        if problem.kind == "wrong_encoding":
            raise not_utf8(file, f", line 1: {problem.reason}") from problem
        raise DataError(
            "The first line of the table cannot be used.",
            received=f"{shown(file)}, line 1: {problem.reason}",
            allowed="a first line with the names of the columns",
            next_step=f"head {quoted(file)}",
        ) from problem
    return header.text.rstrip("\r\n")
