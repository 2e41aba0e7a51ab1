"""Real signals sent to real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tl_app import interrupt

# A command line whose `train` is `work`, below. SIGINT is set as a terminal would have it: a
# test run in the background hands on that it is ignored.
PRELUDE = """
import pathlib, signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)
from tl_app import interrupt
from tl_app.cli.main import main
from tl_app.errors import Interrupted

def ready(text="ready"):
    print(text, file=sys.stderr, flush=True)

def wait():
    for _ in range(3000):
        time.sleep(0.01)

app = types.ModuleType("tl_app.app")
sys.modules["tl_app.app"] = app
"""


@contextmanager
def command(work: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said "ready" from within `work`."""
    script = PRELUDE + textwrap.dedent(work)
    script += "\napp.train = work\nsys.exit(main(sys.argv[1:]))\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "train", "photos", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(process, "ready")
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if line.strip() == word:
            return
    raise AssertionError(f"the process never said {word!r}: {seen}")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_ends_the_command_at_once(number: signal.Signals, code: int) -> None:
    work = """
    def work(*args, **kwargs):
        ready()
        wait()
    """
    with command(work, "--json") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Stopped by" in err
    assert "Traceback" not in err
    assert json.loads(out)["exit_code"] == code


def test_a_deferred_section_saves_and_says_how_to_resume(tmp_path: Path) -> None:
    work = f"""
    def work(*args, **kwargs):
        with interrupt.deferred():
            for step in range(3000):
                if step == 0:
                    ready()
                time.sleep(0.01)  # a signal here must not cut the step
                number = interrupt.requested()
                if number is not None:
                    pathlib.Path({str(tmp_path / "saved")!r}).write_text(str(number))
                    raise Interrupted(number, next_step="tl-app train --resume models/r")
    """
    with command(work) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert (tmp_path / "saved").read_text() == "15"
    assert "tl-app train --resume models/r" in err


def test_a_second_signal_does_not_wait() -> None:
    work = """
    def work(*args, **kwargs):
        with interrupt.deferred():
            ready()
            while interrupt.requested() is None:
                time.sleep(0.01)
            ready("noted")
            wait()
    """
    with command(work) as process:
        process.send_signal(signal.SIGINT)
        wait_for(process, "noted")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_signal_that_a_section_did_not_look_for_is_not_lost() -> None:
    work = """
    def work(*args, **kwargs):
        with interrupt.deferred():
            ready()
            while interrupt.requested() is None:
                time.sleep(0.01)
        wait()
    """
    with command(work) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 143


def test_a_signal_swallowed_by_a_library_stops_the_next_section() -> None:
    work = """
    def work(*args, **kwargs):
        try:
            ready()
            wait()
        except Exception:
            ready("swallowed")
        with interrupt.deferred():
            wait()
    """
    with command(work) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 143


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As under `nohup`, or in the background of a script."""
    work = """
    def work(*args, **kwargs):
        ready()
        time.sleep(0.5)
        sys.exit(7)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    """
    with command(work) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 7


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in interrupt.SIGNALS]
    restore = interrupt.install()
    during = [signal.getsignal(number) for number in interrupt.SIGNALS]
    restore()
    assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before
    assert signal.SIG_IGN in before or during != before
    assert interrupt.requested() is None


def test_a_closed_pipe_is_quiet() -> None:
    """`tl-app config | head -1`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "tl_app", "config"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_missing_standard_output_is_no_crash() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + "import os; os.close(1); sys.exit(main(['config']))"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
