"""Threads that decode share their pixels: never more than the budget, everybody's turn comes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.inputs.makers import gif, noise, save
from tl_app.inputs import ahead, files, inspect, pictures
from tl_app.inputs.decode_budget import DECODING, DecodeBudget
from tl_app.inputs.files import read_picture_file
from tl_app.inputs.inspect import inspect_file
from tl_app.inputs.pictures import iterate_pictures
from tl_app.records import Preprocessing


class Watch:
    """Counts what is in flight."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: list[int] = []
        self.seen: list[list[int]] = []
        """What was in flight whenever something began."""

    def begin(self, n_pixels: int) -> None:
        with self._lock:
            self._in_flight.append(n_pixels)
            self.seen.append(list(self._in_flight))

    def end(self, n_pixels: int) -> None:
        with self._lock:
            self._in_flight.remove(n_pixels)


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(1, 50),
    jobs=st.lists(st.tuples(st.integers(0, 80), st.booleans()), max_size=40),
    n_threads=st.integers(1, 8),
)
def test_the_total_is_kept_and_everybody_finishes(total, jobs, n_threads):
    budget, watch = DecodeBudget(total), Watch()

    def work(job: tuple[int, bool]) -> None:
        n_pixels, fails = job
        with budget.reserve(n_pixels):
            watch.begin(n_pixels)
            time.sleep(0.0002)
            watch.end(n_pixels)
            if fails:
                raise ValueError

    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        failed = [future.exception(timeout=30) is not None for future in futures]
    assert failed == [fails for _, fails in jobs]
    assert len(watch.seen) == len(jobs)
    for sizes in watch.seen:
        largest = max(sizes)
        # One larger than the budget runs beside nothing that has pixels.
        assert sum(sizes) <= total or sum(sizes) == largest
    with budget.reserve(total):  # all of it came back
        pass


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_large_one_is_not_overtaken_by_small_ones():
    budget, order = DecodeBudget(10), []

    def work(n_pixels: int) -> None:
        with budget.reserve(n_pixels):
            order.append(n_pixels)

    threads = [threading.Thread(target=work, args=(n,)) for n in (99, 1, 2)]
    with budget.reserve(6):
        for n_waiting, thread in enumerate(threads, start=1):
            thread.start()
            until(lambda n=n_waiting: len(budget._waiting) == n)
        assert order == []  # there is room for the small ones, and they let the large one in
    for thread in threads:
        thread.join(30)
    assert order[0] == 99
    assert sorted(order[1:]) == [1, 2]


def test_one_that_gives_up_waiting_leaves_the_way_free(monkeypatch):
    budget = DecodeBudget(10)
    with budget.reserve(6):
        with monkeypatch.context() as patch:

            def interrupted(predicate):
                raise KeyboardInterrupt

            patch.setattr(budget._changed, "wait_for", interrupted)
            with pytest.raises(KeyboardInterrupt), budget.reserve(9):
                pass
        with budget.reserve(4):
            pass
    with budget.reserve(10):
        pass


def test_a_reservation_costs_little():
    budget = DecodeBudget(100)
    started = time.perf_counter()
    for _ in range(1000):
        with budget.reserve(1):
            pass
    assert time.perf_counter() - started < 1.0  # measured 5 ms; decoding a photograph takes 50


def test_eight_photographs_run_together_and_large_pictures_alone():
    megapixel = 10**6
    assert 8 * 12 * megapixel <= DECODING._total <= 100 * megapixel


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_the_header_says_what_decoding_takes(tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(save(noise(9, 14), kind))
    assert read_picture_file(path, max_pixels=1000).n_pixels == 9 * 14


def test_a_gif_takes_what_is_larger_of_canvas_and_frame(tmp_path):
    path, indices, palette = tmp_path / "a.gif", np.zeros((5, 7), int), noise(4, 1)[:, 0]
    path.write_bytes(gif(indices, palette, canvas=(3, 3)))
    assert read_picture_file(path, max_pixels=1000).n_pixels == 35
    path.write_bytes(gif(indices, palette, canvas=(9, 9)))
    assert read_picture_file(path, max_pixels=1000).n_pixels == 81


def watched(watch: Watch, function, n_pixels: int):
    def call(*args):
        watch.begin(n_pixels)
        time.sleep(0.01)
        try:
            return function(*args)
        finally:
            watch.end(n_pixels)

    return call


@pytest.mark.parametrize("total", [599, 600, 1300])
def test_the_scan_keeps_the_budget(tmp_path, monkeypatch, total):
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        path.write_bytes(save(noise(20, 30, seed=i), "PNG"))
    watch = Watch()
    monkeypatch.setattr(inspect, "DECODING", DecodeBudget(total))
    monkeypatch.setattr(inspect, "_decode", watched(watch, inspect._decode, 600))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: inspect_file(path, max_pixels=1000), paths))
    assert [one.width_px for one in found] == [30] * 8
    assert max(len(sizes) for sizes in watch.seen) == max(1, total // 600)


@pytest.mark.parametrize("total", [600, 1300])
def test_training_keeps_the_budget(tmp_path, monkeypatch, total):
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        path.write_bytes(save(noise(20, 30, seed=i), "PNG"))
    preprocessing = Preprocessing(
        image_size_px=8, aspect="squash", window=(0, 255), max_pixels=1000
    )
    watch = Watch()
    to_picture = watched(watch, pictures.traced_preprocess(preprocessing), 600)
    monkeypatch.setattr(pictures, "traced_preprocess", lambda _: to_picture)
    monkeypatch.setattr(pictures, "DECODING", DecodeBudget(total))
    monkeypatch.setattr(ahead, "MAX_THREADS", 4)
    assert sum(len(batch) for batch in iterate_pictures(paths, preprocessing, 4)) == 8
    assert max(len(sizes) for sizes in watch.seen) == total // 600


def test_conversion_keeps_the_budget(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    Image.fromarray(noise(20, 30)).save(path)
    budget = DecodeBudget(1000)
    monkeypatch.setattr(files, "DECODING", budget)
    free: list[int] = []
    to_png = files.to_png

    def convert(*args):
        free.append(budget._free)
        return to_png(*args)

    monkeypatch.setattr(files, "to_png", convert)
    inspect_file(path, max_pixels=1000)
    assert free == [400]
    assert budget._free == 1000
