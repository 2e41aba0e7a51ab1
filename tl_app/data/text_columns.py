"""Which columns of a table hold the text, the label, the side and the group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tl_app.data.listing import named, shown
from tl_app.data.rows import Columns
from tl_app.errors import DataError, did_you_mean

TEXT_NAMES = (
    *("text", "sentence", "content", "review", "message", "body"),
    *("comment", "tweet", "document", "snippet", "utterance"),
)
LABEL_NAMES = (
    *("label", "class", "category", "sentiment", "target"),
    *("labels", "topic", "intent", "class_name", "label_text"),
)
"""The first of each wins over the others; of those, one alone is taken."""

OPTIONAL = ("split", "group")
PATH_NAMES = ("path", "file", "filename", "file_name", "filepath", "file_path", "image")
"""Columns that are not taken for the text just because they are one of two."""

EXPECTED = (*TEXT_NAMES, *LABEL_NAMES, *OPTIONAL)
NAME_TEXT = "name it: --text-column COLUMN"
NAME_BOTH = "name the columns: --text-column COLUMN --label-column COLUMN"


def fold(name: str) -> str:
    return name.strip().casefold()


def has_text_column(columns: Sequence[str], *, is_table: bool) -> bool:
    """Whether columns, by their names alone, look like those of a table of texts.

    Args:
        is_table: whether the file's name says that it is a table; if not, both the text
            and the label must go by a usual name.
    """
    names = [fold(name) for name in columns]
    is_named = [any(name in usual for name in names) for usual in (TEXT_NAMES, LABEL_NAMES)]
    if {"path", "label"} <= set(names):
        return False
    if not is_table:
        return all(is_named)
    if is_named[0] and len(names) > 1:
        return True
    # Without a column of paths it is no table of pictures: what is wrong, the scan of texts says.
    left = [name for name in names if _is_left(name)]
    return len(left) > 1 and not any(name in PATH_NAMES for name in left)


def choose_columns(
    file: Path,
    columns: Sequence[str],
    sample: Callable[[], Iterable[Mapping[str, Any]]],
    *,
    text_column: str | None,
    label_column: str | None,
) -> Columns:
    """The columns that the caller names, else those whose names or lengths tell.

    Args:
        file: the table, for messages.
        columns: all of its columns.
        sample: reads the values of some rows; asked only where names do not tell.
        text_column, label_column: as the caller spells them, or None.

    Raises:
        DataError: a named column is not there, or twice, or the columns cannot be told.
    """
    named_text = _find(file, columns, text_column, "--text-column")
    named_label = _find(file, columns, label_column, "--label-column")
    if named_text is not None and named_text == named_label:
        raise DataError(
            "One column cannot be both the text and the label.",
            received=f"{shown(file)}: {shown(named_text)} for both",
            allowed=f"two of the columns {named(columns, n=20)}",
            next_step=NAME_BOTH,
        )
    taken = {named_text, named_label}
    optional = {}
    for name in OPTIONAL:
        found = [c for c in columns if fold(c) == name and c not in taken]
        optional[name] = found[0] if found else None
    left = [c for c in columns if _is_left(fold(c)) or c in taken]
    text = named_text or _usual(left, TEXT_NAMES, taken)
    label = named_label or _usual(left, LABEL_NAMES, {*taken, text})
    if len(left) == 2:
        if text is None and label is None:
            text = _longer(left, sample())
        if text is None and label is not None:
            text = left[left[0] == label]
        if label is None and text is not None:
            label = left[left[0] == text]
    if text is None or label is None or (named_text is None and fold(text) in PATH_NAMES):
        raise DataError(
            "Which columns hold the text and the label cannot be told.",
            received=f"{shown(file)}: columns {named(columns, n=20) or '(none)'}",
            allowed=f"a column called text ({named(TEXT_NAMES[1:6])}) and one called label "
            f"({named(LABEL_NAMES[1:5])}), or two columns besides split and group; of a CSV, "
            "line 1 names them",
            next_step=NAME_BOTH,
        )
    chosen = Columns(text, label, **optional)
    _refuse_doubled(file, columns, chosen)
    return chosen


def choose_text_column(file: Path, columns: Sequence[str], text_column: str | None) -> str:
    """The column with the text of a table that needs no labels.

    Raises:
        DataError: the named column is not there, or none can be told.
    """
    found = _find(file, columns, text_column, "--text-column", NAME_TEXT)
    left = [c for c in columns if _is_left(fold(c))]
    found = found or _usual(left, TEXT_NAMES, ())
    if found is None and len(left) == 1:
        found = left[0]
    if found is None:
        raise DataError(
            "Which column holds the text cannot be told.",
            received=f"{shown(file)}: columns {named(columns, n=20) or '(none)'}",
            allowed=f"a column called text ({named(TEXT_NAMES[1:6])}), or one column alone; of a "
            "CSV, line 1 names them",
            next_step=NAME_TEXT,
        )
    if columns.count(found) > 1:
        raise DataError(
            f"The table has more than one column {shown(found)}.",
            received=f"{shown(file)}: columns {named(columns, n=20)}",
            allowed="one column of this name",
            next_step="rename the others in the first line",
        )
    return found


def _is_left(name: str) -> bool:
    """Whether a column counts: pandas writes its index under no name."""
    return bool(name) and not name.startswith("unnamed:") and name not in OPTIONAL


def _find(
    file: Path, columns: Sequence[str], wanted: str | None, option: str, next_step: str = NAME_BOTH
) -> str | None:
    """The column that the caller means by `wanted`."""
    if wanted is None:
        return None
    exact = [c for c in columns if c == wanted] or [c for c in columns if fold(c) == fold(wanted)]
    if exact:
        return exact[0]
    raise DataError(
        f"The table has no column {shown(wanted)}.{did_you_mean(wanted, columns)}",
        received=f"{shown(file)}: columns {named(columns, n=20) or '(none)'}",
        allowed=f"for {option}, one of these columns",
        next_step=next_step,
    )


def _usual(
    columns: Sequence[str], names: Sequence[str], taken: Collection[str | None]
) -> str | None:
    """The column called by the first of `names`, else the only one called by another."""
    free = [c for c in columns if c not in taken]
    first = [c for c in free if fold(c) == names[0]]
    others = [c for c in free if fold(c) in names]
    if first:
        return first[0]
    return others[0] if len(others) == 1 else None


def _longer(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str | None:
    """Which of two columns has the longer values, or None if neither."""
    lengths = [0, 0]
    for row in rows:
        for i, column in enumerate(columns):
            value = row.get(column)
            lengths[i] += len(value) if isinstance(value, str) else 0
    return None if lengths[0] == lengths[1] else columns[lengths[1] > lengths[0]]


def _refuse_doubled(file: Path, columns: Sequence[str], chosen: Columns) -> None:
    used = {chosen.text, chosen.label, chosen.split, chosen.group}
    doubled = sorted({c for c in columns if c in used and columns.count(c) > 1})
    if doubled:
        raise DataError(
            f"The table has more than one column {named(doubled)}.",
            received=f"{shown(file)}: columns {named(columns, n=20)}",
            allowed="one column of each name that is used",
            next_step="rename the others in the first line",
        )
