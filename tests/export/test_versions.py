"""Version folders, labels on one line, and latency: the parts that need no SavedModel."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tl_app.export.assets import decode_name, encode_name, escape_label, unescape_label
from tl_app.export.latency import measure_latency
from tl_app.export.versions import candidate_folder, find_version, publish, taken_numbers

NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\\\n\r\x85\u2028n8u"))


@given(st.lists(NAMES))
def test_labels_stay_on_one_line_each_and_come_back(names):
    text = "".join(escape_label(name) + "\n" for name in names)
    lines = text.splitlines()
    assert len(lines) == len(names)
    assert [unescape_label(line) for line in lines] == names


@given(st.binary())
def test_names_that_are_not_utf8_keep_their_bytes(raw):
    assert encode_name(decode_name(raw)) == raw


def fill(candidate):
    candidate.mkdir()
    (candidate / "saved_model.pb").write_bytes(b"x")


@given(st.sets(st.integers(min_value=0, max_value=50)))
def test_the_next_version_is_after_the_largest(tmp_path_factory, taken):
    destination = tmp_path_factory.mktemp("versions")
    for number in taken:
        (destination / str(number)).mkdir()
    (destination / "not-a-number").mkdir()
    (destination / "٣").mkdir()  # A digit, but of no version that a server would see.
    with candidate_folder(destination) as candidate:
        fill(candidate)
        target = publish(candidate, destination)
    assert int(target.name) == max(taken, default=0) + 1
    assert taken_numbers(destination) == sorted({*taken, int(target.name)})
    assert find_version(destination) == target


def test_what_is_not_published_leaves_nothing(tmp_path):
    def stop_midway():
        with candidate_folder(tmp_path / "a" / "b") as candidate:
            fill(candidate)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_midway()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_stay(tmp_path):
    destination = tmp_path / "a"
    destination.mkdir()
    with candidate_folder(destination):
        pass
    assert list(destination.iterdir()) == []


def test_exports_at_the_same_time_take_different_numbers(tmp_path):
    def export(_):
        with candidate_folder(tmp_path) as candidate:
            fill(candidate)
            return publish(candidate, tmp_path).name

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(map(int, pool.map(export, range(24))))
    assert numbers == list(range(1, 25))


def test_remains_of_a_killed_export_are_removed_but_not_a_living_one(tmp_path):
    abandoned = tmp_path / ".building-killed"
    abandoned.mkdir()
    fill(abandoned / "model")
    with candidate_folder(tmp_path) as living:
        assert not abandoned.exists()
        fill(living)
        with candidate_folder(tmp_path) as second:
            fill(second)
            publish(second, tmp_path)
        assert publish(living, tmp_path).name == "2"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def pixels_of(size: int):
    random = np.random.default_rng(0)
    return lambda n: random.uniform(0, 255, (n, size, size, 3)).astype(np.float32)


def test_latency_is_measured_after_a_warm_up():
    calls = []

    def model(pixels):
        calls.append(pixels.shape)
        assert pixels.dtype == np.float32
        assert 200 < pixels.max() <= 255
        first = len([shape for shape in calls if shape == pixels.shape]) == 1
        time.sleep(0.2 if first else 0.002 * len(pixels))
        return pixels[:, 0, 0, 0]

    result = measure_latency(model, pixels_of(8), (1, 8), repeats=5)
    assert list(result) == ["1", "8"]
    assert calls == [(1, 8, 8, 3)] * 6 + [(8, 8, 8, 3)] * 6
    assert 2 <= result["1"]["p50"] <= result["1"]["p95"]
    assert result["1"]["p50"] < 50
    assert 16 <= result["8"]["p50"] < 100


def test_a_slow_model_is_measured_within_the_budget():
    def slow(pixels):
        time.sleep(0.1)
        return pixels

    before = time.perf_counter()
    result = measure_latency(slow, pixels_of(4), (1, 2), repeats=100, budget_seconds=0.5)
    assert time.perf_counter() - before < 1.5
    assert all(90 < value["p50"] < 400 for value in result.values())
