"""`fixes.csv`: what is proposed for each file, for people to change and for `--apply` to read.

Columns: path, problem, action, sha256. Paths begin with "./", so that a spreadsheet takes no name
for a formula; names that are no UTF-8 are written as the bytes that they are.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tl_app.data.listing import shown
from tl_app.errors import ConfigError, DataError
from tl_app.findings import ACTIONS, Action, Audit, Fix
from tl_app.records import AnyExample, Example
from tl_app.storage import write_atomic

COLUMNS = ("path", "problem", "action", "sha256")
MOST_PROBLEMS = 20
"""That an error lists."""


@dataclass(frozen=True, slots=True)
class FixRow:
    """One row.

    Attributes:
        path: relative to the data's folder, with forward slashes.
        problem: why.
        action: what to do.
        sha256: of the file when it was audited, hexadecimal; "" where it is no file of its own.
    """

    path: str
    problem: str
    action: Action
    sha256: str


def rows_of(audit: Audit, examples: Iterable[AnyExample]) -> list[FixRow]:
    """A row for each proposed fix, by path; of a text that is a line of a table, for review."""
    known: Mapping[str, AnyExample] = {example.path: example for example in examples}
    digests: dict[str, str] = {}

    def row(fix: Fix) -> FixRow:
        if fix.path not in digests:
            digests[fix.path] = _digest(Path(audit.root), fix.path, known.get(fix.path))
        digest = digests[fix.path]
        return FixRow(fix.path, fix.problem, fix.action if digest else "review", digest)

    rows = (row(fix) for finding in audit.findings for fix in finding.fixes)
    return sorted(rows, key=lambda row: row.path)


def _digest(root: Path, path: str, example: AnyExample | None) -> str:
    if isinstance(example, Example):
        return example.file_hash
    file = root / path
    if not file.is_file():  # a line of a table, a pipe, or gone
        return ""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def write_fixes(file: Path, rows: Iterable[FixRow]) -> None:
    """Atomically.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow((f"./{row.path}", row.problem, row.action, row.sha256))
    content = text.getvalue().encode("utf-8", "surrogateescape")
    write_atomic(file, lambda stream: stream.write(content))


def read_fixes(file: Path) -> list[FixRow]:
    """What a person left of it.

    Raises:
        ConfigError: the file is not there, or cannot be read.
        DataError: it is no such table; all problems are told.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise ConfigError(
            f"The table of fixes cannot be read: {error.strerror}.",
            received=str(file),
            allowed="fixes.csv as tl-app audit wrote it, maybe with rows changed or taken out",
            next_step="tl-app audit FOLDER",
        ) from error
    try:
        found = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header = tuple(found.fieldnames or ())
        raw = [(found.line_num, row) for row in found]
    except csv.Error as error:
        raise _damaged(file, [f"it is no CSV: {error}"]) from error
    if not set(COLUMNS) <= set(header):
        raise _damaged(file, [f"its columns are {', '.join(map(shown, header)) or 'none'}"])
    problems: list[str] = []
    rows: list[FixRow] = []
    for line, values in raw:
        path, action = values["path"] or "", (values["action"] or "").strip().lower()
        if not path:
            problems.append(f"line {line}: no path")
        elif action not in ACTIONS:
            problems.append(f"line {line}: action {shown(action)!r}; allowed: {', '.join(ACTIONS)}")
        else:
            digest = (values["sha256"] or "").strip().lower()
            rows.append(
                FixRow(
                    path.removeprefix("./"),
                    values["problem"] or "",
                    "quarantine" if action == "quarantine" else "review",
                    digest,
                )
            )
    if problems:
        raise _damaged(file, problems)
    return rows


def _damaged(file: Path, problems: list[str]) -> DataError:
    listed = "; ".join(problems[:MOST_PROBLEMS])
    more = len(problems) - MOST_PROBLEMS
    return DataError(
        f"The table of fixes cannot be carried out: {listed}"
        + (f"; and {more:,} more." if more > 0 else "."),
        received=str(file),
        allowed=f"a CSV with the columns {', '.join(COLUMNS)}",
        next_step="mend these lines, or write it anew with tl-app audit FOLDER",
    )
