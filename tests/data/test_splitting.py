"""Sides: cases that can be told by hand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tl_app.data.side_checks import classes_missing, describe_leaks, leaks
from tl_app.data.splitting import make_split
from tl_app.errors import ConfigError
from tl_app.records import SIDES, Dataset, Example, Side, Split

FRACTIONS: dict[str, Any] = {"validation_fraction": 0.1, "test_fraction": 0.1}


def example(
    path: str, label: int = 0, *, pixels: str | None = None, group=None, side: Side | None = None
) -> Example:
    return Example(
        path=path,
        label=label,
        given_side=side,
        given_group=group,
        file_hash=path,
        pixel_hash=pixels or path,
        width_px=1,
        height_px=1,
        mode="RGB",
        image_format="PNG",
        exif_orientation=1,
        n_bytes=1,
        max_level=255,
        bits=8,
    )


def dataset_of(examples: Sequence[Example]) -> Dataset:
    given = {e.given_side for e in examples}
    return Dataset(
        root="/set",
        source="/set",
        class_names=tuple("abcdefghij"[: max(e.label for e in examples) + 1]),
        examples=tuple(sorted(examples, key=lambda e: e.path)),
        given_sides=tuple(side for side in SIDES if side in given),
    )


def split_of(examples: Sequence[Example], *, seed: int = 0, **options):
    return make_split(dataset_of(examples), seed=seed, **{**FRACTIONS, **options})


def sides_by_path(dataset: Dataset, split: Split) -> dict[str, Side | None]:
    return {e.path: side for e, side in zip(dataset.examples, split.sides, strict=True)}


def many(n: int, label: int = 0, **options) -> list[Example]:
    return [example(f"{label}/{i:05d}", label, **options) for i in range(n)]


def test_eighty_ten_ten_in_each_class():
    dataset, split = split_of(many(1000) + many(200, 1) + many(30, 2))
    counts = Counter(zip(dataset.labels.tolist(), split.sides, strict=True))
    assert [counts[label, "test"] for label in range(3)] == [100, 20, 3]
    assert [counts[label, "validation"] for label in range(3)] == [100, 20, 3]
    assert split.indices("train").tolist() == sorted(split.indices("train"))
    assert sum(len(split.indices(side)) for side in SIDES) == 1230


@pytest.mark.parametrize(
    ("n", "sides"),
    [(1, {"train"}), (2, {"train", "test"}), (3, set(SIDES)), (5, set(SIDES))],
)
def test_small_classes(n, sides):
    assert set(split_of(many(n))[1].sides) == sides


def test_without_a_test_side():
    _, split = split_of(many(10), test_fraction=0.0)
    assert Counter(split.sides) == {"train": 9, "validation": 1}
    assert set(split_of(many(2), test_fraction=0.0)[1].sides) == {"train", "validation"}


def test_quotas_are_counted_in_examples_and_large_groups_train():
    burst = [example(f"burst{i}", group="burst") for i in range(500)]
    _, split = split_of(many(500) + burst)
    assert len(split.indices("test")) == 100
    assert {split.tokens["group:burst"]} == {"train"}


def test_a_large_test_quota_leaves_a_group_for_each_other_side():
    large = [example(f"large{i}", group="large") for i in range(10)]
    _, split = split_of([*many(2), *large], test_fraction=0.49)
    assert Counter(split.sides) == {"train": 10, "test": 1, "validation": 1}


def test_same_pixels_with_two_labels_stay_together():
    twins = [
        example("x1", 0, pixels="p"),
        example("x2", 1, pixels="p"),
        example("x3", 1, pixels="p"),
    ]
    for seed in range(20):
        dataset, split = split_of([*many(9), *many(9, 1), *twins], seed=seed)
        by_path = sides_by_path(dataset, split)
        assert by_path["x1"] == by_path["x2"] == by_path["x3"]


def test_sides_do_not_depend_on_where_the_set_lies():
    names = [f"n{i}" for i in range(60)]
    here = split_of([example(f"a/{name}", pixels=name) for name in names])
    there = split_of([example(f"z/{name[::-1]}", pixels=name) for name in names])
    assert here[1].tokens == there[1].tokens


def test_missing_validation_is_taken_from_train_with_groups_whole():
    train = [example(f"t{i:03d}", group=f"g{i // 5}", side="train") for i in range(100)]
    test = [example(f"u{i:03d}", side="test") for i in range(40)]
    dataset, split = split_of(train + test)
    by_path = sides_by_path(dataset, split)
    assert Counter(by_path.values()) == {"train": 90, "validation": 10, "test": 40}
    assert all(by_path[f"u{i:03d}"] == "test" for i in range(40))
    assert all(len({by_path[f"t{5 * g + k:03d}"] for k in range(5)}) == 1 for g in range(20))


def test_given_sides_are_kept():
    sides: list[Side] = ["train", "train", "validation", "test", "test"]
    dataset, split = split_of([example(f"{i}", side=side) for i, side in enumerate(sides)])
    assert list(split.sides) == sides
    assert leaks(dataset, split) == []
    assert describe_leaks([]) is None


def test_rows_without_a_side_fill_the_quotas():
    given = [example(f"g{i:03d}", side="test") for i in range(4)]
    given += [example(f"v{i:03d}", side="validation") for i in range(2)]
    _, split = split_of(given + many(94))
    assert Counter(split.sides) == {"train": 80, "validation": 10, "test": 10}


def test_leaks_of_given_sides_are_kept_and_told():
    pair = [example("x", pixels="p", side="train"), example("y", pixels="p", side="test")]
    burst = [example("v", group="g", side="train"), example("w", group="g", side="test")]
    loose = example("z", pixels="p")
    given = [example(f"t{i}", side="train") for i in range(9)]
    dataset, split = split_of([*pair, *burst, *given, loose])
    by_path = sides_by_path(dataset, split)
    assert (by_path["x"], by_path["y"], by_path["v"], by_path["w"]) == ("train", "test") * 2
    assert [(e.path, e.kind) for e in dataset.set_aside] == [("z", "bridges_sides")]
    found = leaks(dataset, split)
    assert [(leak.sides, leak.paths, leak.why) for leak in found] == [
        (("train", "test"), ("v", "w"), "group"),
        (("train", "test"), ("x", "y"), "content"),
    ]
    text = describe_leaks(found)
    assert text is not None
    assert "1 picture on more than one side, pixel for pixel, 1 group" in text
    assert "pixels:p" not in split.tokens
    again, same = make_split(
        dataset_of([*pair, *burst, *given, loose]), seed=5, previous=split, **FRACTIONS
    )
    assert (again, same.sides, same.tokens) == (dataset, split.sides, split.tokens)


def previous_of(**tokens: Side) -> Split:
    return Split((), (), {token.replace("_", ":"): side for token, side in tokens.items()}, 0)


def test_new_pictures_join_the_recorded_side_of_their_group():
    previous = previous_of(pixels_p="test", group_g="validation")
    dataset, split = split_of(
        [example("1", pixels="p"), example("2", group="g"), *many(50)], previous=previous
    )
    by_path = sides_by_path(dataset, split)
    assert (by_path["1"], by_path["2"]) == ("test", "validation")
    assert split.tokens["pixels:2"] == "validation"


def test_a_bridge_is_withheld_and_what_it_bridged_stays():
    previous = previous_of(pixels_p="test", pixels_q="train", group_g="train", pixels_gone="test")
    old = [example("1", pixels="p"), example("2", pixels="q", group="g")]
    bridge = example("3", pixels="p", group="g")
    chain = [
        example("4", pixels="p", group="h"),
        example("5", pixels="q", group="h"),
        example("6", group="h"),
    ]
    dataset, split = split_of([*old, bridge, *chain, *many(30)], previous=previous)
    by_path = sides_by_path(dataset, split)
    assert (by_path["1"], by_path["2"]) == ("test", "train")
    assert [(e.path, e.kind) for e in dataset.set_aside] == [
        (path, "bridges_sides") for path in "3456"
    ]
    # What was recorded stays, and that the two are tied is told.
    assert [leak.paths for leak in leaks(dataset, split)] == [("2", "1")]
    assert len(split.sides) == len(split.groups) == len(dataset.examples) == 32
    assert split.tokens["pixels:gone"] == "test"
    assert not {"pixels:6", "group:h"} & split.tokens.keys()
    # With the same record the same is withheld again.
    again, same = split_of([*old, bridge, *chain, *many(30)], previous=split)
    assert (again.set_aside, same.sides) == (dataset.set_aside, split.sides)


def test_recorded_pictures_that_get_a_group_of_two_sides_stay_with_a_warning():
    previous = previous_of(pixels_p="test", pixels_q="train")
    regrouped = [example("1", pixels="p", group="g"), example("2", pixels="q", group="g")]
    dataset, split = split_of([*regrouped, *many(30)], previous=previous)
    by_path = sides_by_path(dataset, split)
    assert (by_path["1"], by_path["2"]) == ("test", "train")
    (leak,) = leaks(dataset, split)
    assert (set(leak.paths), leak.why) == ({"1", "2"}, "group")
    # One of them renamed is still that picture, and a copy beside it joins neither.
    copy = example("3", pixels="q", group="g")
    dataset, _ = split_of([regrouped[0], copy, *many(30)], previous=previous)
    assert dataset.set_aside == ()
    # A plain copy of it is new, if one knows what was there; else the tie is what is new.
    more = [*regrouped, example("0", pixels="q"), *many(30)]
    dataset, _ = split_of(more, previous=previous, recorded_examples=regrouped)
    assert dataset.set_aside == ()
    dataset, _ = split_of(more, previous=previous)
    assert [e.path for e in dataset.set_aside] == ["2"]


def test_a_recorded_picture_stays_when_its_new_group_is_recorded_elsewhere():
    old = [example("1", pixels="p"), example("2", pixels="q", group="g")]
    previous = previous_of(pixels_p="test", pixels_q="train", group_g="train")
    now = [example("1", pixels="p", group="g"), old[1]]
    dataset, split = split_of([*now, *many(30)], previous=previous, recorded_examples=old)
    by_path = sides_by_path(dataset, split)
    assert (by_path["1"], by_path["2"]) == ("test", "train")
    # It is moved, or was away for a run: still what was recorded.
    moved = [example("elsewhere/1", pixels="p", group="g"), old[1]]
    dataset, split = split_of([*moved, *many(30)], previous=previous, recorded_examples=old[1:])
    assert sides_by_path(dataset, split)["elsewhere/1"] == "test"


def test_lines_that_move_are_known_by_their_words_and_group():
    old = [example("t:1", pixels="p"), example("t:2", pixels="q", group="a")]
    now = [
        example("t:4", pixels="p", group="g"),
        example("t:5", pixels="q", group="a"),
        example("t:9", pixels="q", group="g"),
    ]
    dataset, split = split_of(
        [*now, *many(30)],
        previous=previous_of(pixels_p="test", pixels_q="train", group_a="train"),
        recorded_examples=old,
    )
    assert [e.path for e in dataset.set_aside] == ["t:9"]
    assert sides_by_path(dataset, split)["t:4"] == "test"


def test_a_new_copy_bridges_though_its_original_does_too():
    old = [example(name, pixels=name) for name in ("p", "q", "s")]
    now = [
        example("p", pixels="p", group="g"),
        example("q", pixels="q", group="g"),
        example("s", pixels="s", group="h"),
        example("new", pixels="p", group="h"),
    ]
    dataset, split = split_of(
        [*now, *many(30)],
        previous=previous_of(pixels_p="test", pixels_q="train", pixels_s="validation"),
        recorded_examples=old,
    )
    assert [e.path for e in dataset.set_aside] == ["new"]
    by_path = sides_by_path(dataset, split)
    assert (by_path["p"], by_path["q"], by_path["s"]) == ("test", "train", "validation")


def test_what_the_user_gave_stays_though_it_is_a_copy_in_a_leaking_group():
    given = [
        example("t", pixels="p", group="g", side="test"),
        example("a", pixels="q", group="g", side="train"),
        example("b", pixels="q", side="train"),
        *many(9, side="train"),
    ]
    dataset, split = split_of(given)
    assert dataset.set_aside == ()
    again, same = split_of(given, previous=split, recorded_examples=dataset.examples)
    assert (again.set_aside, same.sides) == ((), split.sides)


def test_new_copies_that_tie_recorded_pictures_of_two_sides_are_withheld():
    recorded = [example("1", pixels="p"), example("2", pixels="q")]
    copies = [example("3", pixels="p", group="g"), example("4", pixels="q", group="g")]
    dataset, split = split_of(
        [*recorded, *copies, *many(30)],
        previous=previous_of(pixels_p="test", pixels_q="train"),
        recorded_examples=recorded,
    )
    by_path = sides_by_path(dataset, split)
    assert (by_path["1"], by_path["2"]) == ("test", "train")
    assert [(e.path, e.kind) for e in dataset.set_aside] == [
        ("3", "bridges_sides"),
        ("4", "bridges_sides"),
    ]


def test_given_side_against_the_record_is_withheld():
    previous = previous_of(pixels_p="test")
    given = [example("1", pixels="p", side="train"), example("2", side="test")]
    dataset, _ = split_of([*given, *many(9, side="train")], previous=previous)
    (entry,) = dataset.set_aside
    assert entry.path == "1"
    assert "given as train, but an earlier run had it on test" in entry.reason


def test_growing_set_approaches_the_quotas():
    _, first = split_of(many(100))
    _, second = split_of(many(1000), previous=first)
    assert Counter(second.sides) == {"train": 800, "validation": 100, "test": 100}
    _, skewed = split_of(many(100), validation_fraction=0.4, test_fraction=0.4)
    _, later = split_of(many(300), previous=skewed)
    assert Counter(later.sides) == {"train": 220, "validation": 40, "test": 40}


def test_classes_missing_from_a_side():
    dataset, split = split_of(many(10) + many(2, 1))
    assert classes_missing(dataset, split) == {"validation": ("b",)}


@pytest.mark.parametrize("fractions", [(0.0, 0.1), (1.0, 0.1), (0.1, -0.1), (0.1, 1.0), (0.5, 0.5)])
def test_fractions_out_of_range(fractions):
    with pytest.raises(ConfigError):
        split_of(many(9), validation_fraction=fractions[0], test_fraction=fractions[1])


def test_hundred_thousand_examples():
    examples = [
        example(f"{i:06d}", i % 10, pixels=str(i // 2), group=f"g{i // 7}" if i % 3 else None)
        for i in range(100_000)
    ]
    started = time.process_time()
    _, split = split_of(examples)
    assert abs(len(split.indices("test")) - 10_000) < 50
    _, again = split_of(examples, previous=split)
    assert again.sides == split.sides
    assert time.process_time() - started < 20
