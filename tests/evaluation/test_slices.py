"""Parts of the evaluated side: who belongs where, and when a difference is told."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tl_app.evaluation.slices import LEAST_EXAMPLES, MOST_SLICES, slices_by_name, slices_by_size

ROWS = st.lists(st.tuples(st.integers(0, 300) | st.integers(0, 5), st.booleans()), max_size=120)


@given(ROWS)
@example([(1, True)] * 9 + [(2, True)] * 7)
@example([(1, True)] * 3 + [(2, True)] * 20 + [(3, True)] * 20)
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
        assert part.n_examples >= LEAST_EXAMPLES
    # Examples of one size are never parted.
    spans = [part.name.removesuffix(" characters").replace(",", "").split(" to ") for part in found]
    assert all(int(a[-1]) < int(b[0]) for a, b in pairwise(spans))


@given(st.integers(2 * LEAST_EXAMPLES, 200), st.randoms())
def test_parts_of_different_sizes_are_about_equal(n_examples, random):
    sizes = np.array(random.sample(range(1000), n_examples))
    found = slices_by_size(sizes, np.ones(n_examples, dtype=bool), "characters")
    assert len(found) == min(MOST_SLICES, n_examples // LEAST_EXAMPLES)
    counts = [part.n_examples for part in found]
    assert max(counts) - min(counts) <= 1


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
