"""One .txt file, one text."""

from __future__ import annotations

import codecs
from pathlib import Path

from tl_app.data.rows import UTF_16_MARKS, check_text
from tl_app.errors import UnusableText

BYTES_A_CHARACTER = 4
"""UTF-8 has no longer characters."""


def read_text_file(path: Path, max_characters: int) -> str:
    """The text of a file in UTF-8, without a byte order mark and otherwise as it is.

    Raises:
        UnusableText: with a kind of `records.SetAside` and a sentence for people.
    """
    raw = _read(path, BYTES_A_CHARACTER * max_characters + len(codecs.BOM_UTF8))
    if raw.startswith(UTF_16_MARKS):
        raise UnusableText("wrong_encoding", "UTF-16 or UTF-32, not UTF-8")
    text = raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return check_text(text, max_characters)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise UnusableText("missing", "the file is not there (any more)")
        with path.open("rb") as stream:
            raw = stream.read(max_bytes + 1)
            n_bytes = len(raw) if len(raw) <= max_bytes else path.stat().st_size
    except OSError as error:
        raise UnusableText("unreadable", f"it cannot be read: {error.strerror}") from error
    if n_bytes > max_bytes:
        raise UnusableText("too_long", f"{n_bytes:,} bytes; at most {max_bytes:,} are read")
    return raw
