"""Texts as records: what is written comes back, and what was written before them still does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tl_app.data.groups import tokens_of
from tl_app.data.side_checks import describe_leaks, leaks
from tl_app.data.splitting import make_split
from tl_app.data.wording import TEXTS
from tl_app.records import Dataset, Example, SetAside, TextExample

TEXT = TextExample(
    path="reviews.csv:12",
    label=1,
    given_side="test",
    given_group="anna",
    text='Tôi thích 很好 🎉\n"quoted"',
    text_hash="a" * 64,
    normal_hash="b" * 64,
    n_characters=24,
)
PICTURE = Example(
    path="cat/1.png",
    label=0,
    given_side=None,
    given_group=None,
    file_hash="c",
    pixel_hash="d",
    width_px=1,
    height_px=1,
    mode="RGB",
    image_format="PNG",
    exif_orientation=1,
    n_bytes=1,
    max_level=255,
    bits=8,
)


def dataset_of(*examples: TextExample) -> Dataset[TextExample]:
    sides = {example.given_side for example in examples}
    return Dataset(
        root="/set",
        source="reviews.csv",
        class_names=("bad", "good"),
        examples=examples,
        set_aside=(SetAside("reviews.csv:3", "no text", "empty"),),
        given_sides=tuple(side for side in ("train", "test") if side in sides),
        modality="text",
    )


def test_texts_come_back_through_json():
    dataset = dataset_of(TEXT, replace(TEXT, path="reviews.csv:13", given_group=None))
    assert Dataset.from_dict(json.loads(json.dumps(dataset.to_dict()))) == dataset


def test_pictures_come_back_and_so_do_those_of_earlier_runs():
    dataset = Dataset("/set", "/set", ("cat",), (PICTURE,))
    written = json.loads(json.dumps(dataset.to_dict()))
    assert Dataset.from_dict(written) == dataset
    del written["modality"]
    assert Dataset.from_dict(written) == dataset


def test_what_ties_examples():
    assert tokens_of(PICTURE) == ("pixels:d",)
    assert tokens_of(replace(PICTURE, given_group="x")) == ("pixels:d", "group:x")
    assert tokens_of(TEXT) == (f"text:{'b' * 64}", "group:anna")


@pytest.mark.parametrize("field", ["text_hash", "text", "path"])
def test_copies_are_told_by_their_words_alone(field):
    changes: dict[str, Any] = {field: "another"}
    assert replace(TEXT, **changes).content == TEXT.content
    assert replace(TEXT, normal_hash="another").content != TEXT.content


def test_leaks_of_texts_are_told_as_texts():
    pair = (
        replace(TEXT, given_group=None),
        replace(TEXT, path="reviews.csv:9", given_side="train"),
    )
    others = [
        replace(TEXT, path=f"reviews.csv:{i}", normal_hash=str(i), given_side="train")
        for i in range(20, 30)
    ]
    dataset, split = make_split(
        dataset_of(*pair, *others), validation_fraction=0.2, test_fraction=0.2, seed=0
    )
    assert type(dataset.examples[0]) is TextExample
    text = describe_leaks(leaks(dataset, split), TEXTS)
    assert text is not None
    assert "1 text on more than one side, word for word" in text


def test_lines_withheld_stand_by_their_number():
    """A line that ties a training text to a test text is withheld, in words for texts."""
    train = replace(TEXT, path="t:9", given_side="train", given_group=None, normal_hash="1")
    test = replace(TEXT, path="t:10", given_side="test", given_group="g", normal_hash="2")
    bridges = [
        replace(TEXT, path=f"t:{line}", given_side=None, given_group="g", normal_hash="1")
        for line in (11, 100, 20)
    ]
    validation = replace(
        test, path="t:2", given_side="validation", normal_hash="3", given_group="h"
    )
    dataset = replace(
        dataset_of(validation, train, test, *bridges),
        given_sides=("train", "validation", "test"),
        set_aside=(),
    )
    kept, _ = make_split(dataset, validation_fraction=0.2, test_fraction=0.2, seed=0)
    assert [entry.path for entry in kept.set_aside] == ["t:11", "t:20", "t:100"]
    assert "links texts of test and train" in kept.set_aside[0].reason
