"""One row of a table of texts: from the values of its columns to a text, or why there is none."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tl_app.data.layout import SIDE_NAMES
from tl_app.data.listing import counted, shown
from tl_app.errors import UnusableText
from tl_app.records import Side

MAX_LABEL_CHARACTERS = 1_000
SURROGATE = re.compile("[\ud800-\udfff]")
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
"""How files of 16 or 32 bits a character begin; UTF-32 LE begins as UTF-16 LE does."""


class Row(NamedTuple):
    """The values of one row by column: strings, other JSON values, None where there is none."""

    line: int
    values: Mapping[str, Any]


class Fault(NamedTuple):
    """A row that cannot be read; `kind` and `reason` are those of `records.SetAside`."""

    line: int
    kind: str
    reason: str


class Number(str):
    """A number as a file spells it, so that 1 and 1.0 stay two labels."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns that are used, as `Row.values` has them."""

    text: str
    label: str
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a row says.

    Attributes:
        text: None where it cannot be used.
        label: None where it cannot be used.
        problem: why the row cannot be used, or None.
        unknown_split: a value of the split column that names no side.
    """

    text: str | None
    label: str | None
    side: Side | None
    group: str | None
    problem: UnusableText | None
    unknown_split: str | None


def read_row(values: Mapping[str, Any], columns: Columns, *, max_characters: int) -> Reading:
    """Take from a row what the columns say, each value checked."""
    problems: list[UnusableText] = []
    text = label = group = side_name = None
    try:
        text = read_text(values, columns.text, max_characters)
    except UnusableText as problem:
        problems.append(problem)
    try:
        label = _label(values, columns.label)
    except UnusableText as problem:
        problems.append(problem)
    try:
        side_name = _name(values, columns.split) or None
        group = _name(values, columns.group) or None
    except UnusableText as problem:
        problems.append(problem)
    side = SIDE_NAMES.get(side_name.casefold()) if side_name else None
    return Reading(
        text=text,
        label=label,
        side=side,
        group=group,
        problem=problems[0] if problems else None,
        unknown_split=side_name if side is None else None,
    )


def check_text(text: str, max_characters: int) -> str:
    """`text` itself.

    Raises:
        UnusableText: it is broken, blank or too long.
    """
    check_characters(text)
    if not text.strip():
        raise UnusableText("empty", "no text but whitespace" if text else "no text")
    if len(text) > max_characters:
        raise UnusableText(
            "too_long", f"{len(text):,} characters; at most {max_characters:,} are read"
        )
    return text


def check_characters(text: str) -> None:
    """Raises: UnusableText: `text` holds bytes that are no UTF-8, half a character, or NUL."""
    if not text.isascii() and (found := SURROGATE.search(text)):
        code = ord(found.group())
        # Decoding with "surrogateescape" makes these of bytes; others come from JSON's escapes.
        if 0xDC80 <= code <= 0xDCFF:
            before = counted(found.start(), "character")
            reason = f"not in UTF-8: byte 0x{code - 0xDC00:02x} after {before}"
        else:
            reason = f"\\u{code:04x} alone is half a character"
        raise UnusableText("wrong_encoding", reason)
    if "\0" in text:
        before = counted(text.index("\0"), "character")
        raise UnusableText("nul_bytes", f"a NUL byte after {before}")


def read_text(values: Mapping[str, Any], column: str, max_characters: int) -> str:
    """The text of a row.

    Raises:
        UnusableText: there is none, or it cannot be used.
    """
    if column not in values:
        raise UnusableText("malformed", f"no {shown(column)}")
    value = values[column]
    if value is None or _is_nan(value):
        raise UnusableText("empty", "no text")
    if not isinstance(value, str) or isinstance(value, Number):
        raise UnusableText("malformed", f"the text is {_what(value)}, not a string")
    return check_text(value, max_characters)


def _label(values: Mapping[str, Any], column: str) -> str:
    label = _name(values, column)
    if not label:
        raise UnusableText("no_label", "no label")
    if len(label) > MAX_LABEL_CHARACTERS:
        raise UnusableText(
            "malformed",
            f"a label of {len(label):,} characters; at most {MAX_LABEL_CHARACTERS:,} are read",
        )
    return label


def _name(values: Mapping[str, Any], column: str | None) -> str:
    """The value of a label, split or group as a stripped string, empty where there is none."""
    value = values.get(column) if column is not None else None
    if value is None or _is_nan(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str):
        raise UnusableText("malformed", f"{shown(column)} is {_what(value)}, not one value")
    check_characters(value)
    return value.strip()


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _what(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Number | int | float):
        return "a number"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return f"a {type(value).__name__}"
