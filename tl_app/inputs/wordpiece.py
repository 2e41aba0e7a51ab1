"""WordPiece inside the graph: the same operations tokenise in training, evaluation and serving.

BERT's uncased tokeniser (Devlin et al. 2019; the reference is Hugging Face's `tokenizers`,
BertNormalizer, BertPreTokenizer and WordPiece), out of plain TensorFlow operations: a SavedModel
that holds it loads with `tf.saved_model.load` alone. Three steps: each code point is replaced by
what the table says (lower case, no accents, control characters gone), the text is split at
spaces and around punctuation and Chinese characters, and each word is cut greedily into the
longest pieces that the vocabulary knows.

Words such as "[SEP]" in a text are plain text here: nobody's mail can end a sentence early.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import tensorflow as tf

UNKNOWN, START, END, PAD = "[UNK]", "[CLS]", "[SEP]", "[PAD]"
CONTINUATION = "##"
MAX_WORD_CHARACTERS = 100
"""Longer words are unknown, as in the reference."""

PAGE = 256
N_CODE_POINTS = 0x110000
REPLACEMENT = 0xFFFD
"""What bytes that are no UTF-8 decode to; the table drops it."""

CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
"""First and last of the ranges that are written without spaces: every character is a word."""

ORDINARY, SPACE, ALONE = 0, 1, 2
"""Kinds of characters: part of a word, between words, a word of its own."""


ASSIGNED = (range(0x32000), range(0xE0000, 0xE0200))
PRIVATE = 0xF0000
"""All characters, and the first of two planes for private use; what lies between stays."""


@cache
def characters(
    lowercase: bool = True, strip_accents: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What becomes of every code point, in pages of PAGE of them.

    Returns:
        page_of: int32, shape (N_CODE_POINTS / PAGE,), number of each page among the different.
        rows: int32, shape (n_different_pages * PAGE,), the code point's row of replacements, or
            -1 where it stays as it is.
        replacements: int32 code points, one row after the other.
        splits: int32, where each row begins, and the end of the last.
    """
    found: dict[tuple[int, ...], int] = {(): 0}
    row_of = np.full(N_CODE_POINTS, -1, np.int32)
    row_of[PRIVATE:] = found[()]
    for assigned in ASSIGNED:
        for first in assigned[::PAGE]:
            codes = range(first, first + PAGE)
            if _stay(codes):
                continue
            for code in codes:
                became = _replace(code, lowercase, strip_accents)
                if became != (code,):
                    row_of[code] = found.setdefault(became, len(found))
    lengths = [len(row) for row in found]
    return (
        *_shared_pages(row_of),
        np.array([code for row in found for code in row], np.int32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
    )


def _replace(code: int, lowercase: bool, strip_accents: bool) -> tuple[int, ...]:
    """Lower case without accents, where wanted; a space for every kind of space; nothing for
    control signs.
    """
    character = chr(code)
    if code in (0, REPLACEMENT):
        return ()
    if character in "\t\n\r":
        return (ord(" "),)
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Co", "Cs"):
        return ()
    if character.isspace():
        return (ord(" "),)
    parts = character
    if strip_accents:
        apart = unicodedata.normalize("NFD", character)
        parts = "".join(part for part in apart if unicodedata.category(part) != "Mn")
    return tuple(ord(c) for part in parts for c in (part.lower() if lowercase else part))


_CHANGED = frozenset(("Cc", "Cf", "Co", "Cs", "Mn", "Zs", "Zl", "Zp"))
"""Categories of what is dropped or becomes a space; those of `_replace`."""


def _stay(codes: range) -> bool:
    """Whether `_replace` surely leaves all of them alone, as it does most of the Chinese ones:
    asked of a page at once, since asking of each takes half a second of every start."""
    page = "".join(map(chr, codes))
    if not _CHANGED.isdisjoint(map(unicodedata.category, page)):
        return False
    return unicodedata.normalize("NFD", page) == page == page.lower()


@cache
def kinds() -> tuple[np.ndarray, np.ndarray]:
    """ORDINARY, SPACE or ALONE for every code point.

    Returns:
        page_of: int32, as of `characters`.
        kind: int8, shape (n_different_pages * PAGE,).
    """
    kind = np.full(N_CODE_POINTS, ORDINARY, np.int8)
    for codes in ASSIGNED:
        # Unicode's punctuation; asking of each by itself takes half a second of every start.
        classes = "".join(unicodedata.category(chr(code))[0] for code in codes)
        here = kind[codes.start : codes.stop]
        here[np.frombuffer(classes.encode(), "S1") == b"P"] = ALONE
        here[[chr(code).isspace() for code in codes]] = SPACE
    for code in range(ord("!"), ord("~") + 1):
        if not chr(code).isalnum():
            kind[code] = ALONE
    for first, last in CHINESE:
        kind[first : last + 1] = ALONE
    return _shared_pages(kind)


def _shared_pages(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`values` of all code points in pages, equal ones once: number of each page, and pages."""
    number: dict[bytes, int] = {}
    pages = [page.tobytes() for page in values.reshape(-1, PAGE)]
    page_of = np.array([number.setdefault(page, len(number)) for page in pages], np.int32)
    return page_of, np.frombuffer(b"".join(number), values.dtype)


def _ragged(values: tf.Tensor, rows: tf.Tensor, n_rows: tf.Tensor) -> tf.RaggedTensor:
    """`values` in rows whose numbers ascend. Asking whether they do is half of a graph."""
    return tf.RaggedTensor.from_value_rowids(values, rows, nrows=n_rows, validate=False)


class WordPiece(tf.Module):
    """Texts to token numbers, with START before and END behind, by graph operations alone.

    Args:
        vocabulary: a piece's number is its place.
        max_tokens: longer texts are cut, END stays.
        lowercase, strip_accents: whether pieces know capitals, and accents.

    Raises:
        ValueError: a piece that is needed is not in the vocabulary, or one is there twice.
    """

    needs: tuple[str, ...] = ()

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        *,
        lowercase: bool = True,
        strip_accents: bool = True,
    ) -> None:
        super().__init__(name="wordpiece")
        number = {piece: i for i, piece in enumerate(vocabulary)}
        missing = [piece for piece in (UNKNOWN, START, END, PAD) if piece not in number]
        if missing or len(number) != len(vocabulary) or number[PAD] != 0:
            raise ValueError(f"no vocabulary of this kind: missing {missing}, or {PAD} is not 0")
        self.max_tokens = max_tokens
        self._unknown, self._start, self._end = (number[p] for p in (UNKNOWN, START, END))
        self._longest = max(len(p.removeprefix(CONTINUATION)) for p in vocabulary)
        self._pieces = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(vocabulary)), tf.range(len(vocabulary))
            ),
            default_value=-1,
        )
        tables = map(tf.constant, characters(lowercase, strip_accents))
        self._page_of, self._rows, self._replacements, self._splits = tables
        self._kind_page_of, self._kinds = map(tf.constant, kinds())

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """int32 token numbers, shape (n_texts, None); UTF-8 in, every row at least two long."""
        words, row_of_word, _, lengths = self._split(texts)
        n_texts = tf.size(lengths, tf.int64)
        pieces = self._cut_all(words)
        rows = tf.repeat(row_of_word, pieces.row_lengths())
        tokens = _ragged(pieces.flat_values, rows, n_texts)
        tokens = tokens[:, : self.max_tokens - 2]
        ends = tf.ones([n_texts, 1], tf.int32)
        return tf.concat([ends * self._start, tokens, ends * self._end], axis=1)

    def n_read(self, texts: tf.Tensor) -> tf.Tensor:
        """How many code points of each text its tokens tell of, int64, shape (n_texts,).

        All of them, but where a text is longer than `max_tokens`: then those before the first word
        of which no piece is kept. Cut there, a text has the same tokens.
        """
        words, text_of, starts, lengths = self._split(texts)
        n_texts = tf.size(lengths)
        n_before = tf.cumsum(self._cut_all(words).row_lengths(), exclusive=True)
        n_before -= tf.gather(tf.math.unsorted_segment_min(n_before, text_of, n_texts), text_of)
        is_unread = n_before >= self.max_tokens - 2
        # The largest number there is where a text has no such word.
        ends = tf.math.unsorted_segment_min(starts[is_unread], text_of[is_unread], n_texts)
        return tf.minimum(ends, lengths)

    def _split(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Words of all texts, the text of each and the code point in it that each begins at; and of
        each text how many code points it has."""
        decoded = tf.strings.unicode_decode(texts, "UTF-8", replacement_char=REPLACEMENT)
        given, text_of = decoded.flat_values, decoded.value_rowids()
        place = tf.range(tf.size(given, tf.int64)) - tf.gather(decoded.row_starts(), text_of)
        row = self._look_up(self._page_of, self._rows, given)
        stays = row < 0
        row = tf.maximum(row, 0)
        first = tf.gather(self._splits, row)
        n = tf.where(stays, 1, tf.gather(self._splits, row + 1) - first)
        # Every code point takes n places; the k-th of them holds its k-th replacement.
        before = tf.cumsum(n, exclusive=True)
        k = tf.range(tf.reduce_sum(n)) - tf.repeat(before, n)
        replaced = tf.gather(self._replacements, tf.repeat(tf.where(stays, 0, first), n) + k)
        codes = tf.where(tf.repeat(stays, n), tf.repeat(given, n), replaced)
        text_of, place = tf.repeat(text_of, n), tf.repeat(place, n)

        kind = self._look_up(self._kind_page_of, self._kinds, codes)
        is_part = kind == ORDINARY
        follows = tf.concat([[False], is_part[:-1] & (text_of[1:] == text_of[:-1])], axis=0)
        begins = (kind == ALONE) | (is_part & ~follows[: tf.size(codes)])
        number = tf.cumsum(tf.cast(begins, tf.int64)) - 1
        stands = kind != SPACE
        n_words = tf.reduce_sum(tf.cast(begins, tf.int64))
        words = _ragged(codes[stands], number[stands], n_words)
        encoded = tf.strings.unicode_encode(words, "UTF-8")
        return encoded, text_of[begins], place[begins], decoded.row_lengths()

    def _cut_all(self, words: tf.Tensor) -> tf.RaggedTensor:
        """`_cut`, which is asked about each different word once."""
        unique, place = tf.unique(words)
        return tf.gather(self._cut(unique), place)

    def _cut(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Numbers of the longest pieces of each word, from left to right, int32 (n_words, None)."""
        length = tf.strings.length(words, "UTF8_CHAR")
        is_known = length <= MAX_WORD_CHARACTERS
        sizes = tf.range(1, self._longest + 1)[tf.newaxis]
        none = tf.zeros([0], tf.int32)
        shapes = (tf.TensorShape([None]),) * 5

        def cut_once(todo, at, is_known, owners, pieces):
            rest = tf.gather(length, todo) - at
            candidates = tf.strings.substr(
                tf.gather(words, todo)[:, tf.newaxis],
                tf.repeat(at[:, tf.newaxis], self._longest, axis=1),
                tf.minimum(sizes, rest[:, tf.newaxis]),
                "UTF8_CHAR",
            )
            prefix = tf.where(at > 0, CONTINUATION, "")[:, tf.newaxis]
            prefixes = tf.repeat(prefix, self._longest, axis=1)
            found = self._pieces.lookup(tf.strings.join([prefixes, candidates]))
            fits = (found >= 0) & (sizes <= rest[:, tf.newaxis])
            size = tf.reduce_max(tf.where(fits, sizes, 0), axis=1)
            piece = tf.gather(found, tf.maximum(size - 1, 0), batch_dims=1)
            is_cut = size > 0
            is_known = tf.tensor_scatter_nd_update(
                is_known,
                tf.boolean_mask(todo, ~is_cut)[:, tf.newaxis],
                tf.zeros_like(tf.boolean_mask(todo, ~is_cut), tf.bool),
            )
            owners = tf.concat([owners, todo[is_cut]], axis=0)
            pieces = tf.concat([pieces, piece[is_cut]], axis=0)
            goes_on = is_cut & (size < rest)
            return todo[goes_on], (at + size)[goes_on], is_known, owners, pieces

        todo = tf.cast(tf.where(is_known)[:, 0], tf.int32)
        _, _, is_known, owners, pieces = tf.while_loop(
            lambda todo, *_: tf.size(todo) > 0,
            cut_once,
            (todo, tf.zeros_like(todo), is_known, none, none),
            shape_invariants=shapes,
        )
        stays = tf.gather(is_known, owners)
        unknown = tf.cast(tf.where(~is_known)[:, 0], tf.int32)
        owners = tf.concat([owners[stays], unknown], axis=0)
        pieces = tf.concat([pieces[stays], tf.fill(tf.shape(unknown), self._unknown)], axis=0)
        # Pieces were found from left to right, so a stable order by word keeps theirs.
        order = tf.argsort(owners, stable=True)
        owners = tf.cast(tf.gather(owners, order), tf.int64)
        return _ragged(tf.gather(pieces, order), owners, tf.size(words, tf.int64))

    @staticmethod
    def _look_up(page_of: tf.Tensor, values: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, tf.gather(page_of, codes // PAGE) * PAGE + codes % PAGE)
