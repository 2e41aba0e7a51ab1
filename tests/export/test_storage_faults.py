"""A full disk and a folder of somebody else, for real, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What both processes begin with: an export of some 400 KB that is ready to be written. It
# decodes nothing, since the decoder takes seconds to build and the disk is what is tried.
PROLOGUE = """
import json, os, sys
from pathlib import Path
import keras
import tensorflow as tf
from tl_app.errors import StorageError
from tl_app.export import graph
from tl_app.export.saved_model import write_saved_model
from tl_app.export.versions import MODEL_FILE
from tl_app.records import Preprocessing

graph.build_preprocess = lambda preprocessing: lambda encoded: tf.zeros((32, 32, 3))
pixels = keras.Input((32, 32, 3))
x = keras.layers.GlobalAveragePooling2D()(pixels)
x = keras.layers.Dense(4000)(x)
model = keras.Model(pixels, keras.layers.Dense(16, activation="softmax")(x))
preprocessing = Preprocessing(32, "squash", (0, 255), 10**6)

def export(destination):
    try:
        folder = write_saved_model(model, preprocessing, [str(i) for i in range(16)], destination)
    except StorageError as error:
        return {"error": error.problem, "received": error.received, "next": error.next_step}
    return {"error": None, "complete": (folder / MODEL_FILE).is_file()}
"""

FULL_DISK = """
import subprocess
place = Path(sys.argv[1])
answers = []
for kilobytes in map(int, sys.argv[2:]):
    size = f"size={kilobytes}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", place], check=True)
    answer = export(place / "runs" / "saved_model")
    answers.append({**answer, "left": sorted(os.listdir(place))})
    subprocess.run(["umount", place], check=True)
print(json.dumps(answers))
"""

FOREIGN_FOLDER = """
home, foreign = Path(sys.argv[1]), Path(sys.argv[2])
export(home / "first")           # Whatever Python imports late, it imports as its owner.
if os.getuid() == 0:
    os.chown(home, 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
print(json.dumps([export(home / "second"), export(foreign), export(foreign / "below")]))
"""


def run(script: str, *arguments: object, prefix: tuple[str, ...] = ()) -> list[dict]:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PROLOGUE + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_disk_that_fills_at_any_point_is_told_and_left_empty(tmp_path):
    # A mount that this process alone sees; without root, in a user namespace.
    prefix = ("unshare", "--mount") + (() if os.getuid() == 0 else ("--map-root-user",))
    sizes_kb = (4, 16, 100, 200, 320, 360, 2000)
    answers = run(FULL_DISK, tmp_path, *sizes_kb, prefix=prefix)
    for answer in answers[:-2]:
        assert answer["error"] == "The disk is full; nothing half-written was left."
        assert answer["received"] == str(tmp_path / "runs" / "saved_model")
        assert "free some space" in answer["next"]
        assert answer["left"] == []
    # With enough space the same export is written: it was the disk that refused.
    assert answers[-1] == {"error": None, "complete": True, "left": ["runs"]}


@pytest.fixture
def reachable_folder(tmp_path_factory):
    """A folder that every user can walk to; pytest's own are closed to others."""
    folder = tmp_path_factory.mktemp("open")
    closed = [p for p in (folder, *folder.parents) if p.stat().st_uid == os.getuid()]
    before = [(p, p.stat().st_mode) for p in closed if not p.stat().st_mode & 0o001]
    for path, mode in before:
        path.chmod(mode | 0o011)
    yield folder
    for path, mode in before:
        path.chmod(mode)


def test_a_folder_that_cannot_be_written_is_told(reachable_folder):
    home, foreign = reachable_folder / "home", reachable_folder / "foreign"
    home.mkdir()
    foreign.mkdir(mode=0o555)
    own, direct, below = run(FOREIGN_FOLDER, home, foreign)
    assert own == {"error": None, "complete": True}
    for answer in (direct, below):
        assert answer["error"] == "The folder cannot be written."
        assert answer["next"] == "name another DEST"
    assert direct["received"] == str(foreign)
    assert list(foreign.iterdir()) == []
