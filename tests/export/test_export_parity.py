"""An export that does not say what the run recorded is refused and leaves nothing."""

from __future__ import annotations

import dataclasses
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tl_app.errors import DataError, ExportError, RunError
from tl_app.export import parity
from tl_app.export.classifier import SavedModelClassifier
from tl_app.export.parity import PictureEvidence, check_parity, exact_float32
from tl_app.export.publish import ExportResult, export_model, publish_copy
from tl_app.export.served_input import served_pictures
from tl_app.progress import SilentReporter
from tl_app.records import Predictions


class CountingReporter(SilentReporter):
    """Remembers each bar's title, total and how far it came."""

    def __init__(self):
        super().__init__()
        self.bars = []

    def bar(self, title, total, unit):
        entry = {"title": title, "total": total, "unit": unit, "done": 0}
        self.bars.append(entry)

        class Bar:
            def advance(self, n=1, *, note=""):
                entry["done"] += n

        @contextmanager
        def running():
            yield Bar()

        return running()


def perturbed(recorded: Predictions, row: int, column: int, by: float) -> Predictions:
    probabilities = recorded.probabilities.copy()
    probabilities[row, column] += by
    return dataclasses.replace(recorded, probabilities=probabilities)


@pytest.fixture
def reloaded(classifier, monkeypatch):
    """Folders that the check loads; it is given the export that was loaded before."""
    folders: list[Path] = []

    def load(folder):
        folders.append(folder)
        assert (folder / "saved_model.pb").is_file()
        return classifier

    monkeypatch.setattr(parity, "SavedModelClassifier", load)
    return folders


@pytest.fixture
def check(version_folder, files, recorded, reloaded):
    def run(**changes):
        evidence = PictureEvidence(
            changes.pop("files", files), 10**6, changes.pop("file_hashes", None)
        )
        record = changes.pop("recorded", recorded)
        return check_parity(version_folder, evidence, record, reporter=SilentReporter(), **changes)

    return run


def test_export_writes_checks_and_publishes(
    tmp_path, model, preprocessing, class_names, files, hashes, recorded
):
    reporter = CountingReporter()
    result = export_model(
        model,
        served_pictures(preprocessing),
        class_names,
        tmp_path / "served",
        evidence=PictureEvidence(files, preprocessing.max_pixels, hashes),
        recorded=recorded,
        reporter=reporter,
    )
    assert isinstance(result, ExportResult)
    assert result.version_folder == tmp_path / "served" / "1"
    assert result.largest_difference <= 2e-6
    assert result.n_examples == len(files)
    assert [p.name for p in (tmp_path / "served").iterdir()] == ["1"]
    writing, *checking = reporter.bars
    assert (writing["title"], writing["done"]) == ("Writing the SavedModel", writing["total"])
    assert checking == [
        {
            "title": "Checking the export",
            "total": len(files),
            "unit": "images",
            "done": len(files),
        }
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 14, 100])
def test_any_batch_size_agrees(check, batch_size):
    assert check(batch_size=batch_size) <= 1e-5


def test_a_recorded_probability_that_differs_is_named(check, files, recorded):
    record = perturbed(recorded, 9, 2, 3e-5)
    with pytest.raises(ExportError) as caught:
        check(recorded=record, batch_size=4)
    text = str(caught.value)
    assert f"1 of {len(files)} differ" in text
    assert files[9].name in text
    assert "by 3e-05" in text
    assert "at most 1e-05" in text
    assert "Küche 猫" in text
    assert check(recorded=record, tolerance=1e-4) == pytest.approx(3e-5, abs=2e-6)


def test_not_a_number_is_no_agreement(check, recorded):
    for value in (np.nan, np.inf):
        with pytest.raises(ExportError, match="does not reproduce"):
            check(recorded=perturbed(recorded, 0, 0, value))


def test_a_changed_weight_is_refused_and_leaves_nothing(
    tmp_path, make_model, preprocessing, class_names, files, recorded
):
    other = make_model(len(class_names))
    kernel = other.layers[-1].kernel
    values = np.array(kernel)
    values[0, 0] += 1e-3
    kernel.assign(values)
    destination = tmp_path / "made" / "for it"
    with pytest.raises(ExportError, match="does not reproduce what the run recorded"):
        export_model(
            other,
            served_pictures(preprocessing),
            class_names,
            destination,
            evidence=PictureEvidence(files, preprocessing.max_pixels),
            recorded=recorded,
            reporter=SilentReporter(),
        )
    assert list(tmp_path.iterdir()) == []


