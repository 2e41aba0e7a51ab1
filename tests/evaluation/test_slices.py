"""Parts of the evaluated side: who belongs where, and when a difference is told."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tl_app.evaluation.slices import LEAST_EXAMPLES, slices_by_name, slices_by_size


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=120))
def test_parts_by_size_hold_every_example_once(rows):
    sizes = np.array([size for size, _ in rows], dtype=np.int64)
    is_right = np.array([right for _, right in rows], dtype=bool)
    found = slices_by_size(sizes, is_right, "characters")
    if len(rows) < 2 * LEAST_EXAMPLES:
        assert found == []
        return
    assert sum(part.n_examples for part in found) == len(rows)
    right = sum(part.n_examples * part.accuracy.value for part in found)
    assert np.isclose(right, is_right.sum())
    for part in found:
        low, high = part.accuracy.low, part.accuracy.high
        assert low is not None
        assert high is not None
        assert low <= part.accuracy.value <= high
    # Examples of one size are never parted.
    spans = [part.name.removesuffix(" characters").replace(",", "").split(" to ") for part in found]
    edges = [int(edge) for span in spans for edge in (span[0], span[-1])]
    assert edges == sorted(edges)


def test_a_part_that_is_worse_is_told_and_chance_is_not():
    sizes = np.repeat([10, 100], 100)
    is_right = np.ones(200, dtype=bool)
    is_right[:30] = False
    worse, better = slices_by_size(sizes, is_right, "characters")
    assert worse.differs
    assert better.differs
    assert worse.accuracy.value == 0.7
    is_right[:] = np.arange(200) % 10 > 0
    assert not any(part.differs for part in slices_by_size(sizes, is_right, "characters"))


def test_rare_names_are_left_out():
    names = ["Latin"] * 30 + ["Arabic"] * (LEAST_EXAMPLES - 1) + ["Cyrillic"] * LEAST_EXAMPLES
    is_right = np.ones(len(names), dtype=bool)
    assert [part.name for part in slices_by_name(names, is_right)] == ["Latin", "Cyrillic"]
