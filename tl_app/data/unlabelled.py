"""Texts to be told, without labels: .txt files, folders of them, and tables with a text column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tl_app.data.listing import shown
from tl_app.data.rows import Fault, read_text
from tl_app.data.text_columns import choose_text_column
from tl_app.data.text_files import read_text_file
from tl_app.data.text_tables import is_table_file, open_table
from tl_app.data.texts import MAX_CHARACTERS
from tl_app.data.walk import TEXT_FILES, Found, walk
from tl_app.errors import DataError, UnusableText
from tl_app.records import SetAside

PLACES = (
    "a .txt file, a folder of them, or a CSV, TSV, JSON lines or Parquet file with a text column"
)


@dataclass(slots=True)
class FoundTexts:
    """What there is to be told.

    Attributes:
        names: of the texts: a path, or "<file>:<line>".
        texts: one a name.
        set_aside: what cannot be used.
    """

    names: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        self.names.append(name)
        self.texts.append(text)


def find_texts(paths: Sequence[Path], *, text_column: str | None = None) -> FoundTexts:
    """All texts of files, folders and tables, in their order.

    Args:
        paths: as the user names them.
        text_column: of the tables; None guesses.

    Raises:
        DataError: a path does not exist, a table cannot be read, or there is no text at all.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise DataError(
            "There is nothing at this path.",
            received=", ".join(missing[:5]) + (" ..." if len(missing) > 5 else ""),
            allowed=PLACES,
        )
    found = FoundTexts()
    for path in paths:
        if is_table_file(path):
            _add_table(found, path, text_column)
        else:
            for file in _files(found, path):
                _add_file(found, file)
    if not found.names and not found.set_aside:
        raise DataError(
            "There are no texts here.",
            received=", ".join(str(path) for path in paths[:5]),
            allowed=PLACES,
        )
    return found


def _files(found: FoundTexts, path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    below = Found()
    walk(path.absolute(), ".", set(), below, wanted=TEXT_FILES)
    for entry in below.set_aside:
        found.set_aside.append(SetAside(str(path / entry.path), entry.reason, entry.kind))
    for name in sorted(below.files):
        yield path / name


def _add_file(found: FoundTexts, file: Path) -> None:
    try:
        found.add(str(file), read_text_file(file, MAX_CHARACTERS))
    except UnusableText as problem:
        found.set_aside.append(SetAside(str(file), problem.reason, problem.kind))


def _add_table(found: FoundTexts, file: Path, text_column: str | None) -> None:
    try:
        with open_table(file, MAX_CHARACTERS, [text_column] if text_column else []) as table:
            column = choose_text_column(file, table.columns, text_column)
            for row in table.rows([column]):
                name = f"{file}:{row.line}"
                if isinstance(row, Fault):
                    found.set_aside.append(SetAside(name, row.reason, row.kind))
                    continue
                try:
                    found.add(name, read_text(row.values, column, MAX_CHARACTERS))
                except UnusableText as problem:
                    found.set_aside.append(SetAside(name, problem.reason, problem.kind))
    except OSError as error:
        raise DataError(
            f"The table cannot be read: {error.strerror or error}.",
            received=shown(file),
            allowed="a file that this user may read",
            next_step="check its permissions with ls -l",
        ) from error
