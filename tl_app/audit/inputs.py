"""What every check may look at, gathered once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tl_app.audit.measure import Measurements
from tl_app.audit.near_duplicates import NearDuplicates, connected, find_near_duplicates
from tl_app.data.wording import WORDINGS, Wording
from tl_app.heads.cross_validation import MOST_WORK
from tl_app.heads.out_of_fold import N_FOLDS, out_of_fold_probabilities
from tl_app.records import Dataset, Side, Split

MIN_GROUPS = 2 * N_FOLDS
"""Of a class: with fewer, a head that is trained without a fifth of them knows too little."""

KEPT_FIRST: tuple[Side | None, ...] = ("test", "validation", "train", None)
"""Of copies, the one on the side that is named first stays: test parts are dear."""


class CheckNotRun(Exception):
    """A check finds that it cannot be made; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditInputs:
    """A data set and what was measured of it.

    Attributes:
        dataset: what the scan found.
        sides: one an example; None where it has none.
        duplicates: groups of copies.
        measurements: of pictures, or None.
        features: float32, shape (n_examples, n_features), or None.
        probabilities: out of fold, float32, shape (n_examples, n_classes), or None.
        missing: name of a field that is None -> why.
    """

    dataset: Dataset[Any]
    sides: tuple[Side | None, ...]
    duplicates: NearDuplicates
    measurements: Measurements | None = None
    features: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    is_own_split: bool = False

    @property
    def wording(self) -> Wording:
        return WORDINGS[self.dataset.modality]

    def path(self, i: int) -> str:
        """Of an example, as in the Dataset."""
        return self.dataset.examples[i].path

    def required(self, name: str) -> Any:
        """A field that a check's row has among its `needs`."""
        value = getattr(self, name)
        if value is None:
            raise CheckNotRun(self.missing.get(name, f"there are no {name}"))
        return value

    def kept_first(self, indices: list[int]) -> list[int]:
        """Copies in the order in which they are worth keeping: files before links to them."""

        def rank(i: int) -> tuple[int, bool, str]:
            entry, file = self._entry_and_file(i)
            return (KEPT_FIRST.index(self.sides[i]), entry != file, self.path(i))

        return sorted(indices, key=rank)

    def may_go(self, i: int, kept: list[int]) -> bool:
        """Whether an example can be moved away without a kept one losing its file."""
        entry, file = self._entry_and_file(i)
        return all(
            file != kept_file or (entry != file and kept_entry == kept_file)
            for kept_entry, kept_file in map(self._entry_and_file, kept)
        )

    def _entry_and_file(self, i: int) -> tuple[str, str]:
        """Where an example's name stands, and where its bytes do; they differ for links alone."""
        place = os.path.join(self.dataset.root, self.path(i))
        folder, name = os.path.split(place)
        return os.path.join(os.path.realpath(folder), name), os.path.realpath(place)


def gather(
    dataset: Dataset[Any],
    *,
    split: Split | None = None,
    measurements: Measurements | None = None,
    features: np.ndarray | None = None,
    missing: Mapping[str, str] | None = None,
) -> AuditInputs:
    """Find copies and ask a linear head about every example.

    Args:
        dataset: what the scan found.
        split: of a run; None goes by the sides that the user gave.
        measurements, features: what there is.
        missing: why one of them is None.
    """
    why = dict(missing or {})
    examples = dataset.examples
    duplicates = find_near_duplicates(
        examples, None if measurements is None else measurements.thumbnails, features
    )
    probabilities = None
    if features is None:
        why["probabilities"] = why.get("features", "there are no features")
    else:
        try:
            probabilities = _held_out(dataset, features, kept_together(dataset, duplicates))
        except CheckNotRun as reason:
            why["probabilities"] = str(reason)
    given = tuple(example.given_side for example in examples)
    return AuditInputs(
        dataset=dataset,
        sides=given if split is None else split.sides,
        duplicates=duplicates,
        measurements=measurements,
        features=features,
        probabilities=probabilities,
        missing=why,
        is_own_split=split is not None and not dataset.given_sides,
    )


def kept_together(dataset: Dataset[Any], duplicates: NearDuplicates) -> np.ndarray:
    """int64, shape (n_examples,): copies share a number, and so do the user's own groups."""
    first_of: dict[str, int] = {}
    given = [
        (first_of.setdefault(example.given_group, i), i)
        for i, example in enumerate(dataset.examples)
        if example.given_group is not None
    ]
    first_in: dict[int, int] = {}
    copies = [(first_in.setdefault(group, i), i) for i, group in enumerate(duplicates.groups)]
    links = np.array([*given, *copies], dtype=np.int64).reshape(-1, 2)
    return connected(len(dataset.examples), links)


def _held_out(dataset: Dataset[Any], features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    labels = dataset.labels
    if features.size * len(dataset.class_names) > MOST_WORK:
        raise CheckNotRun(
            f"{len(features):,} examples of {len(dataset.class_names):,} classes would take too "
            "long"
        )
    few = [
        name
        for label, name in enumerate(dataset.class_names)
        if len(np.unique(groups[labels == label])) < MIN_GROUPS
    ]
    if few:
        raise CheckNotRun(
            f"{len(few):,} of {len(dataset.class_names):,} classes have fewer than {MIN_GROUPS} "
            "examples that are no copies of each other"
        )
    return out_of_fold_probabilities(features, labels, groups, n_classes=len(dataset.class_names))
