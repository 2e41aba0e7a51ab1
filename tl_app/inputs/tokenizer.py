"""Texts to token numbers inside the graph, whatever the encoder's vocabulary is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from tl_app.backbones.vocabulary import Pieces, PresetVocabulary, Vocabulary
from tl_app.inputs.wordpiece import WordPiece


class Tokenizer(Protocol):
    """A tf.Module that is called with texts.

    Attributes:
        max_tokens: longer texts are cut.
        needs: packages without which TensorFlow cannot load a SavedModel with it inside.
    """

    max_tokens: int
    needs: tuple[str, ...]

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings (n,) in UTF-8 to int32 token numbers (n, None), none of them 0."""

    def n_read(self, texts: tf.Tensor) -> tf.Tensor:
        """How many code points of each text its tokens tell of, int64, shape (n,)."""


def build_tokenizer(vocabulary: Vocabulary, max_tokens: int) -> Tokenizer:
    """
    Raises:
        ValueError: WordPiece without the pieces that it needs.
    """
    if isinstance(vocabulary, Pieces):
        return WordPiece(
            vocabulary.pieces,
            max_tokens,
            lowercase=vocabulary.lowercase,
            strip_accents=vocabulary.strip_accents,
        )
    return PresetTokenizer(vocabulary, max_tokens)


LONGEST_PIECE = 64
"""Code points behind which the last piece of a cut text no longer depends on what follows."""


class PresetTokenizer(tf.Module):
    """Byte pairs or SentencePiece, by KerasHub's operations.

    Args:
        vocabulary: with the layer that does it.
        max_tokens: longer texts are cut, the end stays.
    """

    needs = ("tensorflow_text",)

    def __init__(self, vocabulary: PresetVocabulary, max_tokens: int) -> None:
        super().__init__(name="preset_tokenizer")
        self.max_tokens = max_tokens
        self._split = vocabulary.tokenizer
        self._start, self._end, self._pad = vocabulary.start, vocabulary.end, vocabulary.pad

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """int32 token numbers, shape (n_texts, None); UTF-8 in, every row at least two long."""
        tokens = tf.cast(self._split.tokenize(texts), tf.int32)[:, : self.max_tokens - 2]
        ends = tf.ones([tf.shape(texts)[0], 1], tf.int32)
        tokens = tf.concat([ends * self._start, tokens, ends * self._end], axis=1)
        return tf.ragged.map_flat_values(self._changing_places, tokens)

    def n_read(self, texts: tf.Tensor) -> tf.Tensor:
        """How many code points of each text its tokens tell of, int64, shape (n_texts,).

        The pieces do not say where they come from. The shortest beginning that fills a row is
        found by halving; from there it is the first at which the tokens are those of the whole.
        """
        given = [text.decode("utf-8", "replace") for text in texts.numpy()]
        whole = self(texts).to_list()
        lengths = np.array([len(text) for text in given], np.int64)
        low = np.where(self._is_full(given), 0, lengths)
        high = lengths.copy()
        while (low < high).any():
            middle = (low + high) // 2
            is_full = self._is_full([t[:n] for t, n in zip(given, middle.tolist(), strict=True)])
            low = np.where(is_full | (low == high), low, middle + 1)
            high = np.where(is_full & (low < high), middle, high)
        return tf.constant(
            [
                self._first_same(text, tokens, start)
                for text, tokens, start in zip(given, whole, high.tolist(), strict=True)
            ],
            tf.int64,
        )

    def _first_same(self, text: str, tokens: list[int], start: int) -> int:
        ends = range(start, min(start + LONGEST_PIECE, len(text)))
        found = self(tf.constant([text[:end] for end in ends], tf.string)).to_list()
        return next((end for end, row in zip(ends, found, strict=True) if row == tokens), len(text))

    def _is_full(self, texts: Sequence[str]) -> np.ndarray:
        """bool, shape (n_texts,): whether a row is as long as it can be."""
        return self(tf.constant(list(texts))).row_lengths().numpy() >= self.max_tokens

    def _changing_places(self, tokens: tf.Tensor) -> tf.Tensor:
        """The house fills up with token 0, whatever number the preset gave to what fills up."""
        zero, pad = tokens == 0, tokens == self._pad
        return tf.where(zero, self._pad, tf.where(pad, 0, tokens))
