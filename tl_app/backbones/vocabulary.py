"""What an encoder's token numbers stand for, as data: `inputs.tokenizer` makes it run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Pieces:
    """WordPiece: a piece's number is its place.

    Attributes:
        pieces: in their order.
        lowercase: whether texts are put into lower case.
        strip_accents: whether accents are taken off.
    """

    pieces: tuple[str, ...]
    lowercase: bool = True
    strip_accents: bool = True

    @property
    def sha256(self) -> str:
        """Of the pieces, one a line in UTF-8, and of what is not as usual; hexadecimal."""
        odd = [name for name in ("lowercase", "strip_accents") if not getattr(self, name)]
        return _sha256([*self.pieces, *(f"without {name}" for name in odd)])


@dataclass(frozen=True, slots=True, eq=False)
class PresetVocabulary:
    """A tokenizer of KerasHub: byte pairs or SentencePiece.

    Attributes:
        tokenizer: the layer; strings (n,) to int32 token numbers, ragged (n, None).
        start, end: numbers that stand before and behind every text.
        pad: number of what fills up.
        sha256: of all that decides what it does, hexadecimal.
    """

    tokenizer: Any
    start: int
    end: int
    pad: int
    sha256: str


Vocabulary = Pieces | PresetVocabulary


def _sha256(lines: Sequence[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
