"""Texts as token numbers, in lengths that come in few sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tl_app.features.keys import code_fingerprint
from tl_app.inputs.tokenizer import Tokenizer
from tl_app.progress import Reporter

BUCKET_TOKENS = 16
"""Texts are filled up to a multiple of so many tokens. What is kept of a text then depends on its
own length alone, not on the texts that it was computed with: it is the same in every run."""

TOKENIZED_AT_ONCE = 512
"""Texts; bounds the memory."""


class RawTexts:
    """Texts for an encoder that takes strings; see `items.Items`.

    Args:
        texts: in the order of their positions.
    """

    shape = ()
    dtype = "string"
    lengths = None
    kept_bytes = 0
    unit = "texts"

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [encode_text(text) for text in texts]
        self.keys = tuple(hashlib.sha256(text).digest() for text in self._texts)
        self.key: dict[str, Any] = {"texts": "utf-8", "code": code_fingerprint()}

    def load(self, position: int) -> np.ndarray:
        """object, shape (), the UTF-8 bytes."""
        return np.array(self._texts[position], dtype=object)

    def keep(self, positions: Sequence[int], reporter: Reporter) -> None:
        """Nothing: they are in memory."""


def encode_text(text: str) -> bytes:
    """UTF-8; halves of surrogate pairs, which have none, become the sign for what is unknown."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


class TokenizedTexts:
    """Texts, tokenised once; see `items.Items`.

    Args:
        texts: in the order of their positions.
        tokenizer: with the vocabulary of the encoder, cutting at its longest length.

    Attributes:
        n_tokens: int64, shape (n,), before they are filled up.
    """

    shape = (None,)
    dtype = "int32"
    kept_bytes = 0
    unit = "texts"

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer) -> None:
        rows: list[np.ndarray] = []
        for start in range(0, len(texts), TOKENIZED_AT_ONCE):
            tokens = tokenizer(tf.constant(list(texts[start : start + TOKENIZED_AT_ONCE])))
            splits = tokens.row_splits.numpy()
            rows += np.split(tokens.flat_values.numpy(), splits[1:-1])
        self._rows = rows
        self.n_tokens = np.array([len(row) for row in rows], dtype=np.int64)
        self.lengths = -(-self.n_tokens // BUCKET_TOKENS) * BUCKET_TOKENS
        self.lengths = np.minimum(self.lengths, tokenizer.max_tokens)
        self.keys = tuple(hashlib.sha256(row.tobytes()).digest() for row in rows)
        self.key: dict[str, Any] = {
            "bucket_tokens": BUCKET_TOKENS,
            "max_tokens": tokenizer.max_tokens,
            "code": code_fingerprint(),
        }

    def load(self, position: int) -> np.ndarray:
        """int32, shape (lengths[position],): numbers of pieces, then zeros."""
        row = self._rows[position]
        return np.pad(row, (0, int(self.lengths[position]) - len(row)))

    def keep(self, positions: Sequence[int], reporter: Reporter) -> None:
        """Nothing: they are in memory."""
