"""JSON lines: one object a line, read as data whatever control characters its strings hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tl_app.data.lines import Lines
from tl_app.data.rows import Fault, Number, Row, check_characters
from tl_app.errors import UnusableText


def _constant(name: str) -> Number | None:
    return None if name == "NaN" else Number(name)


# As spelled: 1 and 1.0 are two labels, and a number of a million digits costs nothing.
DECODER = json.JSONDecoder(
    strict=False, parse_int=Number, parse_float=Number, parse_constant=_constant
)


def read_objects(lines: Lines) -> Iterator[Row | Fault]:
    """Each object from where `lines` is, or what is wrong with its line; no blank lines."""
    while (line := lines.next()) is not None:
        if line.is_cut:
            yield Fault(
                line.number, "too_long", f"a line of more than {len(line.text):,} characters"
            )
            continue
        text = line.text.strip(" \t\r\n")
        if not text:
            continue
        try:
            values = DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            yield Fault(line.number, *_why_no_json(text, error))
            continue
        if isinstance(values, dict):
            yield Row(line.number, values)
        else:
            yield Fault(line.number, "malformed", "JSON, but not an object {...}")


def _why_no_json(text: str, error: ValueError | RecursionError) -> tuple[str, str]:
    """Kind and reason."""
    try:
        check_characters(text)
    except UnusableText as problem:
        return problem.kind, problem.reason
    if isinstance(error, json.JSONDecodeError):
        return "malformed", f"not JSON: {error.msg} after {error.pos:,} characters"
    return "malformed", "not JSON: nested too deeply"
