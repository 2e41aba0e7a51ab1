"""Parts of the evaluated side: who belongs where, and when a difference is told."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tl_app.evaluation.slices import (
    LEAST_EXAMPLES,
    MOST_NAMES,
    MOST_SLICES,
    NO_PART,
    Figure,
    Naming,
    Traits,
    find_slices,
    slices_by_name,
    slices_of_figure,
)

ROWS = st.lists(st.tuples(st.integers(0, 300) | st.integers(0, 5), st.booleans()), max_size=120)


@given(ROWS)
@example([(1, True)] * 9 + [(2, True)] * 7)
@example([(1, True)] * 3 + [(2, True)] * 20 + [(3, True)] * 20)
def test_parts_by_size_hold_every_example_once(rows):
    sizes = np.array([size for size, _ in rows], dtype=np.float64)
    is_right = np.array([right for _, right in rows], dtype=bool)
    found = slices_of_figure(sizes, is_right, "characters")
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
    sizes = np.array(random.sample(range(1000), n_examples), dtype=np.float64)
    found = slices_of_figure(sizes, np.ones(n_examples, dtype=bool), "characters")
    assert len(found) == min(MOST_SLICES, n_examples // LEAST_EXAMPLES)
    counts = [part.n_examples for part in found]
    assert max(counts) - min(counts) <= 1


def test_what_is_not_known_is_in_no_part_and_bounds_differ_in_their_names():
    values = np.concatenate([np.linspace(0.001, 0.002, 40), np.full(30, np.nan)])
    found = slices_of_figure(values, np.ones(70, dtype=bool), "")
    assert sum(part.n_examples for part in found) == 40
    bounds = [bound for part in found for bound in part.name.split(" to ")]
    assert len(set(bounds)) == len(bounds) == 8


def sliced(values: np.ndarray, is_right: np.ndarray, n_traits: int = 1):
    """The slices of the first of some equal traits."""
    paths = tuple(map(str, range(len(values))))
    figures = tuple(Figure(str(i), "", values) for i in range(n_traits))
    return find_slices(Traits(paths, figures), paths, is_right)[0].slices


def test_a_part_that_is_worse_is_told_and_chance_is_not():
    sizes = np.repeat([10.0, 100.0], 100)
    is_right = np.ones(200, dtype=bool)
    is_right[:30] = False
    worse, better = sliced(sizes, is_right)
    assert (worse.verdict, better.verdict) == ("worse", "better")
    assert worse.accuracy.value == 0.7
    is_right[:] = np.arange(200) % 10 > 0
    assert {part.verdict for part in sliced(sizes, is_right)} == {"like the rest"}


def test_the_more_parts_are_looked_at_the_more_a_difference_must_say():
    sizes = np.repeat([10.0, 100.0], 100)
    is_right = np.ones(200, dtype=bool)
    is_right[:6] = False  # p = 0.029
    assert sliced(sizes, is_right)[0].verdict == "worse"  # one question: held against 0.05
    assert sliced(sizes, is_right, n_traits=2)[0].verdict == "like the rest"  # against 0.025
    is_right[:8] = False  # p = 0.007
    assert sliced(sizes, is_right)[0].verdict == "worse"
    assert sliced(sizes, is_right, n_traits=20)[0].verdict == "like the rest"


def test_chance_alone_is_seldom_called_a_finding():
    rng = np.random.default_rng(0)
    n_false = 0
    for _ in range(200):
        paths = tuple(map(str, range(160)))
        traits = Traits(
            paths,
            tuple(Figure(str(i), "", rng.random(160)) for i in range(4)),
            (Naming("folder", tuple(rng.choice(list("abcde"), 160))),),
        )
        found = find_slices(traits, paths, rng.random(160) < 0.8)
        n_false += any(part.verdict != "like the rest" for t in found for part in t.slices)
    assert n_false <= 0.05 * 200 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_rare_names_are_left_out():
    names = ["Latin"] * 30 + ["Arabic"] * (LEAST_EXAMPLES - 1) + ["Cyrillic"] * LEAST_EXAMPLES
    is_right = np.ones(len(names), dtype=bool)
    assert [part.name for part in slices_by_name(names, is_right)] == ["Latin", "Cyrillic"]
    many = [f"{i:03d}" for i in range(100) for _ in range(LEAST_EXAMPLES)]
    assert len(slices_by_name(many, np.ones(len(many), dtype=bool))) == MOST_NAMES


def test_parts_are_found_whatever_the_order_of_the_examples():
    paths = tuple(map(str, range(64)))
    traits = Traits(
        paths,
        (),
        (Naming("folder", ("a",) * 32 + ("b",) * 32, {"a": ("3", "5")}),),
    )
    is_right = np.arange(64) >= 32
    [there] = find_slices(traits, paths, is_right)
    [back] = find_slices(traits, paths[::-1], is_right[::-1])
    assert there == back
    assert there.slices[0].shown == ("3", "5")
    assert [part.accuracy.value for part in there.slices] == [0.0, 1.0]


def test_one_name_alone_is_no_parting():
    paths = tuple(map(str, range(64)))
    traits = Traits(paths, (), (Naming("folder", ("",) * 64),))
    assert [trait.slices for trait in find_slices(traits, paths, np.ones(64, dtype=bool))] == [()]


def test_traits_are_read_back_as_they_were_written():
    traits = Traits(
        ("a", "b"),
        (Figure("size", "px", np.array([1.5, np.nan])),),
        (Naming("folder", ("", "x"), {"x": ("b",)}),),
    )
    again = Traits.from_dict(traits.to_dict())
    assert again.to_dict() == traits.to_dict()
    assert np.isnan(again.figures[0].values[1])


def test_groups_that_are_right_or_wrong_together_are_no_finding():
    """Ten pictures of a patient, who lies in one part whole: chance is no finding."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    paths = tuple(map(str, range(400)))
    n_told, n_told_each_for_itself = 0, 0
    for _ in range(200):
        figure = Figure("size", "", np.repeat(rng.permutation(40), 10).astype(np.float64))
        is_right = np.repeat(rng.random(40) < 0.8, 10)
        traits = Traits(paths, (figure,))
        told, told_each_for_itself = (
            any(part.verdict != "like the rest" for part in found[0].slices)
            for found in (
                find_slices(traits, paths, is_right, groups),
                find_slices(traits, paths, is_right),
            )
        )
        n_told += told
        n_told_each_for_itself += told_each_for_itself
    assert n_told / 200 < 0.07
    assert n_told_each_for_itself / 200 > 0.5


