"""Texts as token numbers, in lengths that come in few sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf

from tl_app.features.keys import code_fingerprint
from tl_app.inputs.ahead import MAX_THREADS, run_ahead
from tl_app.inputs.tokenizer import Tokenizer
from tl_app.progress import Reporter

BUCKET_TOKENS = 16
"""Texts are filled up to a multiple of so many tokens. What is kept of a text then depends on its
own length alone, not on the texts that it was computed with: it is the same in every run."""

TOKENIZED_CHARACTERS = 2**18
"""Of the texts that are tokenised at once, which bounds the memory: some hundred bytes for each.
A word is looked up once among them, so many texts together are quicker."""


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
        tokenize = partial(_tokenize, tokenizer)
        parts = run_ahead(_parts(texts), tokenize, n_ahead=MAX_THREADS)
        self._rows = rows = list(chain.from_iterable(parts))
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


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """`texts` in order, in parts of TOKENIZED_CHARACTERS at most, or of one text."""
    part: list[str] = []
    n_characters = 0
    for text in texts:
        if part and n_characters + len(text) > TOKENIZED_CHARACTERS:
            yield part
            part, n_characters = [], 0
        part.append(text)
        n_characters += len(text)
    if part:
        yield part


def _tokenize(tokenizer: Tokenizer, texts: list[str]) -> list[np.ndarray]:
    """int32 token numbers of each."""
    tokens = tokenizer(tf.constant(texts))
    return np.split(tokens.flat_values.numpy(), tokens.row_splits.numpy()[1:-1])
