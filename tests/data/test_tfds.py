"""Prepared sets: really prepared on disk by a builder, read back without a network."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import warnings
from typing import Any

import pytest
from PIL import Image

from tl_app.config import DataSettings
from tl_app.data import tfds as reader
from tl_app.data.source import Source
from tl_app.data.texts import scan_texts
from tl_app.errors import ConfigError, DataError

CLASS_NAMES = ["cat", "../dog", "Käse"]


def encoded_picture(number: int, image_format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2), (number % 256, number // 256, 9)).save(stream, image_format)
    return stream.getvalue()


@pytest.fixture(scope="module")
def tfds():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_datasets

        return tensorflow_datasets


@pytest.fixture(scope="module")
def prepare(tfds, tmp_path_factory):
    """Prepare a set of pictures: split name -> number of them. Returns the data folder."""

    def run(splits: dict[str, int], *, labelled: bool = True, version: str = "1.0.0", into=None):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "key": tfds.features.Text(),
        }
        if labelled:
            features["label"] = tfds.features.ClassLabel(names=CLASS_NAMES)

        base: Any = tfds.core.GeneratorBasedBuilder

        class TinyPhotos(base, skip_registration=True):  # type: ignore[call-arg]
            VERSION = tfds.core.Version(version)
            RELEASE_NOTES = {version: "made by a test"}  # noqa: RUF012

            def _info(self):
                return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split, n) for split, n in splits.items()}

            def _generate_examples(self, split, n):
                for i in range(n):
                    image_format = "JPEG" if i % 3 == 0 else "PNG"
                    raw = encoded_picture(i + 1000 * len(split), image_format)
                    row = {"image": io.BytesIO(raw), "key": f"{split}{i}"}
                    if labelled:
                        row["label"] = i % 3
                    yield i, row

        data_dir = into or tmp_path_factory.mktemp("prepared")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            TinyPhotos(data_dir=os.fspath(data_dir)).download_and_prepare()
        return data_dir

    return run


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any attempt to reach out fails at once; what was tried is kept."""
    tried = []

    def refuse(address, *args, **kwargs):
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return tried


def test_set_with_one_split(prepare, tmp_path, run_scan, no_network, reporter):
    data_dir = prepare({"train": 12})
    options = {"data_dir": data_dir, "materialise_to": tmp_path / "files"}
    dataset = run_scan("tfds:tiny_photos", **options)
    assert dataset.class_names == ("../dog", "Käse", "cat")
    assert dataset.given_sides == ()
    assert len(dataset.examples) == 12
    assert dataset.source == "tfds:tiny_photos"
    assert {e.image_format for e in dataset.examples} == {"JPEG", "PNG"}
    # The very bytes that were prepared, each under its own class.
    hashes = {
        hashlib.sha256(encoded_picture(i + 5000, "JPEG" if i % 3 == 0 else "PNG")).hexdigest(): i
        % 3
        for i in range(12)
    }
    assert {
        e.file_hash: CLASS_NAMES.index(dataset.class_names[e.label]) for e in dataset.examples
    } == hashes
    assert no_network == []
    folders = {path.name for path in (tmp_path / "files").iterdir() if path.is_dir()}
    assert len(folders) == 1
    assert next(iter(folders)).startswith("tiny_photos-1.0.0-")
    (root,) = ((tmp_path / "files") / name for name in folders)
    assert {p.name for p in (root / "train").iterdir()} == {"cat", "0001-dog", "0002-Kase"}
    # A finished folder is used again, file by file.
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert run_scan("tfds:tiny_photos:1.0.0", **options).examples == dataset.examples
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == stamps


def test_set_with_sides(prepare, tmp_path, run_scan, reporter):
    data_dir = prepare({"train": 12, "test": 6, "extra": 3})
    dataset = run_scan("tfds:tiny_photos", data_dir=data_dir, materialise_to=tmp_path)
    assert dataset.given_sides == ("train", "test")
    assert [e.given_side for e in dataset.examples].count("test") == 6
    assert "not used: extra" in reporter.said


def test_newest_version_unless_named(prepare, tmp_path, run_scan):
    data_dir = prepare({"train": 9}, version="1.9.0")
    prepare({"train": 12}, version="1.10.0", into=data_dir)
    options = {"data_dir": data_dir, "materialise_to": tmp_path}
    assert len(run_scan("tfds:tiny_photos", **options).examples) == 12
    assert len(run_scan("tfds:tiny_photos:1.9.0", **options).examples) == 9


