"""Files move out and come back, whatever happens meanwhile; nothing else is ever touched."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.end_to_end.command_line import in_own_mounts
from tl_app.audit.fix_table import FixRow
from tl_app.audit.quarantine import apply_fixes, undo
from tl_app.data.walk import Found, walk
from tl_app.errors import DataError, RunError, StorageError

NAMES = (
    "cat/a.jpg",
    "cat/b.jpg",
    "dog/<b>'\" & ,.jpg",
    "dog/line\nbreak.jpg",
    "dog/\u202egpj.right.jpg",
    "dog/=cmd|' /C calc'!A1.jpg",
    f"dog/{'n' * 240}.jpg",
    "dog/not utf-8 \udcff.jpg",
)
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"picture {number}".encode())
    return root


def row(root: Path, path: str, action: str = "quarantine") -> FixRow:
    file = root / path
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "0" * 64
    return FixRow(path, "a copy", "quarantine" if action == "quarantine" else "review", digest)


def files_of(folder: Path) -> dict[str, bytes]:
    """What a scan would see below a folder, and what is in it."""
    found = Found()
    walk(folder, ".", set(), found)
    return {name.removeprefix("./"): (folder / name).read_bytes() for name in found.files}


def test_files_move_out_of_sight_and_back(root: Path) -> None:
    before = files_of(root)
    assert len(before) == len(NAMES)
    rows = [row(root, name) for name in NAMES[1:]]
    done = apply_fixes(root, rows, now=NOW)
    assert sorted(done.moved) == sorted(NAMES[1:])
    assert not done.left
    assert list(files_of(root)) == [NAMES[0]]
    kept = root / ".quarantine/20300102-030405/files"
    assert {str(p.relative_to(kept)) for p in kept.rglob("*") if p.is_file()} == set(NAMES[1:])
    back = undo(root)
    assert sorted(back.moved) == sorted(NAMES[1:])
    assert files_of(root) == before
    assert not (root / ".quarantine").exists()
    with pytest.raises(DataError, match="Nothing of this folder"):
        undo(root)


def test_rows_for_review_are_left_alone(root: Path) -> None:
    done = apply_fixes(root, [row(root, NAMES[0], "review")])
    assert (done.moved, done.left) == ((), {})
    assert len(files_of(root)) == len(NAMES)


def test_again_does_what_is_left_and_no_more(root: Path) -> None:
    first, second = row(root, NAMES[0]), row(root, NAMES[1])
    apply_fixes(root, [first], now=NOW)
    done = apply_fixes(root, [first, second], now=NOW)
    assert done.moved == (NAMES[1],)
    assert not done.left
    assert sorted(undo(root).moved) == sorted(NAMES[:2])


def test_what_changed_or_is_gone_is_left_and_told(root: Path) -> None:
    rows = [row(root, name) for name in NAMES[:3]]
    (root / NAMES[0]).write_bytes(b"another picture")
    (root / NAMES[1]).unlink()
    unknown = FixRow(NAMES[3], "", "quarantine", "")
    done = apply_fixes(root, [*rows, unknown])
    assert done.moved == (NAMES[2],)
    assert "changed since" in done.left[NAMES[0]]
    assert "not there" in done.left[NAMES[1]]
    assert "which file" in done.left[NAMES[3]]


@pytest.mark.parametrize(
    "path",
    ["../out.jpg", "/etc/passwd", "cat/../../out.jpg", "", "link/x.jpg", "cat/\0.jpg"],
)
def test_nothing_moves_where_a_path_leads_out(root: Path, path: str) -> None:
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (outside / "x.jpg").write_bytes(b"x")
    (root.parent / "out.jpg").write_bytes(b"x")
    (root / "link").symlink_to(outside)
    bad = FixRow(path, "", "quarantine", hashlib.sha256(b"x").hexdigest())
    with pytest.raises(DataError, match="out of the data's folder"):
        apply_fixes(root, [row(root, NAMES[0]), bad])
    assert len(files_of(root / "cat")) == 2
    assert (outside / "x.jpg").exists()
    assert (root.parent / "out.jpg").exists()


def test_a_link_within_the_folder_moves_itself_alone(root: Path) -> None:
    (root / "dog/link.jpg").symlink_to("../cat/a.jpg")
    done = apply_fixes(root, [row(root, "dog/link.jpg")])
    assert done.moved == ("dog/link.jpg",)
    assert (root / "cat/a.jpg").exists()
    undo(root)
    assert (root / "dog/link.jpg").is_symlink()


def test_a_place_that_is_taken_is_not_written_over(root: Path) -> None:
    original = (root / NAMES[0]).read_bytes()
    apply_fixes(root, [row(root, NAMES[0]), row(root, NAMES[1])])
    (root / NAMES[0]).write_bytes(b"a new one")
    back = undo(root)
    assert back.moved == (NAMES[1],)
    assert "taken" in back.left[NAMES[0]]
    assert (root / NAMES[0]).read_bytes() == b"a new one"
    (root / NAMES[0]).unlink()
    assert undo(root).moved == (NAMES[0],)
    assert (root / NAMES[0]).read_bytes() == original


def test_a_new_file_in_the_place_of_one_in_quarantine_is_judged_by_itself(root: Path) -> None:
    old = row(root, NAMES[0])
    apply_fixes(root, [old], now=NOW)
    (root / NAMES[0]).write_bytes(b"a new one")
    assert "changed" in apply_fixes(root, [old], now=NOW).left[NAMES[0]]
    assert apply_fixes(root, [row(root, NAMES[0])], now=NOW).moved == (NAMES[0],)
    back = undo(root)
    assert back.moved == (NAMES[0],)
    assert "older version" in back.left[NAMES[0]]
    assert (root / NAMES[0]).read_bytes() == b"a new one"
    assert list((root / ".quarantine").glob("*/files/cat/a.jpg"))


def test_one_process_at_a_time(root: Path) -> None:
    (root / ".quarantine").mkdir()
    with (root / ".quarantine/lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="Another process"):
            apply_fixes(root, [row(root, NAMES[0])])


def test_a_quarantine_that_leads_elsewhere_is_refused(root: Path, tmp_path: Path) -> None:
    (root / ".quarantine").symlink_to(tmp_path)
    with pytest.raises(DataError, match="symbolic link"):
        apply_fixes(root, [row(root, NAMES[0])])


def test_a_lock_that_is_a_link_leaves_what_it_leads_to(root: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_text("mine")
    (root / ".quarantine").mkdir()
    (root / ".quarantine/lock").symlink_to(tmp_path / "foreign")
    with pytest.raises(DataError, match="not one that tl-app made"):
        apply_fixes(root, [row(root, NAMES[0])])
    assert (tmp_path / "foreign").read_text() == "mine"


@pytest.mark.parametrize("link", ["x", "x/files", "x/files/cat"])
def test_undo_takes_nothing_from_behind_a_link(root: Path, tmp_path: Path, link: str) -> None:
    foreign = tmp_path / "foreign"
    place = foreign / Path("x/files/cat/mine.jpg").relative_to(link)
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    batch = root / ".quarantine/x"
    (root / ".quarantine" / link).parent.mkdir(parents=True)
    (root / ".quarantine" / link).symlink_to(foreign)
    (batch / "plan.json").write_text('{"files": {"cat/mine.jpg": ""}}')
    with pytest.raises(DataError, match="not one that tl-app made"):
        undo(root)
    assert place.read_text() == "mine"


@pytest.mark.parametrize("plan", ["{}", "[]", '{"files": {"cat', '{"files": {"../x": ""}}'])
def test_a_damaged_plan_is_told(root: Path, plan: str) -> None:
    (root / ".quarantine/x").mkdir(parents=True)
    (root / ".quarantine/x/plan.json").write_text(plan)
    with pytest.raises(RunError, match="plan of the quarantine is damaged") as told:
        undo(root)
    assert "train" not in str(told.value)


def test_a_link_into_a_store_moves_and_the_store_stays(root: Path, tmp_path: Path) -> None:
    (tmp_path / "store.jpg").write_bytes(b"x")
    (root / "cat/link.jpg").symlink_to(tmp_path / "store.jpg")
    assert apply_fixes(root, [row(root, "cat/link.jpg")]).moved == ("cat/link.jpg",)
    assert not os.path.lexists(root / "cat/link.jpg")
    assert (tmp_path / "store.jpg").read_bytes() == b"x"
    undo(root)
    assert (root / "cat/link.jpg").is_symlink()


def test_one_file_that_cannot_be_moved_stops_no_other(root: Path, monkeypatch) -> None:
    real = os.link

    def link(source, target, **more):
        if Path(source).name == "a.jpg":
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(source))
        real(source, target, **more)

    monkeypatch.setattr(os, "link", link)
    rows = [row(root, name) for name in NAMES]
    done = apply_fixes(root, rows)
    assert sorted(done.moved) == sorted(NAMES[1:])
    assert "cross-device" in done.left[NAMES[0]]
    assert (root / NAMES[0]).exists()


def test_a_class_folder_that_became_a_file_stops_no_other(root: Path) -> None:
    apply_fixes(root, [row(root, name) for name in NAMES])
    (root / "cat").rmdir()
    (root / "cat").touch()
    back = undo(root)
    assert sorted(back.moved) == sorted(NAMES[2:])
    assert set(back.left) == set(NAMES[:2])


def test_a_path_written_otherwise_is_the_same_path(root: Path) -> None:
    done = apply_fixes(root, [row(root, "cat//a.jpg"), row(root, "cat/a.jpg")])
    assert (done.moved, done.left) == (("cat/a.jpg",), {})


@pytest.mark.parametrize("verb", [apply_fixes, undo])
def test_new_names_are_on_the_disk_before_old_ones_go(root: Path, monkeypatch, verb) -> None:
    rows = [row(root, name) for name in NAMES]
    if verb is undo:
        apply_fixes(root, rows)
        for name in ("cat", "dog"):
            shutil.rmtree(root / name)
    synced: set[str] = set()
    unsafe: list[Path] = []
    real_sync, real_unlink = os.fsync, os.unlink

    def sync(descriptor):
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        real_sync(descriptor)

    def unlink(place, **more):
        if Path(place).parent.name in ("cat", "dog"):
            base = root if verb is undo else next((root / ".quarantine").glob("*/files"))
            target = base / Path(place).parent.name
            unsafe.extend(one for one in (target, target.parent) if str(one) not in synced)
        real_unlink(place, **more)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "unlink", unlink)
    if verb is undo:
        undo(root)
    else:
        apply_fixes(root, rows)
        assert str(root / ".quarantine") in synced
    assert not unsafe


def test_nothing_to_undo(root: Path) -> None:
    with pytest.raises(DataError, match="Nothing of this folder"):
        undo(root)


# A real SIGKILL at each step of a move: before the new name, between it and the end of the old
# one, and after.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.audit.test_quarantine import NAMES, row
from tl_app.audit import quarantine

root, call, n, verb = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
real, calls = getattr(os, call), []

def deadly(*args, **kwargs):
    calls.append(args)
    if len(calls) == n:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)

setattr(os, call, deadly)
if verb == "undo":
    quarantine.undo(root)
else:
    quarantine.apply_fixes(root, [row(root, name) for name in NAMES])
"""


