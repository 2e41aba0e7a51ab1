"""Which words tell: asked of models whose reasons are known."""

from __future__ import annotations

import numpy as np
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


@given(st.text(max_size=2000))
def test_parts_are_in_order_apart_and_few(text):
    parts = parts_of(text)
    assert len(parts) <= MOST_PARTS
    edges = [edge for part in parts for edge in part]
    assert edges == sorted(edges)
    assert all(text[start:stop].strip() for start, stop in parts)


def test_signs_of_scripts_without_spaces_are_parts():
    assert [("这个很好")[a:b] for a, b in parts_of("这个很好")] == list("这个很好")
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
