"""What is not the subject and tells the label is reported, and what does not is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.audit.makers import dataset_of, example_of, inputs_of, photo, write_photos
from tl_app.audit.inputs import CheckNotRun
from tl_app.audit.one_fact import into_bins, tell_by_bins
from tl_app.audit.patches import evenly_drawn, patches, place_name
from tl_app.audit.shortcuts import NO_FOLDER, shortcuts, source_folders
from tl_app.records import Example

N = 40
"""Photographs of a class."""


def test_plain_photographs_have_no_shortcut(tmp_path: Path) -> None:
    inputs = inputs_of(write_photos(tmp_path, N), tmp_path)
    assert shortcuts(inputs) == []
    assert patches(inputs) == []


def lit(label: int, number: int) -> Image.Image:
    return photo(number, kind=label).point(lambda level: level // (1 + label))


def wide(label: int, number: int) -> Image.Image:
    return photo(number, (120, 90) if label else (90, 120), kind=label)


@pytest.mark.parametrize(("draw", "fact"), [(lit, "brightness"), (wide, "width in pixels")])
def test_facts_of_the_picture(tmp_path: Path, draw, fact: str) -> None:
    findings = shortcuts(inputs_of(write_photos(tmp_path, N, draw), tmp_path))
    [finding] = [one for one in findings if f"The {fact} alone" in one.title]
    figures = finding.evidence[0].figures
    assert float(figures["low"]) <= float(figures["balanced_accuracy"]) <= float(figures["high"])
    assert float(figures["balanced_accuracy"]) > 0.85
    assert finding.severity == "warn"


def save(root: Path, path: str, label: int, number: int, **more) -> Example:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    photo(number, kind=label).save(file, **more)
    return example_of(root, path, label)


def test_file_format_folder_and_camera(tmp_path: Path) -> None:
    examples = []
    for label, (name, suffix, site) in enumerate([("cat", "png", "site a"), ("dog", "jpg", "b")]):
        for number in range(N):
            exif = Image.Exif()
            exif[0x0110] = f"Model {label}"
            path = f"train/{site}/{name}/{number}.{suffix}"
            examples.append(save(tmp_path, path, label, number, exif=exif))
    findings = shortcuts(inputs_of(dataset_of(tmp_path, examples), tmp_path))
    facts = {finding.title.split(" alone")[0] for finding in findings}
    assert {"The file format", "The source folder", "The camera"} <= facts


def test_of_many_classes_the_one_that_stands_out_is_named(tmp_path: Path) -> None:
    examples = []
    names = tuple("abcde")
    for label, name in enumerate(names):
        suffix = "png" if name == "c" else "jpg"
        examples += [save(tmp_path, f"{name}/{i}.{suffix}", label, i) for i in range(20)]
    findings = shortcuts(inputs_of(dataset_of(tmp_path, examples, names), tmp_path))
    [finding] = [one for one in findings if one.title.startswith("The file format")]
    assert [case.figures["class"] for case in finding.evidence] == ["c"]


def text_mark(picture: Image.Image) -> None:
    layer = Image.new("L", picture.size, 0)
    ImageDraw.Draw(layer).text((picture.width - 4, picture.height - 4), "(c) me", 128, anchor="rs")
    picture.paste((255, 255, 255), (0, 0), layer)


def logo_mark(picture: Image.Image) -> None:
    """Of the mean colour: its level tells nothing, its being the same does."""
    ImageDraw.Draw(picture).rectangle((3, 3, 22, 22), (128, 128, 128))


def border_mark(picture: Image.Image) -> None:
    box = (0, 0, picture.width - 1, picture.height - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=(10, 10, 10), width=4)


@pytest.mark.parametrize(
    ("mark", "place"), [(text_mark, "bottom right"), (logo_mark, "top left"), (border_mark, "")]
)
def test_a_mark_on_one_class_is_found_where_it_is(tmp_path: Path, mark, place: str) -> None:
    def draw(label: int, number: int) -> Image.Image:
        picture = photo(number, kind=label)
        if label == 0:
            mark(picture)
        return picture

    [finding] = patches(inputs_of(write_photos(tmp_path, 60, draw), tmp_path))
    first = finding.evidence[0].figures
    assert place in str(first["place"])
    assert float(first["balanced_accuracy"]) > 0.9
    assert finding.severity == "warn"


def test_of_a_large_set_a_part_of_every_class_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(label: int, number: int) -> Image.Image:
        picture = photo(number, kind=label)
        if label == 1:
            logo_mark(picture)
        return picture

    monkeypatch.setattr("tl_app.audit.patches.MOST_EXAMPLES", N)
    inputs = inputs_of(write_photos(tmp_path, N, draw), tmp_path)
    [finding] = patches(inputs)
    assert "top left" in finding.title


def test_what_fills_the_picture_is_no_mark(tmp_path: Path) -> None:
    findings = patches(inputs_of(write_photos(tmp_path, N, lit), tmp_path))
    assert findings == []


def test_of_many_pictures_some_of_every_class_are_looked_at() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])  # by class, as a scan lists them
    drawn = evenly_drawn(labels, 100)
    assert np.bincount(labels[drawn]).tolist() == [60, 30, 10]
    assert len(set(drawn.tolist())) == 100
    assert (np.diff(drawn) > 0).all()
    assert np.diff(drawn).max() > 10 > np.diff(drawn).min()  # at random, not one in ten
    assert evenly_drawn(labels, 1000).tolist() == list(range(1000))


def test_a_mark_is_found_among_more_pictures_than_are_looked_at(
    tmp_path: Path, monkeypatch
) -> None:
    def draw(label: int, number: int) -> Image.Image:
        picture = photo(number, kind=label)
        if label == 1:
            border_mark(picture)
        return picture

    inputs = inputs_of(write_photos(tmp_path, 20, draw), tmp_path)
    monkeypatch.setattr("tl_app.audit.patches.MOST_EXAMPLES", 24)
    [finding] = patches(inputs)
    assert finding.kind == "patch_shortcut"
    monkeypatch.setattr("tl_app.audit.patches.MOST_EXAMPLES", 12)
    with pytest.raises(CheckNotRun, match="no class has 10"):
        patches(inputs)


def test_few_pictures_say_nothing(tmp_path: Path) -> None:
    inputs = inputs_of(write_photos(tmp_path, 5), tmp_path)
    for check in (shortcuts, patches):
        with pytest.raises(CheckNotRun, match="fewer than 20"):
            check(inputs)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_chance_is_no_shortcut_and_certainty_is_one(seed: int, n_classes: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, n_classes, 600)
    folds = np.arange(600) % 5
    nothing = tell_by_bins(into_bins(random.normal(size=600)), labels, folds, n_classes)
    assert (nothing.accuracy < 0.7).all()
    all_of_it = tell_by_bins(labels, labels, folds, n_classes)
    np.testing.assert_array_equal(all_of_it.accuracy, 1.0)
    assert (all_of_it.low < 1).all()
    assert (nothing.low <= nothing.accuracy).all()
    assert (nothing.accuracy <= nothing.high).all()


def test_unknown_figures_are_a_bin_of_their_own() -> None:
    bins = into_bins(np.array([np.nan, 1.0, 2.0, 3.0, np.nan]))
    assert bins[0] == bins[4] == 0
    assert len(set(bins[1:4])) == 3


def test_folders_that_name_class_or_side_are_no_sources() -> None:
    paths = ["train/site a/Cat/x.jpg", "cat/x.jpg", "site a/x.jpg", "x.jpg", "val/b/cat/x.jpg"]
    assert source_folders(paths, ["cat"] * 5) == ["site a", NO_FOLDER, "site a", NO_FOLDER, "b"]


def test_a_folder_below_a_class_is_a_source_only_if_another_class_has_it_too() -> None:
    paths = ["cat/siamese/1.jpg", "cat/site a/2.jpg", "dog/poodle/3.jpg", "dog/site a/4.jpg"]
    class_of = ["cat", "cat", "dog", "dog"]
    assert source_folders(paths, class_of) == [NO_FOLDER, "site a", NO_FOLDER, "site a"]
    nested = ["cat/lab/siamese/1.jpg", "dog/lab/poodle/3.jpg"]
    assert source_folders(nested, ["cat", "dog"]) == ["lab", "lab"]


def test_places_have_names() -> None:
    assert [place_name(patch) for patch in (0, 7, 27, 56, 63, 3, 24)] == [
        *("top left", "top right", "centre", "bottom left", "bottom right", "top", "left")
    ]
