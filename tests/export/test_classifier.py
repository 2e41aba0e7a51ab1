"""Predicting with a SavedModel: order, bad files, and folders that are no export."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tl_app.errors import DataError, RunError
from tl_app.export.classifier import SavedModelClassifier
from tl_app.inputs.files import read_encoded
from tl_app.progress import SilentReporter


def test_knows_its_classes_and_preprocessing(classifier, class_names, preprocessing):
    assert classifier.class_names == class_names
    assert classifier.processing == preprocessing


@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_predicts_files_in_order(classifier, files, recorded, class_names, batch_size):
    predictions, set_aside = classifier.predict_files(
        files, batch_size=batch_size, reporter=SilentReporter()
    )
    assert set_aside == []
    assert predictions.paths == tuple(map(str, files))
    assert predictions.class_names == class_names
    assert predictions.y_true.tolist() == [-1] * len(files)
    assert predictions.probabilities.dtype == np.float32
    np.testing.assert_allclose(predictions.probabilities, recorded.probabilities, atol=1e-5)


def test_bad_files_are_set_aside_and_harm_no_other(classifier, files, recorded, tmp_path):
    whole = files[0].read_bytes()
    bad = {
        "empty.jpg": b"",
        "page.jpg": b"<!DOCTYPE html><html><body>not here</body></html>",
        "cut.jpg": whole[:-100],
        "cut.png": files[6].read_bytes()[:-30],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    missing = tmp_path / "missing.jpg"
    spoilt = [tmp_path / name for name in bad]
    mixed = [files[0], spoilt[0], spoilt[2], files[1], missing, spoilt[1], files[2], spoilt[3]]
    predictions, set_aside = classifier.predict_files(
        mixed, batch_size=4, reporter=SilentReporter()
    )
    assert predictions.paths == tuple(str(path) for path in files[:3])
    np.testing.assert_allclose(predictions.probabilities, recorded.probabilities[:3], atol=1e-5)
    assert {entry.path for entry in set_aside} == {str(path) for path in (*spoilt, missing)}
    assert all(entry.reason for entry in set_aside)
    kinds = {entry.path.rpartition("/")[2]: entry.kind for entry in set_aside}
    assert kinds["empty.jpg"] == "empty"
    assert kinds["missing.jpg"] == "missing"
    reason = next(entry.reason for entry in set_aside if entry.path == str(spoilt[2]))
    assert reason == (
        "It is cut off or damaged (jpeg::Uncompress failed. Invalid JPEG data or crop window); "
        "copy or export it again."
    )


def test_a_row_that_fails_in_the_graph_is_found_among_many(classifier, files, recorded):
    encoded = [read_encoded(path, max_pixels=10**6) for path in files[:8]]
    for bad in ({0}, {7}, {2, 3}, set(range(8))):
        rows = [b"\xff\xd8\xff\xe0 no picture" if i in bad else e for i, e in enumerate(encoded)]
        answers = classifier.answer_each(rows)
        assert {i for i, a in enumerate(answers) if not isinstance(a, np.ndarray)} == bad
        for i in set(range(8)) - bad:
            np.testing.assert_allclose(answers[i], recorded.probabilities[i], atol=1e-5)
        with pytest.raises(DataError, match=f"{len(bad)} of 8 pictures") as caught:
            classifier.predict_bytes(rows)
        assert f"number {min(bad)}:" in str(caught.value)


def test_too_many_pixels_are_set_aside(classifier, files):
    predictions, set_aside = classifier.predict_files(
        files[:3], max_pixels=100, reporter=SilentReporter()
    )
    assert len(predictions.paths) == 0
    assert predictions.probabilities.shape == (0, 7)
    assert [entry.kind for entry in set_aside] == ["too_many_pixels"] * 3


def test_nothing_in_nothing_out(classifier):
    predictions, set_aside = classifier.predict_files([], reporter=SilentReporter())
    assert (predictions.paths, set_aside) == ((), [])
    assert classifier.predict_bytes([]).shape == (0, 7)
    assert classifier.top_labels([]) == []


def test_takes_the_newest_complete_version(tmp_path, version_folder):
    for name in ("2", "10"):
        shutil.copytree(version_folder, tmp_path / name)
    (tmp_path / "11").mkdir()
    (tmp_path / "notes").mkdir()
    assert SavedModelClassifier(tmp_path).version_folder == tmp_path / "10"


def test_folders_that_are_no_export_are_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for folder in (tmp_path, tmp_path / "missing", file):
        with pytest.raises(RunError, match="There is no SavedModel here") as caught:
            SavedModelClassifier(folder)
        assert str(folder) in str(caught.value)


def test_a_foreign_saved_model_is_refused(tmp_path):
    class Foreign(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32)])
        def __call__(self, x):
            return {"y": x}

    module = Foreign()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"theirs": module.__call__})
    with pytest.raises(RunError, match="no signature serving_default") as caught:
        SavedModelClassifier(tmp_path)
    assert "theirs" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"],
)
def test_a_truncated_export_is_refused(tmp_path, version_folder, name):
    folder = tmp_path / "1"
    shutil.copytree(version_folder, folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match="cannot be loaded"):
        SavedModelClassifier(folder)


def test_facts_that_are_missing_damaged_or_newer(tmp_path, version_folder):
    folder = tmp_path / "1"
    shutil.copytree(version_folder, folder)
    path = folder / "assets" / "preprocessing.json"
    facts = json.loads(path.read_text())
    for content, message in (
        (json.dumps({**facts, "format": 99}), "newer tl_app"),
        (json.dumps({**facts, "preprocessing": {"image_size_px": 3}}), "damaged"),
        (json.dumps([]), "no format number"),
        ("{", "damaged"),
    ):
        path.write_text(content)
        with pytest.raises(RunError, match=message):
            SavedModelClassifier(folder)
