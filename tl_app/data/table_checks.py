"""What the rows of a table say against how its file was read: as UTF-8, below a line of names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tl_app.data.delimited import name_columns
from tl_app.data.line_tables import LinesTable
from tl_app.data.listing import Listing, by_place, counted, shown
from tl_app.data.rows import Columns
from tl_app.data.sniffing import USUAL_ENCODING, not_utf8, to_utf8
from tl_app.data.text_columns import EXPECTED, TEXT_NAMES, fold
from tl_app.errors import DataError
from tl_app.records import SetAside


def check_encoding(file: Path, listing: Listing, results: Sequence[str | SetAside]) -> None:
    """Tell of a table that is in another encoding as a whole.

    Single bad bytes cost their lines alone. But where no line holds a letter beyond ASCII in
    UTF-8, those that hold others are likely right, in another encoding.

    Args:
        file: the table.
        listing: gets a warning where some lines can be used.
        results: the text of each candidate, or why it cannot be used.

    Raises:
        DataError: no line can be used.
    """
    entries = [*listing.set_aside, *(one for one in results if isinstance(one, SetAside))]
    wrong = sorted((e for e in entries if e.kind == "wrong_encoding"), key=by_place)
    texts = [one for one in results if isinstance(one, str)]
    if not wrong or not all(text.isascii() for text in texts):
        return
    if not texts:
        raise not_utf8(file, f", line {by_place(wrong[0])[1]}: {wrong[0].reason}")
    listing.warnings.append(
        f"{counted(len(wrong), 'line')} of {shown(file.name)} not in UTF-8, and no other line has "
        f"letters beyond ASCII. If the table is in {USUAL_ENCODING}:\n  {to_utf8(file)}"
    )


def refuse_headless(file: Path, table: LinesTable, columns: Columns, listing: Listing) -> None:
    """A first line whose label is that of a row below is a row itself, not a line of names.

    Every class needs several texts, so no table that can be trained on passes without its line
    of names. Where a column goes by a usual name, the first line is names, whatever the rows say.

    Args:
        file: the table.
        table: whose first line was taken for names.
        columns: that were guessed.
        listing: its rows.

    Raises:
        DataError: the first line is a row.
    """
    if table.delimiter is None or set(table.columns) & set(EXPECTED):
        return
    rows = (row for row in listing.candidates if fold(row.class_name) == columns.label)
    first = next(rows, None)
    if first is None:
        return
    given = {columns.text: "text", columns.label: "label"}
    raise DataError(
        "The table seems to have no line of names above its rows.",
        received=f"{shown(file)}: the label {shown(columns.label[:50])} is in line 1 and in line "
        f"{by_place(first)[1]}",
        allowed="a first line such as text,label; where line 1 holds other names, both of them by "
        "--text-column and --label-column",
        next_step=name_columns(file, [given.get(c, "") for c in table.columns], table.delimiter),
    )


def headless_warning(file: Path, table: LinesTable, column: str) -> str | None:
    """What to tell where nothing but its place says that the first line is a name.

    Args:
        file: a table without labels.
        table: whose first line was taken for names.
        column: that was guessed to be the text.
    """
    if table.delimiter is None or fold(column) in TEXT_NAMES:
        return None
    names = ["text" if c == column else "" for c in table.columns]
    return (
        f"Line 1 of {shown(file)} is taken for names, so '{shown(column[:50])}' is not predicted. "
        f"If it is a text:\n  {name_columns(file, names, table.delimiter)}"
    )
