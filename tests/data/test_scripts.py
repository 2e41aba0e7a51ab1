"""Scripts and languages of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.data.scripts import NO_LETTERS, language_shares, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("A good film", "Latin"),
        ("Đây là phim hay", "Latin"),
        ("это хорошо", "Cyrillic"),
        ("مرحبا بالعالم", "Arabic"),
        ("这部电影很好", "Chinese characters"),
        ("これは良い映画です", "Japanese"),
        ("좋은 영화", "Korean"),
        ("🎉 123 !!", NO_LETTERS),
        ("", NO_LETTERS),
        ("\uff27\uff4f\uff4f\uff44", "Latin"),
    ],
)
def test_scripts(text, script):
    assert script_of(text) == script


@given(st.text())
def test_any_text_has_a_script(text):
    assert script_of(text)


def test_languages_are_told_in_the_mass():
    english = ["The delivery was late and nobody answered", "I like this book very much"] * 30
    german = ["Die Lieferung kam zu spät und niemand hat geantwortet", "Das Buch ist gut"] * 10
    shares = language_shares([*english, *german])
    assert list(shares)[:2] == ["en", "de"]
    assert sum(shares.values()) == pytest.approx(1)
    assert language_shares(["123", "🎉"]) == {}
    assert language_shares([]) == {}
