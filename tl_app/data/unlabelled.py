"""Texts to be told, without labels: .txt files, folders of them, and tables with a text column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tl_app.data.json_lines import refuse_document
from tl_app.data.line_tables import LinesTable
from tl_app.data.places import N_NAMED, require_paths
from tl_app.data.rows import Fault, read_text
from tl_app.data.table_checks import headless_warning
from tl_app.data.text_columns import choose_text_column
from tl_app.data.text_files import read_text_file
from tl_app.data.text_tables import is_table_file, open_table
from tl_app.data.texts import MAX_CHARACTERS
from tl_app.data.walk import TEXT_FILES, Found, walk
from tl_app.data.wording import TEXTS
from tl_app.errors import DataError, UnusableText
from tl_app.records import SetAside


@dataclass(slots=True)
class FoundTexts:
    """What there is to be told.

    Attributes:
        names: of the texts: a path, or "<file>:<line>".
        texts: one a name.
        set_aside: what cannot be used.
        warnings: what to tell.
    """

    names: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

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
    require_paths(paths, TEXTS.unlabelled)
    found = FoundTexts()
    for path in paths:
        refuse_document(path)
        if is_table_file(path):
            _add_table(found, path, text_column)
        else:
            for file in _files(found, path):
                _add_file(found, file)
    if not found.names and not found.set_aside:
        raise DataError(
            "There are no texts here.",
            received=", ".join(str(path) for path in paths[:N_NAMED]),
            allowed=TEXTS.unlabelled,
            next_step="name a file or folder with texts",
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
    with open_table(file, MAX_CHARACTERS, [text_column] if text_column else []) as table:
        column = choose_text_column(file, table.columns, text_column)
        if text_column is None and isinstance(table, LinesTable):
            warning = headless_warning(file, table, column)
            found.warnings += [warning] if warning else []
        for row in table.rows([column]):
            name = f"{file}:{row.line}"
            if isinstance(row, Fault):
                found.set_aside.append(SetAside(name, row.reason, row.kind))
                continue
            try:
                found.add(name, read_text(row.values, column, MAX_CHARACTERS))
            except UnusableText as problem:
                found.set_aside.append(SetAside(name, problem.reason, problem.kind))
