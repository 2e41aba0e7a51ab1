"""Which words of a text told the most: those without which the answer is less sure.

Occlusion (Zeiler and Fergus, 2014, for pictures; Li et al., 2016, "Understanding neural networks
through representation erasure", for words): the model is asked again without each word.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

MOST_PARTS = 60
"""Longer texts are asked without runs of several words."""

LEAST_EFFECT = 0.02
"""A probability that moves by less is told by nothing in particular."""

MOST_TELLING = 6

WITHOUT_SPACES = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts without spaces between words, as the inside of a class of `re`: each sign is a part."""

JOINED = (0x200C, 0x200D, 0x0E33, 0x0EB3)
"""What is no mark in Unicode and still belongs to the sign before: joiners, AM in Thai and Lao."""


@dataclass(frozen=True, slots=True)
class TellingWord:
    """A part of a text.

    Attributes:
        start, stop: its place, in code points.
        effect: how much the probability of the answer falls without it.
    """

    start: int
    stop: int
    effect: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TellingWord:
        return cls(**values)


def telling_words(
    text: str, column: int, tell: Callable[[Sequence[str]], np.ndarray]
) -> tuple[TellingWord, ...]:
    """The words that speak most for one class, the strongest first.

    Args:
        text: as the model was given it.
        column: of the class.
        tell: texts to probabilities, float32, shape (n, n_classes).
    """
    spans = parts_of(text)
    if not spans:
        return ()
    answers = tell([text, *(text[:start] + text[stop:] for start, stop in spans)])[:, column]
    effects = (answers[0] - answers[1:]).tolist()
    found = [
        TellingWord(start, stop, round(effect, 4))
        for (start, stop), effect in zip(spans, effects, strict=True)
        if effect >= LEAST_EFFECT
    ]
    return tuple(sorted(found, key=lambda word: -word.effect)[:MOST_TELLING])


def parts_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end; of a long one, runs of words.

    What is combined with a character stays with it; what is combined with a space is in no part.
    """
    words = [match.span() for match in _word().finditer(text)]
    together = -(-len(words) // MOST_PARTS)
    if together < 2:
        return words
    runs = [words[i : i + together] for i in range(0, len(words), together)]
    return [(run[0][0], run[-1][1]) for run in runs]


@cache
def _word() -> re.Pattern[str]:
    """A sign of a script without spaces, a word, or a run of other signs."""
    marks = f"[{_combining()}]*"
    sign = f"[{WITHOUT_SPACES}]{marks}"
    letters = rf"(?:[^\W{WITHOUT_SPACES}]{marks})+"
    word = rf"{letters}(?:['\u2019]{marks}{letters})*"
    return re.compile(rf"(?![{_combining()}])(?:{sign}|{word}|[^\w\s]+)")


@cache
def _combining() -> str:
    """Marks (accents, vowel signs, ...), joiners and the like, as the inside of a class of `re`."""
    codes = [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c))[0] == "M"]
    codes = sorted([*codes, *JOINED])
    # As ranges: beyond U+FFFF `re` tries single code points one after the other.
    runs = groupby(enumerate(codes), lambda pair: pair[1] - pair[0])
    spans = [[code for _, code in run] for _, run in runs]
    return "".join(f"{chr(span[0])}-{chr(span[-1])}" for span in spans)
