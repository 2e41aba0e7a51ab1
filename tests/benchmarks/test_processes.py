"""Measuring real processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks.methods import find_milestones
from benchmarks.processes import Finished, ProcessFailed, measured_environment, run_measured


def run(code: str, folder: Path) -> Finished:
    environment = measured_environment(folder / "cache")
    return run_measured([sys.executable, "-c", code], environment=environment, folder=folder)


def test_time_memory_and_lines(tmp_path: Path) -> None:
    code = """
import sys, time
print("first", file=sys.stderr, flush=True)
block = b"x" * 200_000_000
time.sleep(0.7)
print("second", file=sys.stderr, flush=True)
print("result")
"""
    done = run(code, tmp_path)
    assert done.stdout == "result\n"
    assert [line for _, line in done.lines] == ["first", "second"]
    times = [at for at, _ in done.lines]
    assert times[1] - times[0] > 0.6
    assert times[1] < done.seconds < 30
    assert 200e6 < done.peak_anonymous_bytes < 300e6
    assert done.peak_memory_bytes > 200e6


def test_children_count(tmp_path: Path) -> None:
    code = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; b = b'x' * 150_000_000; time.sleep(0.7)"])
"""
    assert run(code, tmp_path).peak_anonymous_bytes > 150e6


def test_the_cache_and_this_checkout_are_handed_on(tmp_path: Path) -> None:
    code = "import os, benchmarks; print(os.environ['TL_APP_CACHE'], benchmarks.__file__)"
    cache, file = run(code, tmp_path).stdout.split()
    assert cache == str(tmp_path / "cache")
    assert Path(file).parents[1] == Path(__file__).parents[2]


def test_a_failure_tells_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"ended with 1:[\s\S]*ZeroDivisionError"):
        run("1 / 0", tmp_path)


def test_an_interrupt_takes_the_process_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(pid: int, options: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.processes.os.wait4", interrupted)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run("import time; time.sleep(60)", tmp_path)
    assert time.monotonic() - started < 30


def test_milestones_are_the_first_lines_that_fit() -> None:
    lines = (
        (3.5, "Device: CPU:0; float32"),
        (3.6, "1,399 pictures in 2 classes: 1,007 train, 112 validation, 280 test"),
        (4.0, "Checking pictures: 1,399 files"),
        (5.0, "Checking pictures: 1,399 files in 1.0 s (1,399 files/s)"),
        (9.0, "Choosing the penalty: 9 strengths"),
    )
    found = find_milestones(Finished(10.0, 0, 0, "", lines))
    assert found == {"imported": 3.5, "first_bar": 4.0, "head_begins": 9.0}
