"""Records of separated cells, read so that one bad quote costs one line.

A cell that begins with a double quote ends with the next single one and may hold delimiters,
line ends and doubled quotes; any other quote is a character like others (RFC 4180, and
Python's csv in its strict manner). Where the quotes of a record do not work out, its first
line alone is given up, and reading goes on with the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tl_app.data.lines import Lines, Place
from tl_app.data.rows import Fault

NOT_CLOSED = 'a double quote begins a cell that is not closed (inside quotes, write one as two: "")'
TEXT_AFTER_QUOTE = 'text follows a closing double quote (inside quotes, write one as two: "")'


class Record(NamedTuple):
    """The cells of one record and the number of its first line."""

    line: int
    cells: list[str]


class Cells:
    """The cells of one record, as line after line is added.

    Args:
        delimiter: one character.
        budget: no more characters are kept than this, and `is_over` says so.

    Attributes:
        found: the cells that are complete.
        is_open: whether a quoted cell goes on in the next line.
        is_broken: whether text follows a closing quote.
    """

    def __init__(self, delimiter: str, budget: int) -> None:
        self.found: list[str] = []
        self.is_open = self.is_broken = self.is_over = False
        self._delimiter, self._left = delimiter, budget
        self._parts: list[str] = []

    def add(self, line: str) -> None:
        """Read one line with its end; the record goes on after it if `is_open`."""
        at = 0
        while True:
            if self.is_open:
                end = line.find('"', at)
                self._keep(line[at:] if end < 0 else line[at:end])
                if end < 0:
                    return
                after = line[end + 1 : end + 2]
                at = end + 2
                if after == '"':
                    self._keep('"')
                    continue
                self.is_open = False
                self.found.append("".join(self._parts))
                self._parts = []
                if after != self._delimiter:
                    self.is_broken = after not in ("", "\r", "\n")
                    return
            elif line.startswith('"', at):
                self.is_open = True
                at += 1
            else:
                end = line.find(self._delimiter, at)
                self._keep(line[at:].rstrip("\r\n") if end < 0 else line[at:end])
                self.found.append("".join(self._parts))
                self._parts = []
                if end < 0:
                    return
                at = end + 1

    def _keep(self, part: str) -> None:
        self._left -= len(part)
        self.is_over = self.is_over or self._left < 0
        if not self.is_over:
            self._parts.append(part)


def read_records(
    lines: Lines, delimiter: str, *, n_columns: int, budget: int
) -> Iterator[Record | Fault]:
    """Each record from where `lines` is, or what is wrong with it; blank lines are left out.

    Args:
        n_columns: cells of a good record.
        budget: a record with more characters is too long.
    """
    while (line := lines.next()) is not None:
        if line.is_cut:
            yield Fault(
                line.number, "too_long", f"a line of more than {len(line.text):,} characters"
            )
            continue
        cells = Cells(delimiter, budget)
        cells.add(line.text)
        after_first = lines.place
        while cells.is_open and len(cells.found) < n_columns:
            following = lines.next()
            if following is None or following.is_cut:
                break
            cells.add(following.text)
        spans = lines.place != after_first
        if cells.is_open or cells.is_broken:
            reason = NOT_CLOSED if spans or cells.is_open else TEXT_AFTER_QUOTE
            if spans:
                lines.go_back(after_first)
            yield Fault(line.number, "unbalanced_quotes", reason)
        elif not spans and not any(cell.strip() for cell in cells.found):
            continue
        elif not cells.is_over and len(cells.found) == n_columns:
            yield Record(line.number, cells.found)
        elif _swallows(lines, after_first, delimiter, n_columns, budget):
            lines.go_back(after_first)
            yield Fault(line.number, "unbalanced_quotes", NOT_CLOSED)
        elif cells.is_over:
            yield Fault(line.number, "too_long", f"a record of more than {budget:,} characters")
        else:
            yield Fault(line.number, "malformed", _miscounted(len(cells.found), n_columns))


def _swallows(
    lines: Lines, after_first: Place, delimiter: str, n_columns: int, budget: int
) -> bool:
    """Whether most lines inside a record are whole records themselves.

    Then the quote that joins them was not meant to. Asked only of records that cannot be
    used anyway; the last line, which has the closing quote, does not count.
    """
    end = lines.place
    n_inner = end.n_lines - after_first.n_lines - 1
    if n_inner < 1:
        return False
    lines.go_back(after_first)
    n_whole = 0
    for _ in range(n_inner):
        line = lines.next()
        if line is not None and not line.is_cut:
            cells = Cells(delimiter, budget)
            cells.add(line.text)
            n_filled = sum(1 for cell in cells.found if cell.strip())
            is_balanced = not cells.is_open and not cells.is_broken
            n_whole += is_balanced and len(cells.found) == n_columns and n_filled >= 2
    lines.go_back(end)
    return 2 * n_whole > n_inner


def _miscounted(n_cells: int, n_columns: int) -> str:
    if n_cells < n_columns:
        return f"fewer cells than columns ({n_cells} of {n_columns})"
    return (
        f"more cells than columns ({n_cells} of {n_columns}); "
        "cells that hold the delimiter need double quotes around them"
    )
