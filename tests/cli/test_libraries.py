"""What is dropped of a library's chatter, and what is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from tl_app.libraries import NOISE, hushed, loading

CHATTER = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:17.3 12 port.cc:153] oneDNN custom operations are on.\n"
    b"E0000 00:00:17.3 12 cuda_platform.cc:52] failed call to cuInit: INTERNAL\n"
)


def test_start_up_lines_are_dropped_and_others_kept(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")  # put back afterwards
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with loading():
        os.write(2, CHATTER + b"E0000 00:00:17.3 12 x.cc:1] out of memory\nplain words\n")
    kept = capfd.readouterr().err.splitlines()
    assert kept == ["E0000 00:00:17.3 12 x.cc:1] out of memory", "plain words"]


def test_errors_pass_and_the_stream_comes_back(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")  # put back afterwards
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with pytest.raises(ImportError), loading():
        raise ImportError("tensorflow")
    os.write(2, CHATTER[:20])
    assert capfd.readouterr().err == CHATTER[:20].decode()


def test_what_is_loaded_later_is_loaded_as_quietly(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")  # put back afterwards
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    with loading():
        pass
    with loading():
        os.write(2, CHATTER)
    assert capfd.readouterr().err == ""


def test_who_asks_for_the_log_gets_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with loading():
        os.write(2, CHATTER)
    assert capfd.readouterr().err == CHATTER.decode()


@pytest.mark.slow
def test_the_python_api_is_as_quiet_as_the_command_line() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, tl_app\n"
            "try: tl_app.evaluate('no_such_run')\n"
            "except tl_app.RunError: print('tensorflow' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.slow
def test_the_doctor_speaks_of_this_machine_and_says_nothing_else() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", "tl_app", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert "tensorflow" in done.stdout
    assert "efficientnet_lite0" in done.stdout.partition("Weights that are here:")[2]


def test_the_stream_comes_back_where_several_threads_hush_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def chatter() -> None:
        for _ in range(20):
            with hushed(NOISE):
                os.write(2, CHATTER + b"kept\n")

    threads = [threading.Thread(target=chatter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"after\n")
    assert capfd.readouterr().err.splitlines() == ["kept"] * 80 + ["after"]