def test_set_without_labels(prepare, tmp_path, run_scan):
    data_dir = prepare({"train": 3}, labelled=False)
    with pytest.raises(DataError, match="labelled pictures") as caught:
        run_scan("tfds:tiny_photos", data_dir=data_dir, materialise_to=tmp_path / "files")
    assert "image (Image), key (Text)" in str(caught.value)
    assert [p for p in (tmp_path / "files").iterdir() if p.is_dir()] == []


def test_nothing_half_written(prepare, tmp_path, run_scan, monkeypatch):
    data_dir = prepare({"train": 12})
    real = reader._encoded

    def cut_off(*args):
        rows = real(*args)
        yield next(rows)
        raise KeyboardInterrupt

    options = {"data_dir": data_dir, "materialise_to": tmp_path / "files"}
    with monkeypatch.context() as patched:
        patched.setattr(reader, "_encoded", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run_scan("tfds:tiny_photos", **options)
    assert [p for p in (tmp_path / "files").iterdir() if p.is_dir()] == []
    # What a killed process left is cleared away by the next one.
    lock = next((tmp_path / "files").glob(".*.lock"))
    leftover = tmp_path / "files" / f"{lock.stem}.partial-killed"
    leftover.mkdir()
    assert len(run_scan("tfds:tiny_photos", **options).examples) == 12
    assert not leftover.exists()


def test_unknown_set(tfds, prepare, tmp_path, run_scan, no_network):
    data_dir = prepare({"train": 3})
    with pytest.raises(DataError, match="'tiny_photos'") as caught:
        run_scan("tfds:tiny_fotos", data_dir=data_dir, materialise_to=tmp_path)
    assert str(data_dir) in str(caught.value)
    assert no_network == []


def test_registered_set_without_a_network(tfds, tmp_path, run_scan, no_network, monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match="cannot be reached") as caught:
        run_scan("tfds:tf_flowers", data_dir=tmp_path / "sets", materialise_to=tmp_path)
    text = str(caught.value)
    assert str(tmp_path / "sets") in text
    assert "tfds build tf_flowers" in text
    assert len(no_network) == 1
    assert no_network[0][1] == 443


def test_registered_set_in_an_unknown_version(tfds, tmp_path, run_scan):
    with pytest.raises(DataError, match="refuses this name"):
        run_scan("tfds:tf_flowers:99.0.0", data_dir=tmp_path, materialise_to=tmp_path)


@pytest.mark.parametrize("name", ["tfds:", "tfds:../x", "tfds:a b", "tfds:x:latest", "tfds:x/../y"])
def test_malformed_names(name, run_scan):
    with pytest.raises(ConfigError, match="no name of a prepared set"):
        run_scan(name)


@pytest.fixture(scope="module")
def prepared_texts(tfds, tmp_path_factory):
    """A prepared set of texts; returns the data folder."""
    base: Any = tfds.core.GeneratorBasedBuilder

    class TinyReviews(base, skip_registration=True):  # type: ignore[call-arg]
        VERSION = tfds.core.Version("1.0.0")
        RELEASE_NOTES = {"1.0.0": "made by a test"}  # noqa: RUF012

        def _info(self):
            features = {
                "text": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["neg", "pos"]),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=("text", "label")
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(10), "test": self._generate_examples(4)}

        def _generate_examples(self, n):
            for i in range(n):
                yield i, {"text": f"số {i} of {n}\nrất hay 🎉", "label": i % 2}

    data_dir = tmp_path_factory.mktemp("prepared_texts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        TinyReviews(data_dir=os.fspath(data_dir)).download_and_prepare()
    return data_dir


def test_a_set_of_texts(prepared_texts, prepare, tmp_path, reporter, no_network):
    source = Source("tfds:tiny_reviews", data_dir=prepared_texts)
    assert source.modality == "text"
    pictures = prepare({"train": 12})
    assert Source("tfds:tiny_photos", data_dir=pictures).modality == "image"
    assert Source("tfds:not_there", data_dir=pictures).modality == "image"
    for _ in range(2):  # unpacked, then found unpacked
        dataset = scan_texts(
            source.name,
            DataSettings(),
            reporter=reporter,
            test_required=True,
            data_dir=prepared_texts,
            materialise_to=tmp_path / "files",
        )
        assert dataset.class_names == ("neg", "pos")
        assert dataset.given_sides == ("train", "test")
        texts = {example.text for example in dataset.examples if example.given_side == "test"}
        assert texts == {f"số {i} of 4\nrất hay 🎉" for i in range(4)}
        assert len(dataset.examples) == 14
    assert no_network == []
    with pytest.raises(DataError, match="has pictures, and texts are wanted"):
        scan_texts(
            "tfds:tiny_photos",
            DataSettings(),
            reporter=reporter,
            test_required=False,
            data_dir=pictures,
            materialise_to=tmp_path / "other",
        )
