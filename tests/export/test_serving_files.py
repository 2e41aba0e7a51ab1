"""Files for TensorFlow Serving and KServe, as far as they can be read without either."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tl_app.export.serving_files import model_name, write_serving_files
from tl_app.export.versions import taken_numbers
from tl_app.records import Modality

MODALITIES: tuple[Modality, ...] = ("image", "text")


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_every_folder_has_a_name_that_a_cluster_takes(name):
    found = model_name(Path("/exports") / name)
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", found)


@pytest.mark.parametrize("modality", MODALITIES)
def test_all_files_speak_of_the_same_model(tmp_path, modality):
    destination = tmp_path / "Parts & Photos"
    destination.mkdir()
    folder = write_serving_files(destination, modality)
    config = text_format.Parse((folder / "models.config").read_text(), ModelServerConfig())
    [model] = config.model_config_list.config
    assert (model.name, model.base_path) == ("parts-photos", "/models/parts-photos")
    assert model.model_platform == "tensorflow"
    service = yaml.safe_load((folder / "inference-service.yaml").read_text())
    assert service["metadata"]["name"] == "parts-photos"
    predictor = service["spec"]["predictor"]["model"]
    assert predictor["modelFormat"] == {"name": "tensorflow"}
    assert predictor["args"][1].endswith("/serving/batching.config")
    readme = (folder / "README.md").read_text()
    assert "/v1/models/parts-photos:predict" in readme
    assert "{" not in re.sub(r"\{\"instances.*?\}'", "", readme)
    # Every command is one that a shell can read.
    for block in re.findall(r"(?:^    .*\n)+", readme, re.M):
        assert shlex.split(block)


@pytest.mark.parametrize("name", ["no", "On", "null", "true", "1e3"])
def test_a_name_stays_a_name_in_yaml(tmp_path, name):
    destination = tmp_path / name
    destination.mkdir()
    folder = write_serving_files(destination, "image")
    service = yaml.safe_load((folder / "inference-service.yaml").read_text())
    assert service["metadata"]["name"] == model_name(destination)


def test_batching_bounds_its_batches_its_queue_and_its_threads(tmp_path):
    lines = (write_serving_files(tmp_path, "image") / "batching.config").read_text().splitlines()
    assert all(re.fullmatch(r"\w+ \{ value: \d+ \}", line) for line in lines)
    assert {line.split()[0] for line in lines} == {
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
    }


def test_what_somebody_changed_stays_and_is_no_version(tmp_path):
    folder = write_serving_files(tmp_path, "image")
    (folder / "batching.config").write_text("max_batch_size { value: 8 }\n")
    (folder / "README.md").unlink()
    assert write_serving_files(tmp_path, "image") == folder
    assert (folder / "batching.config").read_text() == "max_batch_size { value: 8 }\n"
    assert (folder / "README.md").exists()
    assert taken_numbers(tmp_path) == []
