from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.small_encoder import PIECES
from tl_app.features.items import by_shape, collate
from tl_app.features.texts import BUCKET_TOKENS, TokenizedTexts
from tl_app.inputs.wordpiece import WordPiece

TOKENIZER = WordPiece(PIECES, 40)
WORDS = st.sampled_from(["good", "bad", "days", "unheard-of", "ngày", "🎉", ""])
TEXTS = st.lists(st.lists(WORDS, max_size=60).map(" ".join), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_shorter_items_are_filled_up_with_zeros(lengths):
    items = [np.arange(1, n + 1, dtype=np.int32) for n in lengths]
    batch = collate(items)
    assert batch.shape == (len(items), max(lengths))
    assert batch.dtype == np.int32
    for row, item in zip(batch, items, strict=True):
        np.testing.assert_array_equal(row[: len(item)], item)
        assert not row[len(item) :].any()
    groups = by_shape(items)
    assert sorted(group.shape[1] for group in groups) == sorted(set(lengths))
    assert sum(len(group) for group in groups) == len(items)


@settings(deadline=None, max_examples=30)
@given(TEXTS)
def test_texts_are_their_tokens_in_few_lengths(texts):
    items = TokenizedTexts(texts, TOKENIZER)
    expected = TOKENIZER(texts).to_list()
    for position, tokens in enumerate(expected):
        row = items.load(position)
        assert row.dtype == np.int32
        assert row.tolist() == tokens + [0] * (len(row) - len(tokens))
        assert len(row) == items.lengths[position]
        assert len(row) % BUCKET_TOKENS == 0 or len(row) == TOKENIZER.max_tokens
        assert len(row) < len(tokens) + BUCKET_TOKENS
    same = [hashlib.sha256(np.array(t, np.int32).tobytes()).digest() for t in expected]
    assert items.keys == tuple(same)


def test_no_texts():
    items = TokenizedTexts([], TOKENIZER)
    assert items.keys == ()
    assert items.lengths.shape == (0,)
