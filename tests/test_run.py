"""The run folder: atomic, exclusive, readable by what wrote it and by nothing older."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_app.errors import RunError, StorageError
from tl_app.records import Predictions
from tl_app.run import RUN_FORMAT, RunFolder, default_run_name, safe_name
from tl_app.storage import (
    build_file,
    read_arrays,
    read_json,
    write_arrays,
    write_atomic,
    write_json,
)


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail(file):
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomic(path, fail)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80))
def test_a_safe_name_is_a_plain_folder_name(text):
    name = safe_name(text)
    assert name
    assert len(name) <= 60
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    assert not name.startswith(".")


def test_json_keeps_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "x.json", {"name": name})
    assert read_json(tmp_path / "x.json") == {"name": name}


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: b"x" * 99])
def test_damaged_arrays_are_told(tmp_path, damage):
    path = tmp_path / "a.npz"
    write_arrays(path, {"a": np.arange(100)})
    np.testing.assert_array_equal(read_arrays(path)["a"], np.arange(100))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError) as caught:
        read_arrays(path)
    assert str(path) in str(caught.value)


def test_names_are_never_taken_twice(tmp_path):
    first = RunFolder.create(tmp_path, "run")
    second = RunFolder.create(tmp_path, "run")
    assert (first.name, second.name) == ("run", "run-2")
    with pytest.raises(RunError, match="never overwritten"):
        RunFolder.create(tmp_path, "run", exact=True)
    with pytest.raises(RunError, match="never overwritten"):
        RunFolder.require_free(tmp_path, "run")
    RunFolder.require_free(tmp_path, "other")


def test_open_by_path_and_by_name(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    run.update_info(status="complete")
    assert RunFolder.open(run.path, tmp_path / "elsewhere").output == tmp_path
    assert RunFolder.open("run", tmp_path).path == run.path
    with pytest.raises(RunError, match="no run") as caught:
        RunFolder.open("rum", tmp_path)
    assert "run" in str(caught.value)
    write_json(run.info_file, {"format": RUN_FORMAT + 1})
    with pytest.raises(RunError, match="newer"):
        RunFolder.open("run", tmp_path)


def test_predictions_come_back_exactly(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 4).astype(np.float32)
    written = Predictions(
        paths=("a.png", os.fsdecode(b"\xff.png"), "猫/b\n.png", "c"),
        y_true=np.array([0, 1, 2, -1]),
        probabilities=probabilities,
        class_names=("<b>", "café", "猫"),
    )
    run.write_predictions("test", written)
    found = run.read_predictions("test")
    assert found.paths == written.paths
    assert found.class_names == written.class_names
    np.testing.assert_array_equal(found.probabilities, probabilities)
    np.testing.assert_array_equal(found.y_true, written.y_true)
    assert found.labels == tuple(written.class_names[i] for i in probabilities.argmax(axis=1))


HOLD = """
import sys, time
from pathlib import Path
from tl_app.run import RunFolder
with RunFolder(Path(sys.argv[1]), Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_has_one_writer_and_a_dead_one_holds_nothing(tmp_path):
    run = RunFolder.create(tmp_path, "run")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="Another process"), run.lock():
            pass
        other.kill()
        other.wait()
    with run.lock():
        pass


def test_the_default_name_says_what_and_when():
    name = default_run_name(
        "/data/My photos/", "hub:x/y", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    )
    assert name == "My-photos-hub-x-y-20260102-030405"
    assert json.dumps(name)


def test_a_library_that_fails_half_way_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.keras"
    build_file(path, lambda place: place.write_bytes(b"whole"))

    def fail(place):
        assert place.suffix == ".keras"
        place.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="disk is full"):
        build_file(path, fail)
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["model.keras"]


@pytest.mark.parametrize("read", ["read_dataset", "read_split", "read_processing", "read_config"])
@pytest.mark.parametrize("content", ["{}", "[]", '{"seed": "x", "sides": 3}', '{"no": 1}'])
def test_records_that_are_something_else_are_damage(tmp_path, read, content):
    run = RunFolder.create(tmp_path, "run")
    for file in (run.dataset_file, run.split_file, run.config_file):
        file.write_text(content)
    if (read, content) == ("read_config", "{}"):
        return  # all defaults
    with pytest.raises(RunError, match="damaged") as caught:
        getattr(run, read)()
    assert caught.value.next_step
