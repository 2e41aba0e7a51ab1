"""Which words of a text told the most: those without which the answer is less sure.

Occlusion (Zeiler and Fergus, 2014, for pictures; Li et al., 2016, "Understanding neural networks
through representation erasure", for words): the model is asked again without each word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MOST_PARTS = 60
"""Longer texts are asked without runs of several words."""

LEAST_EFFECT = 0.02
"""A probability that moves by less is told by nothing in particular."""

MOST_TELLING = 6

# A word, or one sign of a script that is written without spaces.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]|\w+(?:['\u2019]\w+)*"
    r"|[^\w\s]+"
)


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
    """Where the words of a text begin and end; of a long one, runs of words."""
    words = [match.span() for match in _WORD.finditer(text)]
    together = -(-len(words) // MOST_PARTS)
    if together < 2:
        return words
    runs = [words[i : i + together] for i in range(0, len(words), together)]
    return [(run[0][0], run[-1][1]) for run in runs]
