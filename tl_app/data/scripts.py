"""The scripts that texts are written in, and the languages that they seem to be in."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

SCRIPTS = {
    "CJK": "Chinese characters",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
}
"""First word of a character's Unicode name -> what people call it, where that differs."""

NO_LETTERS = "no letters"

CHUNK_CHARACTERS = 400
"""A language is told of so many characters at once: of less it is a guess."""

MOST_CHUNKS = 150


def script_of(text: str) -> str:
    """The script of most of a text's letters: "Latin", "Arabic", "Chinese characters", ..."""
    counts = Counter(_script(character) for character in text[:2000] if character.isalpha())
    if not counts:
        return NO_LETTERS
    # Japanese is written in three scripts at once.
    if "Japanese" in counts and counts["Japanese"] * 5 > counts.total():
        return "Japanese"
    return counts.most_common(1)[0][0]


@lru_cache(maxsize=100_000)
def _script(character: str) -> str:
    plain = unicodedata.normalize("NFKC", character)[0]  # full-width letters are Latin
    first = unicodedata.name(plain, "OTHER").split()[0].split("-")[0]
    return SCRIPTS.get(first, first.capitalize())


@cache
def language_teller() -> Callable[[str], tuple[str, float]]:
    """What says of a text its language; its tables take half a second to load, once."""
    from py3langid import classify

    classify("")
    return classify


def language_shares(texts: Sequence[str]) -> dict[str, float]:
    """ISO 639-1 codes and the share of the texts in each, the largest first.

    Single texts are too short to tell; like scripts are joined and told together, so small
    shares say little.
    """
    classify = language_teller()
    step = max(1, len(texts) // 4000)
    by_script: dict[str, list[str]] = {}
    for text in texts[::step]:
        by_script.setdefault(script_of(text), []).append(text)
    by_script.pop(NO_LETTERS, None)
    weights: defaultdict[str, float] = defaultdict(float)
    for alike in by_script.values():
        chunks = _chunks(alike)
        stride = max(1, -(-len(chunks) // MOST_CHUNKS))
        sample = chunks[::stride]
        for chunk in sample:
            weights[classify(chunk)[0]] += len(alike) / len(sample)
    total = sum(weights.values()) or 1.0
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    return {language: weight / total for language, weight in ranked}


def _chunks(texts: Sequence[str]) -> list[str]:
    chunks: list[str] = []
    current: list[str] = []
    size = 0
    for text in texts:
        current.append(text[:CHUNK_CHARACTERS])
        size += len(current[-1])
        if size >= CHUNK_CHARACTERS:
            chunks.append(" ".join(current))
            current, size = [], 0
    if current and (not chunks or size > CHUNK_CHARACTERS // 2):
        chunks.append(" ".join(current))
    return chunks
