"""A table of pictures: CSV with the columns `path` and `label`, and maybe `split` and `group`.

UTF-8 (a byte order mark is allowed), separated by comma, semicolon or tab, whichever gives
the header its columns. Paths are relative to a base folder and stay inside it. An empty
`split` leaves the row unassigned: the split fills it in. A row that names a file that is
not there is set aside; a row that makes no sense (no path, no label, an unknown split, a
path out of the folder) is an error, all such rows told at once.
"""

from __future__ import annotations

import csv
import io
import os
import posixpath
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tl_app.data.class_names import normalise
from tl_app.data.delimited import first_line, parse_header
from tl_app.data.layout import SIDE_NAMES
from tl_app.data.listing import Candidate, Listing, counted, named, shown
from tl_app.data.places import require_regular
from tl_app.data.sniffing import not_utf8, refuse_other_than_text
from tl_app.errors import DataError, did_you_mean
from tl_app.records import SetAside

REQUIRED = ("path", "label")
OPTIONAL = ("split", "group")
COLUMNS = "path,label[,split][,group]"


def columns_of(file: Path) -> list[str] | None:
    """The header of `file` if it is such a table, else None (also if it cannot be read)."""
    header = first_line(file)
    if header is None:
        return None
    columns, _ = parse_header(header, (*REQUIRED, *OPTIONAL))
    return columns if set(REQUIRED) <= set(columns) else None


def list_table(table: Path, base: Path) -> Listing:
    """All candidates that a table names.

    Args:
        table: the CSV file; looked for below `base` too if it is not in the current folder.
        base: absolute folder that its paths are relative to.

    Raises:
        DataError: the table cannot be read or contradicts itself, or no file is there.
    """
    if not table.exists() and (base / table).is_file():
        table = base / table
    text = _read_text(table)
    columns, delimiter = parse_header(text.split("\n", 1)[0], (*REQUIRED, *OPTIONAL))
    _check_columns(table, columns)
    listing = Listing(base)
    problems = _Problems(table)
    rows: dict[str, tuple[int, Candidate]] = {}
    missing: dict[str, int] = {}
    for line, cells in _rows(table, text, delimiter, len(columns)):
        row = dict(zip(columns, cells, strict=False))
        candidate = _candidate(row, line, base, problems)
        if candidate is None:
            continue
        listing.class_names.add(candidate.class_name)
        path = _on_disk(base, candidate.path)
        if path is None:
            missing.setdefault(candidate.path, line)
            continue
        candidate = Candidate(path, candidate.class_name, candidate.side, candidate.group)
        if path in rows:
            problems.compare(*rows[path], line, candidate)
        else:
            rows[path] = (line, candidate)
    problems.raise_if_any()
    if missing and not rows:
        raise DataError(
            "None of the files that the table names is there.",
            received=f"{shown(table)}: {counted(len(missing), 'path')}, {named(missing, n=3)}",
            allowed=f"paths relative to {shown(base)}",
            next_step="correct the paths, or name the folder that they are relative to and "
            "the table with --table",
        )
    listing.candidates = [candidate for _, candidate in rows.values()]
    listing.set_aside = [
        SetAside(path, _missing_reason(base, path, line), "missing")
        for path, line in missing.items()
    ]
    listing.has_sides = any(candidate.side for candidate in listing.candidates)
    listing.messages.append(_message(table, base, columns, listing))
    return listing


def _message(table: Path, base: Path, columns: list[str], listing: Listing) -> str:
    text = (
        f"Classes come from the table {shown(table.name)}: "
        f"{counted(len(listing.candidates), 'picture')} below {shown(base)}"
    )
    if used := [name for name in OPTIONAL if name in columns]:
        text += f", with the columns {' and '.join(used)}"
    if extra := [name for name in columns if name and name not in (*REQUIRED, *OPTIONAL)]:
        text += f"; columns not used: {named(extra)}"
    n_open = sum(1 for c in listing.candidates if c.side is None)
    if listing.has_sides and n_open:
        text += f"; {counted(n_open, 'row')} without a split, to be filled in"
    return text + "."


