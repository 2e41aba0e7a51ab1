"""Texts of the same words."""

from __future__ import annotations

import pytest

from tl_app.audit.near_duplicates import find_near_duplicates
from tl_app.audit.near_texts import words_of
from tl_app.records import TextExample


def text(i: int, words: str) -> TextExample:
    normal = " ".join(words.split())
    return TextExample(f"t:{i}", 0, None, None, words, words, normal, len(words))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Great film!", "great film"),
        ("Tôi rất thích.", "tôi RẤT thích"),
        ("Straße: nass", "STRASSE, nass"),
        ("ｆｕｌｌ width", "full width"),  # noqa: RUF001
        ("so good 😀", "so good"),
    ],
)
def test_the_same_words(first: str, second: str) -> None:
    assert words_of(first) == words_of(second) != ""
    found = find_near_duplicates([text(0, first), text(1, "another"), text(2, second)], None, None)
    assert found.ties.pairs.tolist() == [[0, 2]]
    assert found.groups[0] == found.groups[2] != found.groups[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("room 12", "room 13"),
        ("की", "कि"),  # one letter, two vowels
        ("resume", "résumé"),
        ("a b", "ab"),
        ("😀", "😡"),  # no word at all
    ],
)
def test_other_words(first: str, second: str) -> None:
    found = find_near_duplicates([text(0, first), text(1, second)], None, None)
    assert not len(found.ties.pairs)
    assert found.groups[0] != found.groups[1]


def test_the_same_but_for_white_space_needs_no_tie() -> None:
    found = find_near_duplicates([text(0, "a  b"), text(1, "a b")], None, None)
    assert not len(found.ties.pairs)  # the scan has one content for both
    assert found.groups[0] == found.groups[1]
