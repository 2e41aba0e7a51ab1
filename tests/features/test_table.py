"""Rows that are either right or missing, whatever happens to their files."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_app.errors import StorageError
from tl_app.features import table as table_module
from tl_app.features.store import FeatureStore
from tl_app.features.table import INDEX, Table

SHAPE = (2, 3)


def key_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def value_of(number: int) -> np.ndarray:
    """float32, shape SHAPE, another one for every number."""
    return np.random.default_rng(number).normal(size=SHAPE).astype(np.float32)


def left_over(folder: Path) -> list[str]:
    """Names in a table's folder that do not belong there."""
    known = (".index", ".rows")
    return [
        path.name
        for path in folder.iterdir()
        if path.name not in ("lock", "in_use", "table.json")
        and (path.name.startswith(".") or path.suffix not in known)
    ]


def add(table: Table, numbers) -> None:
    numbers = list(numbers)
    if numbers:
        table.add([key_of(n) for n in numbers], np.stack([value_of(n) for n in numbers]))
        table.flush()


def assert_right(table: Table, numbers) -> None:
    numbers = list(numbers)
    if not numbers:
        return
    rows = table.rows([key_of(n) for n in numbers])
    np.testing.assert_array_equal(rows.all(), np.stack([value_of(n) for n in numbers]))


@settings(deadline=None, max_examples=30)
@given(
    additions=st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=6),
    asked=st.lists(st.integers(0, 40), min_size=1, max_size=12),
)
def test_a_row_is_there_when_it_was_added_and_only_then(tmp_path_factory, additions, asked) -> None:
    folder = tmp_path_factory.mktemp("table")
    table = Table(folder, SHAPE, np.float32)
    added: set[int] = set()
    for numbers in additions:
        add(table, numbers)
        added |= set(numbers)
    for reader in (table, Table(folder, SHAPE, np.float32)):
        missing = reader.missing([key_of(n) for n in asked])
        assert missing.tolist() == [n not in added for n in asked]
        here = [n for n in asked if n in added]
        if here:
            assert_right(reader, here)


def test_rows_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    table = Table(tmp_path, SHAPE, np.float32)
    add(table, [3, 1])
    add(table, [2])
    rows = table.rows([key_of(n) for n in (1, 2, 3, 1)])
    taken = rows.take(np.array([3, 0, 2]))
    np.testing.assert_array_equal(taken, np.stack([value_of(n) for n in (1, 1, 3)]))


def test_asking_for_a_missing_row_is_a_fault(tmp_path: Path) -> None:
    table = Table(tmp_path, SHAPE, np.float32)
    add(table, [1])
    with pytest.raises(KeyError, match="1 rows are missing"):
        table.rows([key_of(1), key_of(2)])


def test_half_floats_are_rounded_once(tmp_path: Path) -> None:
    table = Table(tmp_path, SHAPE, np.float16)
    add(table, [5])
    np.testing.assert_array_equal(table.rows([key_of(5)]).all()[0], value_of(5).astype(np.float16))


@pytest.mark.parametrize("suffix", ["index", "rows"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise", "gone", "flipped bit"])
def test_a_damaged_file_is_missing_rows_and_never_wrong_ones(tmp_path, suffix, damage) -> None:
    table = Table(tmp_path, SHAPE, np.float32)
    add(table, [1, 2])
    add(table, [3])
    first = next(
        path.name.split(".")[0]
        for path in tmp_path.glob("*.index")
        if path.stat().st_size == 2 * INDEX.itemsize
    )
    file = tmp_path / f"{first}.{suffix}"
    content = bytearray(file.read_bytes())
    if damage == "flipped bit":
        content[-2] ^= 4
        file.write_bytes(content)
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"truncated": content[:-5], "empty": b"", "noise": os.urandom(90)}[damage])
    reader = Table(tmp_path, SHAPE, np.float32)
    missing = reader.missing([key_of(n) for n in (1, 2, 3)])
    assert not missing[2]
    # A flipped bit in the index may hit the key or the checksum of one row: then that row, or
    # all rows of the file, are missing.
    assert missing[0] or missing[1]
    present = [n for n, gone in zip((1, 2, 3), missing, strict=True) if not gone]
    assert_right(reader, present)
    add(reader, [1, 2])
    assert_right(reader, [1, 2, 3])
    assert_right(Table(tmp_path, SHAPE, np.float32), [1, 2, 3])


def test_rows_of_another_size_are_never_read(tmp_path: Path) -> None:
    add(Table(tmp_path, SHAPE, np.float32), [1])
    assert Table(tmp_path, SHAPE, np.float16).missing([key_of(1)])[0]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tests.features.test_table import SHAPE, key_of, value_of
from tl_app.features import table as table_module
table_module.CHUNK_BYTES = 24 * 5
table = table_module.Table(Path(sys.argv[1]), SHAPE, np.float32)
print("ready", flush=True)
with table.lock(lambda: None):
    for n in range(10_000_000):
        table.add([key_of(n)], value_of(n)[None])
