"""A full disk and a folder of somebody else, for real, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# What both processes begin with: an export of some 400 KB that is ready to be written. It
# decodes nothing, since the decoder takes seconds to build and the disk is what is tried.
PROLOGUE = """
import json, os, sys
from pathlib import Path
import keras
import tensorflow as tf
from tl_app.errors import RunError, StorageError
from tl_app.export import served_input
from tl_app.export.saved_model import write_saved_model
from tl_app.export.served_input import served_pictures
from tl_app.export.versions import MODEL_FILE, find_version
from tl_app.records import Preprocessing

served_input.build_preprocess = lambda *_, **__: lambda encoded: tf.zeros((32, 32, 3))
pixels = keras.Input((32, 32, 3))
x = keras.layers.GlobalAveragePooling2D(name="pool")(pixels)
x = keras.layers.Dense(4000)(x)
model = keras.Model(pixels, keras.layers.Dense(16, activation="softmax")(x))
preprocessing = Preprocessing(32, "squash", (0, 255), 10**6)

def export(destination):
    try:
        served = served_pictures(preprocessing)
        folder = write_saved_model(model, served, [str(i) for i in range(16)], destination)
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
closed = Path(sys.argv[3])
places = (home / "second", foreign, foreign / "below", closed, closed / "below")
answers = [export(place) for place in places]
try:
    find_version(closed)
except RunError as error:
    answers.append(error.problem)
print(json.dumps(answers))
"""


def run(script: str, *arguments: object, prefix: tuple[str, ...] = ()) -> list:
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
def reachable_folder():
    """A folder that every user can walk to; pytest closes its own to others, again and again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_folders_of_somebody_else_are_told(reachable_folder):
    home, foreign, closed = (reachable_folder / name for name in ("home", "foreign", "closed"))
    home.mkdir()
    foreign.mkdir(mode=0o555)
    (closed / "1").mkdir(parents=True)
    (closed / "1" / "saved_model.pb").write_bytes(b"")
    closed.chmod(0o000)
    own, direct, below, shut, within_shut, loaded = run(FOREIGN_FOLDER, home, foreign, closed)
    assert own == {"error": None, "complete": True}
    for answer in (direct, below, shut, within_shut):
        assert answer["error"] == "The folder cannot be written."
        assert answer["next"] == "name another DEST"
    assert direct["received"] == str(foreign)
    assert loaded == "This user may not read the folder."
    closed.chmod(0o700)
    assert list(foreign.iterdir()) == []
    assert [path.name for path in closed.iterdir()] == ["1"]
