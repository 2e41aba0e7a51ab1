"""A text file as its physical lines, one at a time, with a way back to an earlier one.

A line ends with CRLF, LF or CR, which stays on it. A byte order mark is left out. A byte that is
no UTF-8 becomes a lone surrogate (Python's "surrogateescape"), so that it costs its own line
and no more; valid UTF-8 never decodes to one.
"""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO, NamedTuple


class Line(NamedTuple):
    """One physical line.

    Attributes:
        number: from 1.
        text: with its end; of a line that is cut, the beginning.
        is_cut: whether the line is longer than the limit.
    """

    number: int
    text: str
    is_cut: bool


class Place(NamedTuple):
    """A position between two lines: how much comes before it."""

    n_lines: int
    n_bytes: int


class Lines:
    """The lines of a file, from its start.

    Args:
        stream: seekable; closed by whoever opened it.
        limit: no more characters of a line are held than this.

    Attributes:
        place: how far it was read.
    """

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._limit = stream, limit
        stream.seek(0)
        has_mark = stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
        self.place = Place(0, len(codecs.BOM_UTF8) if has_mark else 0)
        self._text = self._decoded_from(self.place.n_bytes)

    def next(self) -> Line | None:
        """The next line, or None at the end of the file."""
        text = self._piece()
        if not text:
            return None
        piece = text
        while piece and not piece.endswith(("\n", "\r")):
            piece = self._piece()  # the rest of a long line is passed over; at the end, nothing
        number = self.place.n_lines + 1
        self.place = Place(number, self.place.n_bytes)
        return Line(number, text, len(text) >= self._limit and not text.endswith(("\n", "\r")))

    def go_back(self, place: Place) -> None:
        """Read on from `place`, where it was before."""
        self._text.detach()
        self._text = self._decoded_from(place.n_bytes)
        self.place = place

    def _piece(self) -> str:
        """Characters up to the end of the line or to the limit; counts their bytes."""
        piece = self._text.readline(self._limit)
        n_bytes = self.place.n_bytes + _n_bytes(piece)
        if len(piece) == self._limit and piece.endswith("\r"):
            # The limit may have parted a CRLF.
            following = self._text.readline(1)
            if following == "\n":
                piece, n_bytes = piece + following, n_bytes + 1
            elif following:
                self._text.detach()
                self._text = self._decoded_from(n_bytes)
        self.place = Place(self.place.n_lines, n_bytes)
        return piece

    def _decoded_from(self, n_bytes: int) -> io.TextIOWrapper:
        self._stream.seek(n_bytes)
        return io.TextIOWrapper(
            self._stream, encoding="utf-8", errors="surrogateescape", newline=""
        )


def _n_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
