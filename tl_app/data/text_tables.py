"""Tables of texts: CSV, TSV, JSON lines or Parquet with a text and a label column.

CSV and TSV (comma, semicolon or tab, as `delimited` guesses) begin with a line of names; one that
is a row itself is refused (`table_checks`).
Columns `split` and `group` are used where they are there. The file is read from start to
end, a line at a time; what cannot be used is set aside by its line. Only an unknown value
of `split` is an error, since it would decide what is tested on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from tl_app.data.line_tables import JSON_SUFFIXES, LinesTable
from tl_app.data.listing import Candidate, Listing, counted, named, quoted, shown
from tl_app.data.parquet import ParquetTable
from tl_app.data.rows import Columns, Fault, Row, read_row
from tl_app.data.table_checks import check_encoding, refuse_headless
from tl_app.data.text_columns import EXPECTED, OPTIONAL, choose_columns, fold
from tl_app.errors import DataError
from tl_app.progress import Bar, Reporter, SilentBar
from tl_app.records import SetAside

PARQUET_SUFFIXES = (".parquet", ".pq")
DELIMITED_SUFFIXES = (".csv", ".tsv", ".tab")
N_SAMPLE_ROWS = 100
N_ROWS_A_STEP = 1_000
BAR_FROM_BYTES = 32_000_000
MAX_UNKNOWN_SPLITS = 100


class Table(Protocol):
    """What the readers of all formats have."""

    columns: list[str]
    total: int
    unit: str

    @property
    def done(self) -> int:
        """How much of `total` was read."""

    def rows(self, wanted: Sequence[str]) -> Iterator[Row | Fault]:
        """Each row from the first, or what is wrong with it; of the wanted columns at least."""


def list_text_table(
    file: Path,
    *,
    text_column: str | None,
    label_column: str | None,
    max_characters: int,
    reporter: Reporter,
) -> tuple[Listing, list[str | SetAside]]:
    """All rows of a table that have a label, and the text of each or why it cannot be used.

    Args:
        file: absolute.
        text_column, label_column: their names; None guesses.
        max_characters: longer texts are set aside.

    Returns:
        The listing, its candidates by line, and one result a candidate. Rows without a
        usable label are in `set_aside` of the listing.

    Raises:
        DataError: the file or its columns cannot be used, or a split is unknown.
    """
    given = [name for name in (text_column, label_column) if name]
    with open_table(file, max_characters, given) as table:
        columns = choose_columns(
            file,
            table.columns,
            lambda: _sample(table),
            text_column=text_column,
            label_column=label_column,
        )
        listing, results = _read(file, table, columns, max_characters, reporter)
        if isinstance(table, LinesTable):
            check_encoding(file, listing, results)
            if not given:
                refuse_headless(file, table, columns, listing)
    return listing, results


def is_table_file(file: Path) -> bool:
    """Whether a file's name says that it is a table."""
    suffixes = (*DELIMITED_SUFFIXES, *JSON_SUFFIXES, *PARQUET_SUFFIXES)
    return file.suffix.lower() in suffixes and not file.is_dir()


@contextmanager
def open_table(
    file: Path, max_characters: int, named_columns: Sequence[str]
) -> Iterator[LinesTable | ParquetTable]:
    """A table of texts, to be read within.

    Args:
        file: told by its name; what is neither JSON lines nor Parquet is separated cells.
        max_characters: longer texts are not read whole.
        named_columns: that the user names.

    Raises:
        DataError: it cannot be read, at its beginning or within.
    """
    try:
        with _table(file, max_characters, named_columns) as table:
            yield table
    except OSError as error:
        raise DataError(
            f"The table cannot be read: {error.strerror or error}.",
            received=shown(file),
            allowed="a file that this user may read",
            next_step=f"ls -l {quoted(file)}",
        ) from error


def _table(
    file: Path, max_characters: int, named_columns: Sequence[str]
) -> LinesTable | ParquetTable:
    if file.suffix.lower() in PARQUET_SUFFIXES:
        return ParquetTable(file)
    return LinesTable(file, max_characters, [*EXPECTED, *map(fold, named_columns)])


