"""Whole processes, measured from outside: seconds, memory, and when each line was said."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_SECONDS = 0.2
SHOWN_LINES = 15


class ProcessFailed(Exception):
    """A measured process did not end well; the message holds its last lines."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended well.

    Attributes:
        seconds: from before its start to after its end.
        peak_memory_bytes: largest resident set, files mapped into memory included, of the
            process or of one of the children that it waited for.
        peak_anonymous_bytes: largest memory that no file stands behind, of the process and its
            children together; looked at every `SAMPLE_SECONDS`.
        stdout: all of standard output.
        lines: of standard error, each with the seconds since the start.
    """

    seconds: float
    peak_memory_bytes: int
    peak_anonymous_bytes: int
    stdout: str
    lines: tuple[tuple[float, str], ...]


def measured_environment(cache: Path) -> dict[str, str]:
    """This checkout's tl_app, and a cache of the measurement's own."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TL_APP_CACHE": str(cache)}


def run_measured(
    command: Sequence[str | os.PathLike[str]], *, environment: Mapping[str, str], folder: Path
) -> Finished:
    """Run `command` in `folder` to its end.

    The resident set that Linux counts for a child begins with its parent's: whoever measures
    stays small, and so imports no TensorFlow.

    Raises:
        ProcessFailed: the exit code is not 0.
    """
    lines: list[tuple[float, str]] = []
    peak_anonymous = 0
    is_over = threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        with process.stderr as stderr:
            for line in stderr:
                lines.append((time.perf_counter() - started, line.rstrip("\n")))

    def sample() -> None:
        nonlocal peak_anonymous
        while not is_over.wait(SAMPLE_SECONDS):
            peak_anonymous = max(peak_anonymous, anonymous_bytes(process.pid))

    with tempfile.TemporaryFile("w+", errors="replace") as stdout:
        started = time.perf_counter()
        process = subprocess.Popen(
            [os.fspath(word) for word in command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        threads = [threading.Thread(target=target, daemon=True) for target in (listen, sample)]
        for thread in threads:
            thread.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            is_over.set()
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        for thread in threads:
            thread.join(timeout=5)
        stdout.seek(0)
        text = stdout.read()
    if process.returncode != 0:
        last = "\n".join(line for _, line in lines[-SHOWN_LINES:])
        raise ProcessFailed(
            f"{' '.join(map(str, command))}\nended with {process.returncode}:\n{last}"
        )
    # ru_maxrss is in KiB on Linux.
    return Finished(seconds, usage.ru_maxrss * 1024, peak_anonymous, text, tuple(lines))


def anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process and all below it; 0 for what is gone already."""
    return sum(_anonymous_bytes(member) for member in _family(pid))


def _anonymous_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _family(pid: int) -> list[int]:
    found, todo = [], [pid]
    while todo:
        member = todo.pop()
        found.append(member)
        for listing in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                todo += map(int, listing.read_text().split())
            except OSError:
                continue
    return found
