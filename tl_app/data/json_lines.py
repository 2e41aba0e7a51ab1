"""JSON lines: one object a line, read as data whatever control characters its strings hold."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from tl_app.data.lines import Lines
from tl_app.data.listing import counted, quoted, shown
from tl_app.data.rows import Fault, Number, Row, check_characters
from tl_app.errors import DataError, UnusableText

OBJECT_A_LINE = 'one object a line, such as {"text": "a good film", "label": "good"}'
TO_LINES = (
    "import json, sys; "
    '[print(json.dumps(row)) for row in json.load(open(sys.argv[1], encoding="utf-8-sig"))]'
)
N_START_BYTES = 65_536
"""A document shows its kind within so many bytes."""


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
        return "malformed", f"not JSON: {error.msg} after {counted(error.pos, 'character')}"
    return "malformed", "not JSON: nested too deeply"


def refuse_document(file: Path) -> None:
    """A file named .json, which is not read; say how it becomes lines.

    Raises:
        DataError: `file` is one.
    """
    if file.suffix.lower() != ".json" or file.is_dir():
        return
    start = _start(file)
    what, next_step = "one document", "write it anew with one object a line, in a file named .jsonl"
    if start.startswith("["):
        what, next_step = "one array", to_lines(file)
    elif _is_object(start.split("\n", 1)[0]):
        what = "lines, in a file that is not named so"
        next_step = f"cp {quoted(file)} {quoted(file.with_suffix('.jsonl'))}"
    raise DataError(
        "JSON is read a line at a time, from files named .jsonl.",
        received=f"{shown(file)}: {what}",
        allowed=OBJECT_A_LINE,
        next_step=next_step,
    )


def is_array(file: Path) -> bool:
    """Whether a JSON file holds one array, by its first character."""
    return _start(file).startswith("[")


def to_lines(file: Path) -> str:
    """A command that writes the objects of an array one a line, beside it."""
    is_document = file.suffix.lower() == ".json"
    new = file.with_name(f"{file.stem}{'' if is_document else '.lines'}.jsonl")
    return f"python3 -c {shlex.quote(TO_LINES)} {quoted(file)} > {quoted(new)}"


def _start(file: Path) -> str:
    """The beginning of a file without what stands for nothing; empty where it cannot be read."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(N_START_BYTES)
    except OSError:
        return ""
    return raw.decode("utf-8", "replace").removeprefix("\ufeff").lstrip()


def _is_object(line: str) -> bool:
    try:
        return isinstance(DECODER.decode(line.strip()), dict)
    except (ValueError, RecursionError):
        return False