def test_other_classes_are_refused(check, recorded, class_names):
    swapped = (class_names[1], class_names[0], *class_names[2:])
    with pytest.raises(ExportError, match="other classes"):
        check(recorded=dataclasses.replace(recorded, class_names=swapped))


def test_nothing_to_compare_with_is_no_agreement(check, class_names):
    nothing = Predictions((), np.zeros(0, np.int64), np.zeros((0, 7), np.float32), class_names)
    with pytest.raises(ExportError, match="recorded no predictions"):
        check(files=[], recorded=nothing)


def test_lengths_must_agree(check, files, hashes):
    with pytest.raises(ValueError, match="recorded rows"):
        check(files=files[1:])
    with pytest.raises(ValueError, match="13 digests for 14 files"):
        check(file_hashes=hashes[1:])


def test_labels_that_do_not_fit_the_probabilities_are_refused(check, monkeypatch):
    right = SavedModelClassifier.top_labels

    def wrong(self, encoded):
        rows = right(self, encoded)
        labels, scores = rows[3]
        rows[3] = ([labels[1], labels[0], *labels[2:]], scores)
        return rows

    monkeypatch.setattr(SavedModelClassifier, "top_labels", wrong)
    with pytest.raises(ExportError, match="do not fit its probabilities"):
        check()


def test_a_vanished_picture_is_named(check, files, tmp_path):
    gone = tmp_path / "gone.jpg"
    with pytest.raises(DataError, match="cannot be used") as caught:
        check(files=[*files[:2], gone, *files[3:]])
    assert str(gone) in str(caught.value)


def test_a_picture_that_became_rubbish_is_named(check, files, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(files[6].read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be used") as caught:
        check(files=[*files[:6], bad, *files[7:]])
    assert str(bad) in str(caught.value)


def test_a_changed_picture_is_told_from_a_changed_model(check, files, hashes, recorded, tmp_path):
    other = tmp_path / "colour.jpg"
    shutil.copy(files[1], other)
    pictures = [other, *files[1:]]
    with pytest.raises(DataError, match="not as the run read them") as caught:
        check(files=pictures, file_hashes=hashes)
    assert str(other) in str(caught.value)
    with pytest.raises(ExportError, match="does not reproduce"):
        check(files=pictures)
    # Both at once: the model's fault is the one to tell, with a picture that did not change.
    with pytest.raises(ExportError) as both:
        check(files=pictures, file_hashes=hashes, recorded=perturbed(recorded, 4, 0, 1e-4))
    assert files[4].name in str(both.value)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_copy_is_published_as_it_is(tmp_path, version_folder, files, recorded):
    arguments: dict[str, Any] = {
        "evidence": PictureEvidence(files, 10**6),
        "reporter": SilentReporter(),
    }
    result = publish_copy(version_folder.parent, tmp_path, recorded=recorded, **arguments)
    assert result.version_folder == tmp_path / "1"
    assert result.largest_difference <= 2e-6
    assert contents(result.version_folder) == contents(version_folder)


def test_it_is_the_copy_that_is_checked(tmp_path, version_folder, files, recorded, reloaded):
    arguments: dict[str, Any] = {
        "evidence": PictureEvidence(files, 10**6),
        "reporter": SilentReporter(),
    }
    destination = tmp_path / "served"
    result = publish_copy(version_folder, destination, recorded=recorded, **arguments)
    again = publish_copy(version_folder, destination, recorded=recorded, **arguments)
    assert [result.version_folder.name, again.version_folder.name] == ["1", "2"]
    assert all(destination in folder.parents for folder in reloaded)
    assert not any(folder.exists() for folder in reloaded)
    wrong = perturbed(recorded, 0, 0, 1e-3)
    with pytest.raises(ExportError, match="does not reproduce"):
        publish_copy(version_folder, tmp_path / "b", recorded=wrong, **arguments)
    assert not (tmp_path / "b").exists()
    with pytest.raises(RunError, match="There is no SavedModel here"):
        publish_copy(tmp_path / "nowhere", tmp_path / "b", recorded=recorded, **arguments)


def test_exact_float32_is_put_back():
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    with exact_float32():
        assert not tf.config.experimental.tensor_float_32_execution_enabled()
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before
