"""Pictures that are one and the same, resized, coded anew, mirrored, turned or cropped a little.

Candidates come from kept features and from a perceptual hash; what is said of a pair is decided
on thumbnails that are laid over each other. So features propose and pixels decide: two cats on
one sofa are alike to a network, and not to a ruler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tl_app.audit.alignment import Likeness, likeness
from tl_app.audit.neighbours import close_by_bits, close_by_cosine, unit_rows
from tl_app.audit.turns import perceptual_hashes
from tl_app.records import AnyExample

MIN_COSINE = 0.75
"""Of centred features: pairs below are no candidates."""

MAX_BITS = 12
"""Of 64, in which the hashes of a candidate pair may differ, in some turn."""

N_NEAREST = 8
"""Candidates of one picture: copies of copies are found through each other."""

MIN_CORRELATION, MIN_DETAIL = 0.93, 0.7
"""Of thumbnails laid over each other: pairs with both from here on are one picture. On photographs
(`benchmarks/audit.py`) copies that were coded anew, resized, mirrored or cropped by 5 % have .98
and .93 at least, blurred ones .94 and .72; of 6,000 pairs that are no copies the highest were .87
and .45. Detail is what holds where all pictures have the same outlines, such as X-rays."""


PAIRS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Which pictures are copies of each other.

    Attributes:
        pairs: int64, shape (n_pairs, 2), positions of pictures with different pixels, the
            smaller first.
        correlations: float32, shape (n_pairs,), how alike their thumbnails are.
        groups: int64, shape (n_examples,), a number for each example; copies, exact ones
            too, share one.
    """

    pairs: np.ndarray
    correlations: np.ndarray
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
        features: float32, shape (n, d), pooled; None goes by the hash alone, which misses
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
    exact = np.stack([original, np.arange(len(examples))], axis=1)
    return NearDuplicates(pairs, correlations, _connected(len(examples), pairs, exact))


def _near_pairs(
    thumbnails: np.ndarray, features: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    grey = grey_levels(thumbnails)
    candidates = [close_by_bits(perceptual_hashes(grey), at_most=MAX_BITS, n_nearest=N_NEAREST)]
    if features is not None:
        units = unit_rows(features)
        candidates.append(close_by_cosine(units, at_least=MIN_COSINE, n_nearest=N_NEAREST))
    pairs = np.unique(np.concatenate(candidates), axis=0)
    alike = _likeness_of(grey, pairs)
    same = (alike.correlation >= MIN_CORRELATION) & (alike.detail >= MIN_DETAIL)
    return pairs[same], alike.correlation[same]


def grey_levels(thumbnails: np.ndarray) -> np.ndarray:
    """float32, shape (n, side, side): luma of RGB."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return thumbnails.astype(np.float32) @ weights


def _likeness_of(grey: np.ndarray, pairs: np.ndarray) -> Likeness:
    """`likeness` of pairs of rows, of which some at a time are copied."""
    parts = [
        likeness(grey[some[:, 0]], grey[some[:, 1]])
        for some in np.array_split(pairs, len(pairs) // PAIRS_AT_ONCE + 1)
    ]
    return Likeness(
        np.concatenate([part.correlation for part in parts]),
        np.concatenate([part.detail for part in parts]),
    )


def _connected(n: int, *links: np.ndarray) -> np.ndarray:
    """A number for each of n, shared by whatever is linked, directly or through others."""
    first, second = np.concatenate(links).T
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