"""


def test_kill_9_while_writing_leaves_whole_rows(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    process.stdout.readline()
    while len(list(tmp_path.glob("*.index"))) < 20:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    table = Table(tmp_path, SHAPE, np.float32)
    with table.lock(lambda: pytest.fail("a killed process holds no lock")):
        names = {path.name.split(".")[0] for path in tmp_path.glob("*.rows")}
        assert names == {path.name.split(".")[0] for path in tmp_path.glob("*.index")}
        assert left_over(tmp_path) == []
    keys = [key_of(n) for n in range(200)]
    missing = table.missing(keys)
    n_there = int((~missing).sum())
    assert n_there >= 95
    assert_right(table, range(n_there))


def _fill(folder: str, results) -> None:
    table = Table(Path(folder), SHAPE, np.float32)
    waited = []
    with table.lock(lambda: waited.append(True)):
        todo = [n for n in range(40) if table.missing([key_of(n)])[0]]
        add(table, todo)
        time.sleep(0.3)
    results.put((len(todo), bool(waited)))


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_fill, args=(str(tmp_path), results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert [n for n, _ in found] == [0, 40]
    assert_right(Table(tmp_path, SHAPE, np.float32), range(40))


def test_a_full_disk_is_an_error_that_names_the_way_out(tmp_path: Path, monkeypatch) -> None:
    table = Table(tmp_path, SHAPE, np.float32)
    add(table, [1])

    def full(*_, **__) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tl_app.storage.os.fsync", full)
    with pytest.raises(StorageError) as caught:
        add(table, [2])
    monkeypatch.undo()
    assert "tl-app cache prune" in str(caught.value.next_step)
    assert left_over(tmp_path) == []
    assert_right(Table(tmp_path, SHAPE, np.float32), [1])


def test_rows_wait_in_memory_for_a_bounded_size(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(table_module, "CHUNK_BYTES", 10 * 24)
    table = Table(tmp_path, SHAPE, np.float32)
    for n in range(35):
        table.add([key_of(n)], value_of(n)[None])
    assert len(list(tmp_path.glob("*.index"))) == 3


# --- the store around them -------------------------------------------------------------------


def make_store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store")


def test_another_key_is_another_table(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    add(store.table("features", {"model": "a"}, SHAPE, np.float32), [1])
    again = make_store(tmp_path).table("features", {"model": "a"}, SHAPE, np.float32)
    other = store.table("features", {"model": "b"}, SHAPE, np.float32)
    half = store.table("features", {"model": "a"}, SHAPE, np.float16)
    assert [t.missing([key_of(1)])[0] for t in (again, other, half)] == [False, True, True]


def test_prune_takes_the_longest_unused_and_leaves_what_is_in_use(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    tables = {}
    for age, name in enumerate(("new", "middle", "old", "used")):
        table = store.table("features", {"model": name}, SHAPE, np.float32)
        add(table, range(100))
        os.utime(table.folder / "in_use", (time.time() - 100 * age,) * 2)
        tables[name] = table
        if name != "used":
            table.close()
    sizes = {info.what["model"]: info.n_bytes for info in store.tables()}
    assert [info.what["model"] for info in store.tables()] == ["used", "old", "middle", "new"]
    gone = store.prune(sum(sizes.values()) - 1)
    assert [info.what["model"] for info in gone] == ["old"]
    assert {info.what["model"] for info in store.tables() if info.in_use} == {"used"}
    gone = store.prune(0)
    assert [info.what["model"] for info in gone] == ["middle", "new"]
    assert_right(tables["used"], range(100))
    assert [path.name for path in (store.root / "features").iterdir()] == [
        tables["used"].folder.name
    ]


def test_notes_are_kept_and_damaged_ones_forgotten(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert store.recall({"a": 1}) is None
    store.note({"a": 1}, {"name": "litert"})
    assert store.recall({"a": 1}) == {"name": "litert"}
    next((store.root / "notes").iterdir()).write_text("{")
    assert store.recall({"a": 1}) is None


def test_every_flipped_bit_of_an_index_is_noticed(tmp_path: Path) -> None:
    table = Table(tmp_path, SHAPE, np.float32)
    add(table, [1, 2])
    [index] = tmp_path.glob("*.index")
    [rows] = tmp_path.glob("*.rows")
    whole, values = index.read_bytes(), rows.read_bytes()
    for position in range(len(whole)):
        index.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        rows.write_bytes(values)
        reader = Table(tmp_path, SHAPE, np.float32)
        missing = reader.missing([key_of(1), key_of(2)])
        assert missing.any()
        assert_right(reader, [n for n, gone in zip((1, 2), missing, strict=True) if not gone])


def test_a_table_that_is_opened_while_another_looks_is_safe_from_prune(tmp_path: Path) -> None:
    """`cache info` locks a table for a moment; who opens it then waits for its own lock."""
    store = make_store(tmp_path)
    folder = store.table("features", {"a": 1}, SHAPE, np.float32).folder
    store.close()
    ready, opened = threading.Event(), []

    def open_table() -> None:
        ready.set()
        opened.append(make_store(tmp_path).table("features", {"a": 1}, SHAPE, np.float32))

    with (folder / "in_use").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=open_table)
        thread.start()
        ready.wait()
        time.sleep(0.1)
        assert not opened
        shutil.rmtree(folder)  # prune, in the moment before the lock is had
    thread.join(timeout=10)
    [table] = opened
    assert store.prune(0) == []
    add(table, [1])
    assert_right(table, [1])
