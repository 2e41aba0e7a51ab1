"""Signals, kills and full disks: real ones, on real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.end_to_end.command_line import in_own_mounts, start_forked, tl_app, tl_app_forked
from tests.end_to_end.interrupting import assert_same_run, epochs_done, stop, wait_for_epochs
from tl_app.run import RunFolder

pytestmark = pytest.mark.slow

N_EPOCHS = 12
LONG = (
    "--image-size",
    "64",
    "--set",
    "export=false",
    "--set",
    f"phases.1.epochs={N_EPOCHS}",
    "--set",
    "phases.1.patience_epochs=null",
    "--set",
    "phases.1.dropout=0.2",
    "--set",
    "phases.1.learning_rate=2e-3",
)
SMALL = ("--backbone", "small", *LONG)

ALL_THREADS = {"TF_NUM_INTRAOP_THREADS": str(os.cpu_count())}
"""As users run it: a sum over threads must not depend on their order."""


def start(photos: Path, workplace: Path, name: str, options: Sequence[str]) -> ForkServerProcess:
    """A run whose standard streams are files in `workplace/NAME.log/`."""
    streams = workplace / f"{name}.log"
    streams.mkdir()
    arguments = ("train", photos, "--name", name, *options)
    return start_forked(*arguments, cwd=workplace, streams=streams, env=ALL_THREADS)


def on_all_threads(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return tl_app_forked(*arguments, cwd=cwd, env=ALL_THREADS)


def undisturbed(photos: Path, workplace: Path, name: str, options: Sequence[str]) -> RunFolder:
    done = on_all_threads("train", photos, "--name", name, *options, cwd=workplace)
    assert done.returncode == 0, done.stderr
    return RunFolder.open(name, workplace)


@pytest.fixture(scope="module")
def whole(photos: Path, workplace: Path) -> RunFolder:
    """A small run that nothing disturbs."""
    return undisturbed(photos, workplace, "whole", SMALL)


def test_killed_and_resumed_ends_bit_for_bit_the_same(photos, workplace):
    """On the default backbone, by the engine that was measured to be fastest."""
    whole = undisturbed(photos, workplace, "real", LONG)
    process = start(photos, workplace, "killed", LONG)
    run = workplace / "models" / "killed"
    wait_for_epochs(process, run, 5)
    assert stop(process, signal.SIGKILL) == -signal.SIGKILL
    assert 5 <= epochs_done(run) < N_EPOCHS
    done = on_all_threads("train", "--resume", "killed", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, RunFolder.open("killed", workplace))
    again = tl_app("train", "--resume", "killed", cwd=workplace)
    assert again.returncode == 0
    assert "complete" in again.stderr


def test_a_truncated_checkpoint_is_told_with_a_way_out_that_works(photos, workplace, whole):
    process = start(photos, workplace, "damaged", SMALL)
    wait_for_epochs(process, workplace / "models" / "damaged", 5)
    assert stop(process, signal.SIGKILL) == -signal.SIGKILL
    latest = workplace / "models" / "damaged" / "checkpoints" / "latest.npz"
    latest.write_bytes(latest.read_bytes()[:-1000])
    done = tl_app("train", "--resume", "damaged", cwd=workplace)
    assert done.returncode == 1
    assert "A checkpoint cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert f"rm -r {latest.parent}" in done.stderr
    shutil.rmtree(latest.parent)
    done = on_all_threads("train", "--resume", "damaged", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, RunFolder.open("damaged", workplace))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_resume(photos, workplace, whole, number, code):
    name = f"stopped-{code}"
    process = start(photos, workplace, name, SMALL)
    run = workplace / "models" / name
    wait_for_epochs(process, run, 3)
    assert stop(process, number) == code
    log = (workplace / f"{name}.log" / "stderr").read_text()
    assert "tl-app train --resume" in log
    assert "Traceback" not in log
    if number == signal.SIGTERM:
        done = on_all_threads("train", "--resume", f"models/{name}", cwd=workplace)
        assert done.returncode == 0, done.stderr
        assert_same_run(whole, RunFolder.open(name, workplace))


FULL_DISK = """
import os, subprocess, sys
from tl_app.cli.main import main
place, photos, size = sys.argv[1:4]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
code = main(["train", photos, "--output", place, "--name", "full", "--image-size", "64",
             "--set", "phases.1.epochs=2", "--backbone", "small"])
left = [os.path.join(base, name) for base, _, names in os.walk(place) for name in names]
print("CODE", code, "LEFT", *left, sep="\\n", file=sys.stderr)
subprocess.run(["mount", "-o", "remount,size=300m", place], check=True)
if "full/run.json" in " ".join(left):
    print("RESUMED", main(["train", "--resume", "full", "--output", place]), file=sys.stderr)
"""


@pytest.mark.parametrize("size", ["8k", "600k", "1m"])
def test_a_full_disk_is_one_message_and_the_run_goes_on_with_space(photos, tmp_path, size):
    done = in_own_mounts(FULL_DISK, tmp_path, photos, size)
    assert "The disk is full" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert "CODE\n1\n" in done.stderr
    left = done.stderr.split("LEFT\n")[1].split("RESUMED")[0].splitlines()
    # Temporary files have a dot in front; the lock is none.
    partial = [p for p in left if Path(p).name.startswith(".") and Path(p).name != ".lock"]
    assert partial == []
    if any(path.endswith("full/run.json") for path in left):
        assert "RESUMED 0" in done.stderr, done.stderr
    else:
        assert not any("/models/full" in path for path in left)
