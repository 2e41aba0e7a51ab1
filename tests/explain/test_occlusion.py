"""Which words tell: asked of models whose reasons are known."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.explain.occlusion import MOST_PARTS, MOST_TELLING, parts_of, telling_words


def by_words(texts):
    """Sure of class 1 where "awful" is said, half sure where "bad" is."""
    sure = np.array([0.9 * ("awful" in t) + 0.4 * ("bad" in t) for t in texts])
    sure = np.clip(sure, 0.05, 0.95)
    return np.stack([1 - sure, sure], axis=1).astype(np.float32)


def test_the_words_that_the_model_goes_by_are_found():
    text = "It was awful, and I said so."
    [word] = telling_words(text, 1, by_words)
    assert text[word.start : word.stop] == "awful"
    assert word.effect > 0.8
    assert telling_words(text, 0, by_words) == ()


def test_what_speaks_against_is_not_marked():
    [word] = telling_words("bad but fine", 1, by_words)
    assert (word.start, word.stop) == (0, 3)
    assert telling_words("fine", 1, by_words) == ()
    assert telling_words(" \n", 1, by_words) == ()


COMBINING = (
    "\u0301\u0323\u093e\u094d\u0e31\u0e48\u064e\u0651\u3099\ufe0f\u20e3\U000e0100\u200d\u200c"
)
BASES = "ae 'नमกไ่ดีمحか好👩👍1!\n"
TEXTS = st.builds(
    lambda pieces, times: "".join(pieces) * times,
    st.lists(st.text(COMBINING + BASES) | st.text()),
    st.sampled_from([1, 2, 50]),
)


def combines(character):
    """With the character before it."""
    return unicodedata.category(character).startswith("M") or character in "\u200c\u200d"


@given(TEXTS)
def test_parts_are_in_order_apart_few_and_whole(text):
    parts = parts_of(text)
    assert len(parts) <= MOST_PARTS
    edges = [edge for part in parts for edge in part]
    assert edges == sorted(edges)
    assert all(0 <= start < stop <= len(text) for start, stop in parts)
    assert all(text[start:stop].strip() for start, stop in parts)
    assert not any(combines(text[start]) for start, _ in parts)
    assert not any(combines(text[stop]) for _, stop in parts if stop < len(text))


@given(st.text(COMBINING + BASES, max_size=MOST_PARTS))
def test_all_but_spaces_is_in_a_part(text):
    parts = parts_of(text)
    inside = {place for start, stop in parts for place in range(start, stop)}
    for place in set(range(len(text))) - inside:
        assert text[place].isspace() or combines(text[place])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("between", "words"),
    [
        pytest.param(" ", ["यह", "फ़िल्म", "बहुत", "अच्छी", "क्षेत्र"], id="Hindi"),
        pytest.param(" ", ["rất", "đẹp", "tuyệt", "vời", "người"], id="Vietnamese"),
        pytest.param(" ", ["فِيلمٌ", "مُمتِعٌ", "جِدًّا"], id="Arabic"),
        pytest.param(" ", ["می\u200cشود", "بد"], id="Persian"),
        pytest.param(" ", ["don't", "l\u2019été", "go", "!?"], id="Latin"),
        pytest.param(
            " ",
            [
                "👩\u200d👩\u200d👧",
                "❤\ufe0f",
                "👍🏽",
                "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
                "🇻🇳",
                "1\ufe0f\u20e3",
            ],
            id="emoji",
        ),
        pytest.param("", ["ไ", "ม่", "ดี", "น้ำ", "ที่", "นี่"], id="Thai"),
        pytest.param("", ["这", "个", "abc", "很", "好", "\u8fbb\U000e0100", "!"], id="Chinese"),
        pytest.param("", ["が", "好", "き"], id="Japanese"),
    ],
)
def test_words_keep_what_is_combined_with_them(between, words, form):
    words = [unicodedata.normalize(form, word) for word in words]
    text = between.join(words)
    assert [text[start:stop] for start, stop in parts_of(text)] == words


def test_what_is_combined_with_a_space_is_no_word():
    text = "\u0301e\u0301 \u0301 f"
    assert [text[start:stop] for start, stop in parts_of(text)] == ["e\u0301", "f"]


def test_words_end_at_signs():
    assert [("don't go!")[a:b] for a, b in parts_of("don't go!")] == ["don't", "go", "!"]


def test_the_strongest_come_first_and_are_few():
    words = [f"w{number}" for number in range(20)]

    def tell(texts):
        sure = np.array(
            [sum((20 - i) * (w in t.split()) for i, w in enumerate(words)) for t in texts]
        )
        return np.stack([1 - sure / 300, sure / 300], axis=1)

    found = telling_words(" ".join(words), 1, tell)
    assert len(found) == MOST_TELLING
    assert [f.effect for f in found] == sorted((f.effect for f in found), reverse=True)
    assert found[0].start == 0
