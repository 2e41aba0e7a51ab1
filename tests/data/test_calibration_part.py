"""What is held apart from the choice of weights."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_splitting import dataset_of, example
from tl_app.data.calibration_part import LEAST_VALIDATION, hold_apart
from tl_app.records import Side, Split


def split_of(n: int, groups=None, n_classes: int = 2):
    """So many validation examples between as many others."""
    examples = [example(f"{i:04}", i % n_classes) for i in range(2 * n)]
    sides: list[Side | None] = ["validation" if i < n else "train" for i in range(2 * n)]
    return dataset_of(examples), Split(tuple(sides), tuple(groups or range(2 * n)), {}, 0)


@given(st.integers(LEAST_VALIDATION, 300), st.integers(0, 99), st.sampled_from([0.3, 0.5, 0.8]))
@settings(max_examples=25, deadline=None)
def test_half_of_each_class_in_whole_groups(n, seed, fraction):
    groups = [i // 4 if i < n else n + i for i in range(2 * n)]
    dataset, split = split_of(n, groups)
    found = hold_apart(dataset, split, fraction=fraction, seed=seed)
    apart, stopping = set(found.calibration), set(found.stopping.tolist())
    assert apart | stopping == set(range(n))
    assert not apart & stopping
    assert not {groups[i] for i in apart} & {groups[i] for i in stopping}
    assert abs(len(apart) - fraction * n) <= 8
    assert found.indices("validation").tolist() == list(range(n))
    assert hold_apart(dataset, split, fraction=fraction, seed=seed) == found
    assert Split.from_dict(found.to_dict()) == found


def test_every_class_is_on_both():
    dataset, split = split_of(120, n_classes=6)
    found = hold_apart(dataset, split, fraction=0.5, seed=0)
    labels = dataset.labels
    assert Counter(labels[list(found.calibration)].tolist()) == dict.fromkeys(range(6), 10)
    assert Counter(labels[found.stopping].tolist()) == dict.fromkeys(range(6), 10)


def test_few_all_choose_the_weights():
    dataset, split = split_of(LEAST_VALIDATION - 1)
    assert hold_apart(dataset, split, fraction=0.5, seed=0) is split
    dataset, split = split_of(LEAST_VALIDATION)
    assert hold_apart(dataset, split, fraction=0.0, seed=0) is split
    assert len(split.stopping) == LEAST_VALIDATION


def test_old_records_hold_nothing_apart():
    _, split = split_of(3)
    values = split.to_dict()
    del values["calibration"]
    assert Split.from_dict(values) == split
    assert np.array_equal(split.stopping, [0, 1, 2])
