"""Each unusable source gets one clear message: what, received, allowed, next."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from tl_app.errors import DataError


def refused(run_scan, source, **options) -> str:
    """The message of the DataError, which says all four things."""
    with pytest.raises(DataError) as caught:
        run_scan(source, **options)
    error = caught.value
    assert error.exit_code == 3
    assert error.received is not None
    assert error.allowed
    assert error.next_step
    assert len(str(error)) < 1500
    return str(error)


def test_empty_folder(tmp_path, run_scan):
    assert "The folder is empty" in refused(run_scan, tmp_path)


def test_one_class(tmp_path, pictures, run_scan):
    text = refused(run_scan, pictures(tmp_path / "set", cat=5))
    assert "only one class" in text
    assert "cat (5 pictures)" in text


def test_one_class_that_holds_the_classes(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", images__cat=5, images__dog=5)
    assert f"tl-app train {root / 'images'}" in refused(run_scan, root)


def test_class_with_two_pictures(tmp_path, pictures, run_scan, inspect):
    root = pictures(tmp_path / "set", cat=5, dog=2, emu=0)
    looked_at = []

    def inspect_and_note(path):
        looked_at.append(path)
        return inspect(path)

    text = refused(run_scan, root, inspect=inspect_and_note)
    assert "dog (2), emu (0)" in text
    assert looked_at == []  # refused before the long work


def test_fewer_pictures_can_be_allowed(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", cat=5, dog=2)
    assert "--set data.min_examples_per_class=2" in refused(run_scan, root)
    assert len(run_scan(root, settings={"min_examples_per_class": 2}).examples) == 7


def test_class_left_with_too_few_usable_pictures(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", cat=5, dog=4)
    for name in ("0000.png", "0001.png"):
        (root / "dog" / name).write_text("<html>404</html>")
    text = refused(run_scan, root)
    assert "dog (2 of 4); 2 not an image set aside" in text


def test_file_instead_of_folder(tmp_path, picture, run_scan):
    file = picture(tmp_path / "cat.png")
    assert "a file, not a folder" in refused(run_scan, file)


def test_folder_of_tables(tmp_path, run_scan):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,y\n1,2\n")
    text = refused(run_scan, tmp_path)
    assert "none with the columns path,label" in text
    assert "2 .csv" in text


def test_class_folders_of_tables(tmp_path, run_scan):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.csv").write_text("x\n")
    text = refused(run_scan, tmp_path)
    assert "hold no pictures" in text
    assert "2 .csv" in text


def test_pictures_without_class_folders(tmp_path, picture, run_scan):
    picture(tmp_path / "1.png")
    assert "no class folders" in refused(run_scan, tmp_path)


def test_missing_folder_suggests_a_near_one(tmp_path, pictures, run_scan):
    pictures(tmp_path / "flowers", rose=3, tulip=3)
    assert "'flowers'" in refused(run_scan, tmp_path / "flwers")
    assert "'flowers'" in refused(run_scan, tmp_path / "flower" / "train")
    refused(run_scan, f"{tmp_path}/a\0b")


def test_all_pictures_unusable(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", cat=3, dog=3)
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    assert "the file is empty" in refused(run_scan, root)


def test_thousand_classes_with_one_picture_each(tmp_path, run_scan):
    for i in range(1000):
        (tmp_path / f"class{i:04d}").mkdir()
        (tmp_path / f"class{i:04d}" / "1.png").write_bytes(b"x")
    text = refused(run_scan, tmp_path)
    assert "1,000 of 1,000 classes have fewer than 3" in text
    assert "and 990 more" in text
    assert len(text) < 700


def test_thousand_classes_work(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", **{f"class{i:04d}": 3 for i in range(1000)})
    dataset = run_scan(root)
    assert len(dataset.class_names) == 1000
    assert len(dataset.examples) == 3000


def test_same_name_in_two_unicode_forms(tmp_path, pictures, run_scan, reporter):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    root = pictures(tmp_path / "set", **{composed: 3, decomposed: 4, "b": 5})
    dataset = run_scan(root)
    assert dataset.class_names == ("b", composed, f"{composed} (2)")
    assert Counter(e.label for e in dataset.examples) == {0: 5, 1: 3, 2: 4}
    text = " ".join(reporter.warnings)
    for words in ("--merge-classes", "\\xe9", "e\\u0301", f"called {composed} (2)"):
        assert words in text
    merged = run_scan(root, settings={"merge_classes": True})
    assert merged.class_names == ("b", composed)
    assert Counter(e.label for e in merged.examples) == {0: 5, 1: 7}
    assert "Merged" in reporter.said


def test_names_that_differ_by_case(tmp_path, pictures, run_scan, reporter):
    root = pictures(tmp_path / "set", Dog=3, dog=4, cat=3)
    assert run_scan(root).class_names == ("Dog", "cat", "dog")
    (warning,) = reporter.warnings
    assert "Dog and dog" in warning
    assert "--merge-classes" in warning
    merged = run_scan(root, settings={"merge_classes": True})
    assert merged.class_names == ("Dog", "cat")
    assert [e.label for e in merged.examples].count(0) == 7
    later = run_scan(root, settings={"merge_classes": True}, known_class_names=("dog", "cat"))
    assert later.class_names == ("dog", "cat")
