"""The parallel look at every file."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tl_app.data.checking import check_pictures
from tl_app.errors import UnusablePicture
from tl_app.records import SetAside


def test_order_does_not_depend_on_timing(reporter):
    delays = {f"{i}.png": random.Random(i).random() / 200 for i in range(100)}

    def inspect(path: Path) -> Any:
        time.sleep(delays[path.name])
        if path.name.startswith("7"):
            raise UnusablePicture("empty", "nothing in it")
        return path.name

    results = check_pictures(Path("/set"), list(delays), inspect, reporter, n_threads=8)
    found: list[object] = [*results]
    for name, result in zip(delays, found, strict=True):
        if name.startswith("7"):
            assert result == SetAside(name, "nothing in it", "empty")
        else:
            assert result == name
    assert reporter.bars == [("Checking pictures", 100, "images")]
    assert reporter.n_advanced == 100


def test_it_works_in_parallel(reporter):
    meeting = threading.Barrier(4, timeout=20)

    def inspect(path: Path) -> Any:
        return meeting.wait()

    assert len(check_pictures(Path(), ["a"] * 8, inspect, reporter, n_threads=4)) == 8


def test_the_queue_is_short(reporter):
    """While the first picture takes its time, only a few more are taken on."""
    n_waiting = []
    submitted = threading.Semaphore(0)

    class Paths(list[str]):
        def __iter__(self):
            for path in super().__iter__():
                submitted.release()
                yield path

    def inspect(path: Path) -> Any:
        if path.name == "0":
            time.sleep(0.2)
            n_waiting.append(submitted._value)
        return path.name

    names = Paths(str(i) for i in range(5000))
    assert len(check_pictures(Path(), names, inspect, reporter, n_threads=2)) == 5000
    assert n_waiting[0] < 50


@pytest.mark.parametrize("error", [RuntimeError("a fault"), KeyboardInterrupt()])
def test_other_exceptions_end_the_check_soon(reporter, error):
    looked_at: list[str] = []

    def inspect(path: Path):
        looked_at.append(path.name)
        time.sleep(0.002)
        if path.name == "20":
            raise error
        return path.name

    names = [str(i) for i in range(20_000)]
    with pytest.raises(type(error)):
        check_pictures(Path(), names, inspect, reporter, n_threads=2)
    assert len(looked_at) < 100


def test_set_aside_is_counted_and_listed(tmp_path, pictures, run_scan, reporter):
    root = pictures(tmp_path / "set", cat=8, dog=8)
    (root / "cat/0001.png").write_bytes(b"")
    (root / "cat/0002.png").write_text("<html>")
    (root / "dog/0000.png").write_bytes(b"")
    raw = (root / "dog/0003.png").read_bytes()
    (root / "dog/0003.png").write_bytes(raw[:45])
    dataset = run_scan(root)
    assert [(e.path, e.kind) for e in dataset.set_aside] == [
        ("cat/0001.png", "empty"),
        ("cat/0002.png", "not_an_image"),
        ("dog/0000.png", "empty"),
        ("dog/0003.png", "truncated"),
    ]
    assert len(dataset.examples) == 12
    assert reporter.warnings == [
        "4 of 16 pictures set aside: 2 empty, 1 not an image, 1 truncated; listed in the run."
    ]
    assert (root / "cat/0001.png").exists()
