"""Groups of copies, exact and near, over examples of several sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_app.audit.measure import measure_pictures
from tl_app.audit.near_duplicates import find_near_duplicates
from tl_app.data.groups import find_groups
from tl_app.features.store import FeatureStore
from tl_app.progress import Reporter
from tl_app.records import AnyExample, Example


@dataclass(frozen=True, slots=True)
class Part:
    """Examples that lie under one folder."""

    root: str
    examples: Sequence[AnyExample]


def groups_across(
    parts: Sequence[Part], *, max_pixels: int, store: FeatureStore, reporter: Reporter
) -> list[np.ndarray]:
    """A number for each example of each part; copies, near copies and given groups share one.

    Pictures that cannot be measured any more (a run's files may have moved since) are known by
    their pixels alone, unless an earlier look at them was kept.

    Args:
        parts: pictures, or texts; an example may be in several.
        max_pixels: larger pictures are not decoded.
        store: keeps what near copies are known by.
        reporter: shows progress.

    Returns:
        int64, shape (n_examples,), one for each part.
    """
    examples = [example for part in parts for example in part.examples]
    thumbnails = [
        measure_pictures(
            Path(part.root), pictures, max_pixels=max_pixels, store=store, reporter=reporter
        ).thumbnails
        for part in parts
        if (pictures := [e for e in part.examples if isinstance(e, Example)])
    ]
    known = np.concatenate(thumbnails) if thumbnails else None
    ties = find_near_duplicates(examples, known, None).ties
    numbers = np.empty(len(examples), np.int64)
    for number, group in enumerate(find_groups(examples, [(i, j) for i, j in ties.pairs.tolist()])):
        numbers[list(group.members)] = number
    return np.split(numbers, np.cumsum([len(part.examples) for part in parts])[:-1])
