"""A format beside the run's record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.evaluation.formats import SmallFormat, compare_format
from tl_app.evaluation.paired import class_changes
from tl_app.records import Predictions


def predictions(seed: int, n: int, n_groups: int) -> tuple[Predictions, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    recorded, told = random.dirichlet([1, 1, 1], (2, n)).astype(np.float32)
    groups = random.integers(0, n_groups, n) * 7  # not numbered from 0
    return (
        Predictions(
            paths=tuple(map(str, range(n))),
            y_true=random.integers(0, 3, n),
            probabilities=recorded,
            class_names=("a", "b", "c"),
        ),
        told,
        groups,
    )


@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), n_groups=st.integers(1, 60))
def test_the_difference_is_the_paired_one(seed, n, n_groups):
    recorded, told, groups = predictions(seed, n, n_groups)
    found = compare_format(
        recorded, told, groups, name="onnx", precision="float32", n_bytes=3, latency_ms={}
    )
    right_a, right_b = recorded.y_pred == recorded.y_true, told.argmax(axis=1) == recorded.y_true
    numbered = np.unique(groups, return_inverse=True)[1]
    # The accuracy is the recall of a class that holds all.
    (wanted,) = class_changes(right_a, right_b, np.zeros(n, np.int64), numbered, ("all",))
    assert found.difference.value == pytest.approx(wanted.difference.value)
    assert found.difference.low == pytest.approx(wanted.difference.low)
    assert found.difference.high == pytest.approx(wanted.difference.high)
    assert found.accuracy == pytest.approx((told.argmax(axis=1) == recorded.y_true).mean())
    assert found.n_changed == (told.argmax(axis=1) != recorded.y_pred).sum()
    assert SmallFormat.from_dict(found.to_dict()) == found


def test_what_is_the_same_does_not_differ():
    recorded, _, groups = predictions(0, 40, 40)
    found = compare_format(
        recorded,
        recorded.probabilities,
        groups,
        name="litert",
        precision="float32",
        n_bytes=3,
        latency_ms={},
    )
    assert found.largest_difference == 0
    assert found.n_changed == 0
    assert found.difference.value == 0