def _sample(table: Table) -> list[dict[str, object]]:
    rows = islice(table.rows(table.columns), N_SAMPLE_ROWS)
    return [dict(row.values) for row in rows if isinstance(row, Row)]


def _read(
    file: Path, table: Table, columns: Columns, max_characters: int, reporter: Reporter
) -> tuple[Listing, list[str | SetAside]]:
    wanted = [name for name in (columns.text, columns.label, columns.split, columns.group) if name]
    used = columns
    if file.suffix.lower() in JSON_SUFFIXES:
        # Objects differ: a side that a later one gives counts, too.
        used = replace(columns, split=columns.split or "split", group=columns.group or "group")
    listing = Listing(file.parent, file=file)
    results: list[str | SetAside] = []
    unknown: dict[str, int] = {}
    with _bar(file, table, reporter) as bar:
        reached = 0
        for n, row in enumerate(table.rows(wanted), start=1):
            if n % N_ROWS_A_STEP == 0:
                bar.advance(table.done - reached)
                reached = table.done
            path = f"{file.name}:{row.line}"
            if isinstance(row, Fault):
                listing.set_aside.append(SetAside(path, row.reason, row.kind))
                continue
            reading = read_row(row.values, used, max_characters=max_characters)
            if reading.unknown_split is not None:
                unknown.setdefault(reading.unknown_split, row.line)
                if len(unknown) == MAX_UNKNOWN_SPLITS:
                    break
            problem = reading.problem
            entry = SetAside(path, problem.reason, problem.kind) if problem else None
            if reading.label is None:
                listing.set_aside += [entry] if entry else []
                continue
            listing.class_names.add(reading.label)
            listing.candidates.append(Candidate(path, reading.label, reading.side, reading.group))
            results.append(entry or reading.text or "")
        bar.advance(table.total - reached)
    _refuse_unknown(file, unknown)
    listing.has_sides = any(candidate.side for candidate in listing.candidates)
    listing.messages.append(_message(file, table, columns, listing, results))
    return listing, results


def _bar(file: Path, table: Table, reporter: Reporter) -> AbstractContextManager[Bar]:
    """A bar for a large file only."""
    if os.path.getsize(file) < BAR_FROM_BYTES:
        return nullcontext(SilentBar())
    return reporter.bar(f"Reading {shown(file.name)}", table.total, table.unit)


def _refuse_unknown(file: Path, unknown: dict[str, int]) -> None:
    if unknown:
        raise DataError(
            f"The table {shown(file.name)} cannot be used: unknown values of split "
            f"({len(unknown):,}{' or more' if len(unknown) == MAX_UNKNOWN_SPLITS else ''}).",
            received=named(f"{value[:50]!r} (line {line})" for value, line in unknown.items()),
            allowed="train, val (or valid, validation), test, or empty",
            next_step="correct these rows, then run again",
        )


def _message(
    file: Path,
    table: Table,
    columns: Columns,
    listing: Listing,
    results: Sequence[str | SetAside],
) -> str:
    n_texts = sum(isinstance(result, str) for result in results)
    text = (
        f"Texts come from the table {shown(file.name)}: {counted(n_texts, 'text')} of the column "
        f"{shown(columns.text)}, with labels of the column {shown(columns.label)}"
    )
    given = {"split": listing.has_sides, "group": any(c.group for c in listing.candidates)}
    if used := [name for name, is_used in given.items() if is_used]:
        text += f" and the column{'s' if len(used) > 1 else ''} {' and '.join(used)}"
    extra = [name for name in table.columns if name and name not in (columns.text, columns.label)]
    if extra := [name for name in extra if name.strip().casefold() not in OPTIONAL]:
        text += f"; columns not used: {named(extra)}"
    n_open = sum(candidate.side is None for candidate in listing.candidates)
    if listing.has_sides and n_open:
        text += f"; {counted(n_open, 'row')} without a split, to be filled in"
    return text + "."
