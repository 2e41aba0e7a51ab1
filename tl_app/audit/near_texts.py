"""Texts that are one and the same but for case, punctuation, symbols and white space."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from tl_app.records import TextExample


def words_of(text: str) -> str:
    """The words alone: NFKC, without case, punctuation and symbols; one space between them.

    Marks stay, since they are vowels in many scripts.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_WORDS_ALONE).split())


class _WordsAlone(dict[int, str]):
    """For `str.translate`: a space for what is no part of a word, looked up once a character."""

    def __missing__(self, code: int) -> str:
        kept = chr(code)
        self[code] = kept if unicodedata.category(kept)[0] in "LMN" else " "
        return self[code]


_WORDS_ALONE = _WordsAlone()


def same_words(examples: Sequence[TextExample]) -> np.ndarray:
    """int64, shape (n_pairs, 2): each text with the first of the same words, where not the same.

    Texts without a word (emoji alone) are like no other.
    """
    first_with: dict[str, int] = {}
    pairs = []
    for i, example in enumerate(examples):
        words = words_of(example.text)
        if not words:
            continue
        first = first_with.setdefault(words, i)
        if examples[first].content != example.content:
            pairs.append((first, i))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