def _read_text(table: Path) -> str:
    try:
        if table.exists():
            require_regular(table, f"a CSV file with the columns {COLUMNS}")
            refuse_other_than_text(table)
        raw = table.read_bytes()
    except OSError as error:
        raise DataError(
            f"The table cannot be read: {error.strerror}.",
            received=shown(table),
            allowed=f"a CSV file with the columns {COLUMNS}, here or below the folder",
            next_step="name the table with --table FILE",
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise not_utf8(table, f", line {line}: byte 0x{raw[error.start]:02x}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _check_columns(table: Path, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    doubled = sorted({c for c in columns if c in (*REQUIRED, *OPTIONAL) and columns.count(c) > 1})
    if missing or doubled:
        problem = (
            f"The table has no column {' and no column '.join(missing)}."
            if missing
            else f"The table has more than one column {named(doubled)}."
        )
        hint = "".join(did_you_mean(name, columns) for name in missing)
        raise DataError(
            problem + hint,
            received=f"{shown(table)}: columns {named(columns, n=20) or '(none)'}",
            allowed=f"{COLUMNS}, separated by comma, semicolon or tab; for texts, a text and a "
            "label column",
            next_step="name the columns so in the first line",
        )


def _rows(table: Path, text: str, delimiter: str, n: int) -> Iterator[tuple[int, list[str]]]:
    """Line number (of the last line of the row) and cells of each row that is not blank."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        next(reader)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [*cells, *[""] * (n - len(cells))]
    except csv.Error as error:
        raise DataError(
            f"The table cannot be read: {error}.",
            received=f"{shown(table)}, line {reader.line_num}",
            allowed="CSV, with double quotes around cells that hold the separator",
            next_step="open the table at this line and correct the quotes",
        ) from error


class _Problems:
    """Everything that is wrong with the rows, to be told in one error."""

    def __init__(self, table: Path) -> None:
        self.table = table
        self.empty: list[str] = []
        self.escaping: list[str] = []
        self.bad_splits: dict[str, int] = {}
        self.contradicting: list[str] = []

    def compare(self, line: int, first: Candidate, later_line: int, later: Candidate) -> None:
        """Note where two rows of one picture disagree; equal rows count once."""
        pairs = {
            "label": (first.class_name, later.class_name),
            "split": (first.side, later.side),
            "group": (first.group, later.group),
        }
        told = [
            f"{what} {shown(a)} and {shown(b)}"
            for what, (a, b) in pairs.items()
            if a != b and (what != "label" or normalise(str(a)) != normalise(str(b)))
        ]
        if told:
            self.contradicting.append(
                f"{shown(first.path)} (lines {line} and {later_line}: {', '.join(told)})"
            )

    def raise_if_any(self) -> None:
        """Raises: DataError: with every kind of problem and the first of each."""
        kinds = [
            ("rows without a path or a label", self.empty, "both cells filled"),
            ("paths that lead out of the folder", self.escaping, "paths inside the folder"),
            (
                "unknown values of split",
                [f"{value!r} (line {line})" for value, line in self.bad_splits.items()],
                "train, val (or valid, validation), test, or empty",
            ),
            (
                "pictures with contradicting rows",
                self.contradicting,
                "one label, split and group for each picture",
            ),
        ]
        found = [(title, entries, allowed) for title, entries, allowed in kinds if entries]
        if found:
            raise DataError(
                f"The table {shown(self.table.name)} cannot be used: "
                + "; ".join(f"{title} ({len(entries):,})" for title, entries, _ in found)
                + ".",
                received="; ".join(named(entries) for _, entries, _ in found),
                allowed="; ".join(allowed for _, _, allowed in found),
                next_step="correct these rows, then run again",
            )


def _candidate(row: dict[str, str], line: int, base: Path, problems: _Problems) -> Candidate | None:
    raw, label = row["path"].strip(), row["label"].strip()
    split, group = row.get("split", "").strip(), row.get("group", "").strip()
    if split and split.casefold() not in SIDE_NAMES:
        problems.bad_splits.setdefault(split, line)
        return None
    if not raw or not label:
        problems.empty.append(f"line {line}")
        return None
    path = _inside(base, raw)
    if path is None:
        problems.escaping.append(f"{shown(raw)} (line {line})")
        return None
    return Candidate(path, label, SIDE_NAMES.get(split.casefold()), group or None)


def _inside(base: Path, raw: str) -> str | None:
    """`raw` relative to `base`, or None if it leads out of it (or names the folder itself)."""
    if "\0" in raw:
        return None
    windows = "\\" in raw and not os.path.exists(base / raw)
    path = raw.replace("\\", "/") if windows else raw
    if path.startswith("/") or ".." in path.split("/"):
        # Only here do links count: the text of the path must not reach what is elsewhere.
        try:
            path = (base / path).resolve().relative_to(base.resolve()).as_posix()
        except (ValueError, OSError, RuntimeError):
            return None
    path = posixpath.normpath(path)
    return None if path == "." else path


def _on_disk(base: Path, path: str) -> str | None:
    """`path` in the spelling of the disk (its Unicode form may be another), or None."""
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    return next((form for form in dict.fromkeys(forms) if os.path.isfile(base / form)), None)


def _missing_reason(base: Path, path: str, line: int) -> str:
    what = "names a folder, not a file" if os.path.isdir(base / path) else "the file is not there"
    return f"line {line} of the table: {what}"
