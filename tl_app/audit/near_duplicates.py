"""Pictures that are one and the same, resized, coded anew, mirrored, turned or cropped a little.

Candidates come from a perceptual hash, from thumbnails without their detail, and from kept
features; what is said of a pair is decided on thumbnails that are laid over each other. So
features propose and pixels decide: two cats on one sofa are alike to a network, and not to a ruler.
A split is made without features: it must not depend on the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tl_app.audit.alignment import Likeness, likeness
from tl_app.audit.near_texts import same_words
from tl_app.audit.neighbours import close_by_bits, close_by_cosine, unit_rows
from tl_app.audit.turns import perceptual_hashes, soft_shapes
from tl_app.data.ties import Ties
from tl_app.records import AnyExample, TextExample

MIN_COSINE = 0.75
"""Of centred features: pairs below are no candidates."""

MAX_BITS = 12
"""Of 64, in which the hashes of a candidate pair may differ, in some turn."""

MIN_SOFT = 0.75
"""Correlation of thumbnails without detail: pairs below are no candidates. Of copies that were
cropped by 5 % the lowest was .84, by 15 % three in four have it (`benchmarks/audit.py`)."""

N_NEAREST = 8
"""Candidates of one picture: copies of copies are found through each other."""

MIN_CORRELATION, MIN_DETAIL = 0.93, 0.7
"""Of thumbnails laid over each other: pairs with both from here on are one picture. On photographs
(`benchmarks/audit.py`) copies that were coded anew, resized, mirrored or cropped by 5 % have .98
and .93 at least, blurred ones .94 and .72; of 6,000 pairs that are no copies the highest were .87
and .45. Detail is what holds where all pictures have the same outlines, such as X-rays."""


MAX_CHROMA = 12.0
"""Levels by which the mean colour (its two chroma channels) of copies may differ, where both are
in colour: shirts of one cut in two colours are two shirts."""

GREY_CHROMA = 3.0
"""Mean distance from grey up to which a picture counts as grey."""

AT_ONCE = 8192
"""Thumbnails, or pairs of them, that are in memory as floats."""


LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CHROMA = np.array([[-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
"""From RGB, as JPEG has them (ITU-R BT.601)."""


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Which examples are copies of each other.

    Attributes:
        ties: between near copies: pictures with different pixels, and how their thumbnails
            correlate; texts that differ in other things than words.
        groups: int64, shape (n_examples,), a number for each example; copies, exact ones
            too, share one.
    """

    ties: Ties
    groups: np.ndarray


def find_near_duplicates(
    examples: Sequence[AnyExample],
    thumbnails: np.ndarray | None,
    features: np.ndarray | None,
) -> NearDuplicates:
    """Groups of copies, exact and near.

    Args:
        examples: what the scan found.
        thumbnails: uint8, shape (n, side, side, 3), of pictures; None finds exact copies alone.
        features: float32, shape (n, d), pooled; None goes by the thumbnails alone, which misses
            stronger crops.
    """
    first_with: dict[str, int] = {}
    original = np.array(
        [first_with.setdefault(example.content, i) for i, example in enumerate(examples)],
        dtype=np.int64,
    )
    pairs, correlations = np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
    distinct = np.array(sorted(first_with.values()), dtype=np.int64)
    if thumbnails is not None and len(distinct) > 1:
        pairs, correlations = _near_pairs(
            thumbnails[distinct], None if features is None else features[distinct]
        )
        pairs = distinct[pairs]
    texts = [example for example in examples if isinstance(example, TextExample)]
    if len(texts) == len(examples):
        pairs = same_words(texts)
        correlations = np.ones(len(pairs), np.float32)
    exact = np.stack([original, np.arange(len(examples))], axis=1)
    groups = connected(len(examples), pairs, exact)
    return NearDuplicates(Ties(pairs, correlations), groups)


def _near_pairs(
    thumbnails: np.ndarray, features: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    looks = _look(thumbnails)
    candidates = [
        close_by_bits(perceptual_hashes(looks.grey), at_most=MAX_BITS, n_nearest=N_NEAREST),
        close_by_cosine(soft_shapes(looks.grey), at_least=MIN_SOFT, n_nearest=N_NEAREST),
    ]
    if features is not None:
        units = unit_rows(features)[np.newaxis]
        candidates.append(close_by_cosine(units, at_least=MIN_COSINE, n_nearest=N_NEAREST))
    pairs = np.unique(np.concatenate(candidates), axis=0)
    alike = _likeness_of(looks.grey, pairs)
    same = (alike.correlation >= MIN_CORRELATION) & (alike.detail >= MIN_DETAIL)
    same &= _alike_in_colour(looks, pairs)
    return pairs[same], alike.correlation[same]


@dataclass(frozen=True, slots=True)
class _Looks:
    """Of thumbnails.

    Attributes:
        grey: luma, float32, shape (n, side, side).
        chroma: mean of the two chroma channels, float32, shape (n, 2).
        is_grey: bool, shape (n,), pictures without colour.
    """

    grey: np.ndarray
    chroma: np.ndarray
    is_grey: np.ndarray


def _look(thumbnails: np.ndarray) -> _Looks:
    """Some at a time, since floats take four times the memory."""
    n, side = len(thumbnails), thumbnails.shape[1]
    looks = _Looks(
        np.empty((n, side, side), np.float32), np.empty((n, 2), np.float32), np.empty(n, bool)
    )
    for start in range(0, n, AT_ONCE):
        some = slice(start, start + AT_ONCE)
        colours = thumbnails[some].astype(np.float32)
        chroma = colours @ CHROMA.T
        looks.grey[some] = colours @ LUMA
        looks.chroma[some] = chroma.mean(axis=(1, 2))
        looks.is_grey[some] = np.abs(chroma).mean(axis=(1, 2, 3)) <= GREY_CHROMA
    return looks


def _alike_in_colour(looks: _Looks, pairs: np.ndarray) -> np.ndarray:
    """bool, shape (n_pairs,)."""
    first, second = pairs.T
    distance = np.abs(looks.chroma[first] - looks.chroma[second]).max(axis=1)
    return (distance <= MAX_CHROMA) | looks.is_grey[first] | looks.is_grey[second]


def _likeness_of(grey: np.ndarray, pairs: np.ndarray) -> Likeness:
    """`likeness` of pairs of rows, of which some at a time are copied."""
    parts = [
        likeness(grey[some[:, 0]], grey[some[:, 1]])
        for some in np.array_split(pairs, len(pairs) // AT_ONCE + 1)
    ]
    return Likeness(
        np.concatenate([part.correlation for part in parts]),
        np.concatenate([part.detail for part in parts]),
    )


def connected(n: int, *links: np.ndarray) -> np.ndarray:
    """A number for each of n, shared by whatever is linked, directly or through others.

    Args:
        n: how many there are.
        links: int64, shape (n_links, 2), pairs of positions.
    """
    first, second = np.concatenate(links).T
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
