"""Class order is kept by later runs and by evaluation."""

from __future__ import annotations

import pytest

from tl_app.errors import DataError


def test_known_order_first_then_new_ones(tmp_path, pictures, run_scan, reporter):
    root = pictures(tmp_path / "set", ant=3, bee=3, cow=3, asp=3)
    dataset = run_scan(root, known_class_names=("cow", "bee"))
    assert dataset.class_names == ("cow", "bee", "ant", "asp")
    assert {e.path.split("/")[0]: e.label for e in dataset.examples}["ant"] == 2
    assert "ant, asp" in reporter.warnings[0]


def test_training_needs_every_known_class(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", ant=3, bee=3)
    with pytest.raises(DataError, match="cow") as caught:
        run_scan(root, known_class_names=("cow", "bee", "ant"))
    assert "--split-from" in str(caught.value)


def test_evaluation_takes_any_part_of_the_known_classes(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", bee=1)
    dataset = run_scan(root, known_class_names=("cow", "bee", "ant"), purpose="evaluation")
    assert dataset.class_names == ("cow", "bee", "ant")
    assert [e.label for e in dataset.examples] == [1]


def test_evaluation_refuses_unknown_classes(tmp_path, pictures, run_scan):
    root = pictures(tmp_path / "set", bees=1, ant=1)
    with pytest.raises(DataError, match="does not know") as caught:
        run_scan(root, known_class_names=("cow", "bee", "ant"), purpose="evaluation")
    assert "'bee'" in str(caught.value)


def test_evaluation_of_an_empty_folder(tmp_path, run_scan):
    with pytest.raises(DataError, match="No picture"):
        run_scan(tmp_path, known_class_names=("a", "b"), purpose="evaluation")