def test_groups_hide_no_part_that_is_worse():
    groups = np.repeat(np.arange(100), 4)
    side = np.arange(400) % 2
    is_right = (side == 0) | (np.arange(400) % 3 > 0)
    traits = Traits(tuple(map(str, range(400))), (), (Naming("side", tuple(map(str, side))),))
    found = find_slices(traits, traits.paths, is_right, groups)
    assert [part.verdict for part in found[0].slices] == ["better", "worse"]


def test_two_parts_that_are_each_other_s_rest_are_one_question():
    """p = 0.04 of one question is a finding; asked twice it would be none."""
    names = ("a",) * 60 + ("b",) * 60
    is_right = np.array([True] * 57 + [False] * 3 + [True] * 49 + [False] * 11)
    paths = tuple(map(str, range(120)))
    [found] = find_slices(Traits(paths, (), (Naming("side", names),)), paths, is_right)
    assert 0.025 < found.slices[0].p_value < 0.05
    assert [part.verdict for part in found.slices] == ["better", "worse"]


def test_what_belongs_to_no_part_is_in_none_and_one_part_is_none():
    paths = tuple(map(str, range(60)))
    names = ("a",) * 20 + ("b",) * 20 + (NO_PART,) * 20
    traits = Traits(paths, (), (Naming("kind", names), Naming("folder", ("x",) * 60)))
    found = {trait.title: trait.slices for trait in find_slices(traits, paths, np.arange(60) > 9)}
    assert [part.name for part in found["kind"]] == ["a", "b"]
    assert found["folder"] == ()


def test_bounds_that_differ_by_less_than_is_written_are_one():
    values = np.concatenate([1 + np.arange(20) * 1e-15, np.full(20, 2.0)])
    names = [part.name for part in slices_of_figure(values, np.ones(40, dtype=bool), "")]
    assert "1 to 1" not in names
