"""What every table of separated cells has: a first line of names, and a delimiter to guess."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from tl_app.data.listing import quoted

DELIMITERS = (",", ";", "\t")
N_HEADER_BYTES = 65_536
"""A first line is looked for within so many bytes."""


def first_line(file: Path) -> str | None:
    """The first line of `file` without its end and byte order mark, or None if it is no text."""
    try:
        if not file.is_file():
            return None  # a pipe would be waited for
        with file.open("rb") as stream:
            start = stream.read(N_HEADER_BYTES)
        return re.split(rb"[\r\n]", start, maxsplit=1)[0].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def name_columns(file: Path, names: Sequence[str], delimiter: str) -> str:
    """A command that writes the table with a line of names above its rows, beside it.

    Args:
        file: the table.
        names: plain words.
        delimiter: as its rows have it.
    """
    header = delimiter.join(names).replace("\t", "\\t")
    new = file.with_name(f"{file.stem}.named{file.suffix}")
    return f"printf '{header}\\n' | cat - {quoted(file)} > {quoted(new)}"


def parse_header(line: str, expected: Collection[str]) -> tuple[list[str], str]:
    """Column names (trimmed, lower case) and the delimiter that makes most sense of them.

    Args:
        line: the first line of a table, without its end.
        expected: names that speak for a delimiter, in lower case.
    """
    readings = []
    for delimiter in DELIMITERS:
        try:
            cells = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            cells = []
        names = [cell.strip().casefold() for cell in cells]
        readings.append((len(set(names) & set(expected)), len(names), names, delimiter))
    # max keeps the first of equals, so the order of DELIMITERS decides.
    best = max(readings, key=lambda reading: reading[:2])
    return best[2], best[3]
