"""The feature cache under real faults: full, closed, damaged, shared, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.command_line import in_own_mounts, start_forked, tl_app
from tests.end_to_end.photos import TRAIN_SMALL, draw
from tl_app.cli.main import main
from tl_app.features.table import INDEX
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow


def predictions(name: str, workplace: Path) -> np.ndarray:
    """Of all sides of a run."""
    run = RunFolder.open(name, workplace)
    return np.concatenate(
        [run.read_predictions(side).probabilities for side in ("train", "validation", "test")]
    )


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workplace with an undisturbed run and a cache of its own."""
    workplace = tmp_path_factory.mktemp("faults")
    done = train(photos, workplace, "whole")
    assert done.returncode == 0, done.stderr
    return workplace


def train(photos: Path, workplace: Path, name: str, **env: str) -> subprocess.CompletedProcess[str]:
    cache = {"TL_APP_CACHE": str(workplace / "cache"), **env}
    return tl_app("train", photos, "--name", name, *TRAIN_SMALL, cwd=workplace, env=cache)


def made(folder: Path) -> Path:
    """The folder, which is there now."""
    folder.mkdir()
    return folder


FULL_CACHE = """
import os, subprocess, sys
from tl_app.cli.main import main
cache, photos, output = sys.argv[1:4]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", cache], check=True)
os.environ["TL_APP_CACHE"] = cache
from tests.end_to_end.photos import TRAIN_FAST
# Features of a real backbone, large enough to be what fills the disk.
run = ["--output", output, "--name", "full", *TRAIN_FAST, "--set", "export=false"]
print("CODE", main(["train", photos, *run]), file=sys.stderr)
left = [name for _, _, names in os.walk(cache) for name in names if name.startswith(".")]
print("PARTIAL", left, file=sys.stderr)
subprocess.run(["mount", "-o", "remount,size=300m", cache], check=True)
print("RESUMED", main(["train", "--resume", "full", "--output", output]), file=sys.stderr)
"""


def test_a_full_disk_under_the_cache_is_told_and_the_run_goes_on_with_space(photos, tmp_path):
    """The cache is on a file system of its own, too."""
    done = in_own_mounts(FULL_CACHE, made(tmp_path / "cache"), photos, tmp_path)
    assert "The disk is full" in done.stderr, done.stderr
    assert "tl-app cache prune" in done.stderr
    assert "Traceback" not in done.stderr
    assert "CODE 1" in done.stderr
    assert "PARTIAL []" in done.stderr
    assert "RESUMED 0" in done.stderr, done.stderr


CLOSED_CACHE = """
import os, subprocess, sys
from tl_app.cli.main import main
cache, photos, output = sys.argv[1:4]
subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", cache], check=True)
os.environ["TL_APP_CACHE"] = cache
from tests.end_to_end.photos import TRAIN_SMALL
run = ["--output", output, "--name", "closed", *TRAIN_SMALL]
sys.exit(main(["train", photos, *run]))
"""


def test_a_closed_cache_folder_is_told_and_done_without(photos, tmp_path):
    done = in_own_mounts(CLOSED_CACHE, made(tmp_path / "cache"), photos, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{tmp_path / 'cache' / 'features'} cannot be written" in " ".join(done.stderr.split())
    assert "TL_APP_CACHE" in done.stderr
    assert list((tmp_path / "models" / ".features").rglob("*.rows"))


def test_a_damaged_cache_is_mended_in_silence(photos, whole):
    """Every file of it is cut short or filled with noise: the next run ends the same."""
    store = whole / "cache" / "features"
    files = [path for path in store.rglob("*") if path.is_file() and path.name != "lock"]
    assert len(files) > 10
    for i, path in enumerate(sorted(files)):
        content = path.read_bytes()
        path.write_bytes(os.urandom(len(content)) if i % 2 else content[: len(content) // 2])
    done = train(photos, whole, "mended")
    assert done.returncode == 0, done.stderr
    assert "Computing features" in done.stderr
    np.testing.assert_array_equal(predictions("whole", whole), predictions("mended", whole))
    again = tl_app(
        "audit", photos, "--backbone", "small", "--image-size", "64",
        cwd=whole, env={"TL_APP_CACHE": str(whole / "cache")},
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "Computing features" not in again.stderr


def test_two_runs_at_once_share_the_cache(photos, whole):
    cache = whole / "shared"
    runs = {}
    for name in ("left", "right"):
        streams = made(whole / f"{name}.log")
        runs[name] = start_forked(
            "train", photos, *TRAIN_SMALL, "--name", name,
            cwd=whole, streams=streams, env={"TL_APP_CACHE": str(cache)},
        )  # fmt: skip
    for name, run in runs.items():
        run.join(300)
        assert run.exitcode == 0, (whole / f"{name}.log" / "stderr").read_text()
    for name in ("left", "right"):
        np.testing.assert_array_equal(predictions("whole", whole), predictions(name, whole))
    for table in (cache / "features" / "features").iterdir():
        keys = [
            bytes(key)
            for path in table.glob("*.index")
            for key in np.frombuffer(path.read_bytes(), INDEX)["key"]
        ]
        assert max(Counter(keys).values()) == 1


SMALL_CHUNKS = """
import sys
from tl_app.features import table
table.CHUNK_BYTES = 2_000
from tests.end_to_end.small_backbone import register
from tl_app.cli.main import main
register()
sys.exit(main(sys.argv[1:]))
"""


def test_kill_9_while_features_are_computed_loses_nothing(photos, whole):
    cache = whole / "killed-cache"
    environment = {**os.environ, "TL_APP_CACHE": str(cache)}
    arguments = ["train", str(photos), "--name", "killed", *TRAIN_SMALL]
    process = subprocess.Popen(
        [sys.executable, "-c", SMALL_CHUNKS, *arguments],
        cwd=whole,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    tables = cache / "features" / "features"
    deadline = time.monotonic() + 120
    while len(list(tables.glob("*/*.index"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = json.loads((whole / "models" / "killed" / "run.json").read_text())
    assert state["status"] == "training"
    done = tl_app("train", "--resume", "killed", cwd=whole, env={"TL_APP_CACHE": str(cache)})
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(predictions("whole", whole), predictions("killed", whole))


def test_a_picture_replaced_after_the_scan_is_told(tmp_path, capfd, monkeypatch):
    import tl_app.app.sides as sides

    # A cache of its own: what another test kept of the same pixels is never read again.
    monkeypatch.setenv("TL_APP_CACHE", str(tmp_path / "cache"))
    photos = tmp_path / "photos"
    for kind in range(2):
        (photos / f"class{kind}").mkdir(parents=True)
        for i in range(6):
            Image.fromarray(draw(kind, i)).save(photos / f"class{kind}" / f"{i}.png")
    make_split = sides.make_split

    def replacing(*args, **kwargs):
        dataset, split = make_split(*args, **kwargs)
        row = int(split.indices("train")[0])
        Image.fromarray(draw(2, 0)).save(photos / dataset.examples[row].path)
        return dataset, split

    monkeypatch.setattr(sides, "make_split", replacing)
    code = main(["train", str(photos), "--output", str(tmp_path / "out"), "--image-size", "64"])
    text = capfd.readouterr().err
    assert code == 3, text
    assert "It is not the file that it was" in text
    assert "photos/class" in text
    assert "Traceback" not in text
