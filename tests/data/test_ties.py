"""Near copies stay on one side, unless that would leave nothing to test on."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_splitting import FRACTIONS, dataset_of, example, many, sides_by_path
from tl_app.data.groups import find_groups
from tl_app.data.side_checks import describe_leaks, leaks
from tl_app.data.splitting import make_split
from tl_app.data.ties import FEWEST_GROUPS, LARGEST_SHARE, SMALL_CLASS, Ties, fitting_ties
from tl_app.data.wording import PICTURES


def ties_of(*pairs: tuple[int, int], likeness: float = 0.95) -> Ties:
    return Ties(np.array(pairs, dtype=np.int64), np.full(len(pairs), likeness, np.float32))


def split_with(examples, ties, **options):
    return make_split(dataset_of(examples), seed=0, ties=ties, **FRACTIONS, **options)


pairs = st.lists(
    st.tuples(st.integers(0, 45), st.integers(0, 45), st.sampled_from([0.93, 0.95, 0.99])).filter(
        lambda pair: pair[0] != pair[1]
    ),
    max_size=60,
)


def to_ties(drawn) -> Ties:
    return Ties(
        np.array([pair[:2] for pair in drawn], np.int64).reshape(-1, 2),
        np.array([pair[2] for pair in drawn], np.float32),
    )


@given(pairs, st.randoms(use_true_random=False))
@settings(derandomize=True, deadline=None)
def test_ties_never_part_and_no_class_becomes_one_group(drawn, random):
    examples = many(30) + [example(f"b{i:02}", 1) for i in range(16)]
    kept, n_left_out = fitting_ties(examples, to_ties(drawn))
    assert len(kept) + n_left_out == len(drawn)
    groups = find_groups(examples, kept.tolist())
    for group in groups:
        of_class = Counter(examples[i].label for i in group.members)
        assert of_class[0] <= 30 * LARGEST_SHARE
        assert of_class[1] <= 16 * LARGEST_SHARE
    dataset, split = split_with(examples, kept.tolist())
    assert leaks(dataset, split) == []
    side_of = sides_by_path(dataset, split)
    for i, j in kept.tolist():
        assert side_of[examples[i].path] == side_of[examples[j].path]
    # In another order of the examples and of the ties the same stay together.
    order = random.sample(range(46), 46)
    place = {old: new for new, old in enumerate(order)}
    moved = [(place[j], place[i], like) for i, j, like in random.sample(drawn, len(drawn))]
    shuffled = [examples[i] for i in order]
    again, _ = fitting_ties(shuffled, to_ties(moved))
    together = find_groups(shuffled, again.tolist())
    assert {frozenset(shuffled[i].path for i in g.members) for g in together} == {
        frozenset(examples[i].path for i in g.members) for g in groups
    }


def test_the_closest_come_first_where_not_all_fit():
    """A camera that does not move: each frame is like the next, three of them much alike."""
    examples = many(20)
    chain = [(i, i + 1) for i in range(19)]
    likeness = np.full(19, 0.94, np.float32)
    likeness[[4, 5]] = 0.99
    kept, n_left_out = fitting_ties(examples, Ties(np.array(chain), likeness))
    groups = find_groups(examples, kept.tolist())
    (three,) = [group for group in groups if {4, 5, 6} <= set(group.members)]
    assert len(three.members) <= 5
    assert n_left_out > 0
    assert Counter(split_with(examples, kept.tolist())[1].sides).keys() == {
        "train",
        "validation",
        "test",
    }


def test_a_small_class_keeps_a_group_for_each_side():
    """Three pictures of a class, all alike: they are a class all the same."""
    assert fitting_ties(many(3), ties_of((0, 1), (1, 2)))[1] == 2
    n = SMALL_CLASS - 1
    kept, n_left_out = fitting_ties(many(n), ties_of(*[(0, i) for i in range(1, n)]))
    groups = find_groups(many(n), kept.tolist())
    assert (len(groups), n_left_out) == (FEWEST_GROUPS, FEWEST_GROUPS - 1)


def test_a_tie_within_a_group_costs_nothing():
    examples = [example(f"p{i:02}", group="patient") for i in range(18)] + many(2)
    kept, n_left_out = fitting_ties(examples, ties_of((0, 1), (3, 17), (0, 18)))
    assert kept.tolist() == [[0, 1], [3, 17]]
    assert n_left_out == 1


def test_near_copies_of_recorded_pictures_join_them():
    old = many(40)
    first_dataset, first = split_with(old, [])
    recorded = sides_by_path(first_dataset, first)
    by_side = defaultdict(list)
    for i, e in enumerate(old):
        by_side[recorded[e.path]].append(i)
    tested, trained = by_side["test"][0], by_side["train"][0]
    new = [*old, example("z1"), example("z2"), example("z3")]
    ties = [(tested, 40), (tested, 41), (trained, 41)]
    dataset, split = split_with(new, ties, previous=first, recorded_examples=first_dataset.examples)
    sides = sides_by_path(dataset, split)
    assert {path: side for path, side in sides.items() if path in recorded} == recorded
    # What is like pictures of two sides would bridge them, and what they were tied by shows.
    assert [(e.path, e.kind) for e in dataset.set_aside] == [
        ("z1", "bridges_sides"),
        ("z2", "bridges_sides"),
    ]
    assert sides["z3"] in {"train", "validation", "test"}
    dataset, split = split_with(
        new, ties[:1], previous=first, recorded_examples=first_dataset.examples
    )
    assert sides_by_path(dataset, split)["z1"] == "test"
    assert not dataset.set_aside


def test_near_copies_across_given_sides_are_told():
    given = [example(f"t{i}", side="train") for i in range(9)]
    given += [example("u", side="test"), example("v", side="validation")]
    dataset, split = split_with(given, [(0, 9)])
    (leak,) = leaks(dataset, split)
    assert (leak.why, leak.paths, leak.sides) == ("near", ("t0", "u"), ("train", "test"))
    text = describe_leaks([leak], PICTURES)
    assert text is not None
    assert "near copies of 1 picture on more than one side (t0 = u)" in text
