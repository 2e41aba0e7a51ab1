"""The graph's tokeniser says what the reference says, for any text."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tl_app.inputs.wordpiece import ASSIGNED, WordPiece

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?-_'\"()[]你好吗가ั้สวัดีمرحباß½ﬁ🙂€"
PIECES = ["the", "un", "##aff", "##able", "##ing", "straße", "est", "##s", "viet", "##nam", "##好"]
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *dict.fromkeys([*PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS)]),
]
MAX_TOKENS = 24

BARE_NORMALIZER = normalizers.BertNormalizer(lowercase=True)
BARE_SPLITTER = pre_tokenizers.BertPreTokenizer()


@pytest.fixture(scope="module")
def tokenize():
    return WordPiece(VOCABULARY, MAX_TOKENS)


@pytest.fixture(scope="module")
def reference():
    number = {piece: i for i, piece in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(number, unk_token="[UNK]"))
    tokenizer.normalizer = BARE_NORMALIZER
    tokenizer.pre_tokenizer = BARE_SPLITTER

    def encode(text: str) -> list[int]:
        inner = tokenizer.encode(text).ids[: MAX_TOKENS - 2]
        return [number["[CLS]"], *inner, number["[SEP]"]]

    return encode


def is_old(character: str) -> bool:
    """Whether the reference, whose tables of characters are older than Python's, knows it."""
    if unicodedata.category(character) == "Cs":
        return False
    kept = BARE_NORMALIZER.normalize_str(character)
    is_mark = unicodedata.category(character) in ("Mn", "Mc", "Cf")
    splits = len(BARE_SPLITTER.pre_tokenize_str(f"a{character}b")) != 1
    is_sign = unicodedata.category(character).startswith("P")
    return not (is_mark and kept) and (splits or not is_sign) and character != "\u166d"


ANY = st.characters(exclude_categories=["Cs"]).filter(is_old)
COMMON = st.sampled_from(LETTERS + "ABCÄÖéñ \t\n\u00a0\u200b\u0301\u0000\ufffd\uff21\uff22ﬀİΣ")
TEXTS = st.text(st.one_of(COMMON, ANY), max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_any_texts_are_cut_as_the_reference_cuts_them(tokenize, reference, texts):
    assert tokenize(tf.constant(texts)).to_list() == [reference(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "Unaffable, the UNAFFABLE!",
        "Straße ½ ﬁ \uff21\uff22\uff11\uff12",
        "Tiếng Việt Nam rất đẹp",
        "你好吗 abc你d",
        "ΣΟΦΟΣ İstanbul",
        "가나다",
        "a" * 100,
        "a" * 101,
        "a " * 40,
        "🙂👍🏽\u200d",
    ],
)
def test_known_difficulties(tokenize, reference, text):
    assert tokenize(tf.constant([text])).to_list() == [reference(text)]


def test_special_words_in_a_text_are_plain_text(tokenize):
    """Nobody's mail can end a sentence early, or pass for padding."""
    for word in ("[SEP]", "[PAD]", "[CLS]"):
        [tokens] = tokenize(tf.constant([word])).to_list()
        assert VOCABULARY.index(word) not in tokens[1:-1]
        assert tokens[1] == VOCABULARY.index("[")


def test_a_text_does_not_depend_on_those_around_it(tokenize):
    texts = ["The unaffable", "", "viet nam " * 9, "你"]
    alone = [tokenize(tf.constant([text])).to_list()[0] for text in texts]
    assert tokenize(tf.constant(texts)).to_list() == alone
    assert tokenize(tf.constant([], tf.string)).to_list() == []


def test_long_texts_end_as_short_ones_do(tokenize):
    [tokens] = tokenize(tf.constant(["the " * 100])).to_list()
    assert len(tokens) == MAX_TOKENS
    assert tokens[-1] == VOCABULARY.index("[SEP]")


def test_bytes_that_are_no_text_are_left_out(tokenize):
    broken, whole = tokenize(tf.constant([b"the\xff\xfe est", b"the est"])).to_list()
    assert broken == whole


def test_it_is_saved_with_a_model_and_loads_with_nothing_else(tokenize, tmp_path):
    module = tf.Module()
    module.tokenize = tokenize
    module.run = tf.function(
        lambda texts: tokenize(texts).to_tensor(), [tf.TensorSpec((None,), tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path))
    texts = tf.constant(["The unaffable", "你好"])
    again = tf.saved_model.load(str(tmp_path)).run(texts)
    np.testing.assert_array_equal(again, tokenize(texts).to_tensor())


@pytest.mark.parametrize(
    "vocabulary",
    [VOCABULARY[1:], ["a", *VOCABULARY], [*VOCABULARY, "the"], [*VOCABULARY[:2], "the"]],
)
def test_a_vocabulary_of_another_kind_is_refused(vocabulary):
    with pytest.raises(ValueError, match="no vocabulary"):
        WordPiece(vocabulary, MAX_TOKENS)


@pytest.fixture(scope="module")
def n_read(tokenize):
    """Of a few texts, traced once."""
    traced = tf.function(tokenize.n_read, [tf.TensorSpec((None,), tf.string)], autograph=False)
    return lambda *texts: traced(tf.constant(texts, tf.string)).numpy().tolist()


LONG_TEXTS = st.lists(TEXTS, max_size=6).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(LONG_TEXTS, min_size=1, max_size=4))
def test_what_is_read_of_a_text_is_what_its_tokens_tell_of(tokenize, n_read, texts):
    found = n_read(*texts)
    tokens = tokenize(tf.constant(texts)).to_list()
    cut = [text[:n] for text, n in zip(texts, found, strict=True)]
    assert tokenize(tf.constant(cut)).to_list() == tokens
    for text, n, row in zip(texts, found, tokens, strict=True):
        assert 0 <= n <= len(text)
        assert n == len(text) or len(row) == MAX_TOKENS


def test_what_is_read_ends_where_the_first_unread_word_begins(n_read):
    n_kept = MAX_TOKENS - 2
    full = "the " * n_kept
    # Of the last word that is read the last piece is cut off.
    in_part = "the " * (n_kept - 2) + "unaffable "
    # Signs and accents that are dropped count as code points of the text.
    marked = "e\u0301st\u200b " * n_kept
    ends = {full: "est the", in_part: "the", marked: "the", "好" * n_kept: "好好", "": ""}
    assert n_read(*(begin + end for begin, end in ends.items())) == [len(begin) for begin in ends]
    assert n_read(full, "the") == [len(full), len("the")]
    assert n_read() == []


def test_no_code_point_becomes_more_than_one_word(tokenize):
    """Else a text could not be cut where a word begins."""
    texts = [chr(code) for codes in ASSIGNED for code in codes if not 0xD800 <= code < 0xE000]
    _, text_of, _, _ = tokenize._split(tf.constant(texts))
    assert np.bincount(text_of.numpy()).max() == 1
