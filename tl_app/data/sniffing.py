"""What the first bytes of a table say against reading it as text."""

from __future__ import annotations

import codecs
from pathlib import Path

from tl_app.data.listing import quoted, shown
from tl_app.data.rows import UTF_16_MARKS
from tl_app.errors import DataError

N_BYTES = 65_536
SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook or another Office file"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"PAR1", "Parquet"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
HARMLESS = frozenset(b"\t\n\r\b\f\x1b")
MAX_CONTROL_SHARE = 0.1
MAX_NUL_SHARE = 0.3
USUAL_ENCODING = "WINDOWS-1252"
"""Of tables that are not in UTF-8; its letters are those of Latin-1."""


def refuse_other_than_text(file: Path) -> None:
    """Look at the beginning of a table.

    Raises:
        DataError: it is UTF-16 or no text at all. Single bad bytes are left to the lines.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        start = stream.read(N_BYTES)
    what = _what_else(start)
    if what is None:
        return
    if what.startswith("UTF"):
        raise not_utf8(file, f": {what}", what)
    raise DataError(
        "The table is a binary file, not text.",
        received=f"{shown(file)}: {what}",
        allowed="CSV, TSV or JSON lines in UTF-8, or Parquet named .parquet",
        next_step="unpack it, or export it as 'CSV UTF-8'",
    )


def to_utf8(file: Path, encoding: str = USUAL_ENCODING) -> str:
    """A command that writes a table in UTF-8, beside it."""
    new = file.with_name(f"{file.stem}.utf8{file.suffix}")
    return f"iconv -f {encoding} -t UTF-8 {quoted(file)} > {quoted(new)}"


def not_utf8(file: Path, what: str, encoding: str | None = None) -> DataError:
    """What to tell of a table in another encoding.

    Args:
        file: the table.
        what: was met, and where, to be said after its name.
        encoding: by its name for iconv; None takes the one that most such tables are in.
    """
    allowed = "UTF-8, with or without a byte order mark"
    if encoding is None:
        encoding = USUAL_ENCODING
        allowed += f"; the command takes it for {encoding}, and iconv -l names others"
    return DataError(
        "The table is not UTF-8 text.",
        received=f"{shown(file)}{what}",
        allowed=allowed,
        next_step=to_utf8(file, encoding),
    )


def _what_else(start: bytes) -> str | None:
    """What bytes are that are no text in UTF-8, or None if they may be."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if start.startswith(UTF_16_MARKS):
        return "UTF-16"
    for signature, what in SIGNATURES:
        if start.startswith(signature):
            return what
    n_nul = start.count(0)
    if n_nul > MAX_NUL_SHARE * len(start):
        n_odd = start[1::2].count(0)
        if max(n_odd, n_nul - n_odd) >= 0.95 * n_nul:
            return "UTF-16LE" if 2 * n_odd > n_nul else "UTF-16BE"
        return "mostly NUL bytes"
    n_control = sum(byte < 32 and byte not in HARMLESS for byte in start)
    if n_control > MAX_CONTROL_SHARE * len(start) and not _is_utf8(start):
        return "control bytes that no text has"
    return None


def _is_utf8(start: bytes) -> bool:
    """Whether `start` is UTF-8, but for a last character that may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return True
