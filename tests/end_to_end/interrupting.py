"""Stopping a run at a chosen place, and telling whether two runs ended the same."""

from __future__ import annotations

import json
import os
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np

from tl_app.run import RunFolder


def epochs_done(run: Path) -> int:
    """Finished epochs by the last checkpoint."""
    try:
        with (run / "checkpoints" / "latest.npz").open("rb") as stream, np.load(stream) as file:
            return len(json.loads(file["state"].tobytes())["history"])
    except (FileNotFoundError, ValueError):
        return 0


def wait_for_epochs(process: ForkServerProcess, run: Path, n_epochs: int) -> None:
    deadline = time.monotonic() + 240
    while epochs_done(run) < n_epochs:
        assert process.exitcode is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def stop(process: ForkServerProcess, number: int) -> int | None:
    """Send a signal and wait; how the process ended."""
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    return process.exitcode


def assert_same_run(left: RunFolder, right: RunFolder) -> None:
    best = [next(iter(run.checkpoints.glob("best-*.npz"))) for run in (left, right)]
    assert best[0].name == best[1].name
    for name in best[0].name, "latest.npz":
        with np.load(left.checkpoints / name) as a, np.load(right.checkpoints / name) as b:
            assert a.files == b.files
            for key in a.files:
                if key != "state":
                    np.testing.assert_array_equal(a[key], b[key])
    for side in ("train", "validation", "test"):
        np.testing.assert_array_equal(
            left.read_predictions(side).probabilities, right.read_predictions(side).probabilities
        )
    histories = [json.loads(run.history_file.read_text()) for run in (left, right)]
    for a, b in zip(*histories, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