def killed(root: Path, call: str, n: int, verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, root, call, str(n), verb], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("call", "n"), [("link", 1), ("link", 4), ("unlink", 3)])
def test_a_kill_in_the_middle_loses_nothing(root: Path, call: str, n: int) -> None:
    before = files_of(root)
    rows = [row(root, name) for name in NAMES]
    killed(root, call, n, "apply")
    apply_fixes(root, rows)
    assert not files_of(root)
    killed(root, call, n, "undo")
    undo(root)
    assert files_of(root) == before
    assert not list((root / ".quarantine").glob("*/"))


FULL = """
import os, subprocess, sys
from pathlib import Path
from tests.audit.test_quarantine import files_of, row
from tl_app.audit.quarantine import apply_fixes, undo
from tl_app.errors import StorageError

place, options = Path(sys.argv[1]), sys.argv[2]
subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
root = place / "photos"
for name in ("cat", "dog"):
    (root / name).mkdir(parents=True)
    for i in range(10):
        (root / f"{name}/{i}.jpg").write_bytes(b"picture %d" % i)
before = files_of(root)
rows = [row(root, name) for name in before]
fillers = 0
try:
    if "nr_inodes" not in options:
        (place / "filler").write_bytes(b"x" * 2**22)
    else:
        while True:
            (place / f"filler{fillers}").touch()
            fillers += 1
except OSError:
    pass
for i in range(fillers - int(sys.argv[3]), fillers):
    (place / f"filler{i}").unlink()
try:
    apply_fixes(root, rows)
    sys.exit("no error")
except StorageError as error:
    assert "full" in error.problem, error
moved = 20 - len(files_of(root))
for file in place.glob("filler*"):
    file.unlink()
apply_fixes(root, rows)
assert not files_of(root)
undo(root)
assert files_of(root) == before
print("moved before", moved)
"""


@pytest.mark.parametrize(
    ("options", "n_free", "moved"), [("size=256k", 0, 0), ("size=1m,nr_inodes=60", 16, 10)]
)
def test_a_full_disk_loses_nothing(tmp_path: Path, options: str, n_free: int, moved: int) -> None:
    done = in_own_mounts(FULL, tmp_path, options, n_free)
    if "must be superuser" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("this user may mount nothing")
    assert done.returncode == 0, done.stderr
    # The bytes run out for the plan, the names for the folder of the second class.
    assert int(done.stdout.split()[-1]) == moved


def test_a_folder_that_cannot_be_written_is_told(root: Path, monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StorageError, match="cannot be written"):
        apply_fixes(root, [row(root, NAMES[0])])
    assert len(files_of(root)) == len(NAMES)
