"""The command line as cheaply as a test allows: in this process, in a fork, from the start.

Most of a short command's time goes into importing TensorFlow and into tracing what decodes
pictures. `tl_app` calls the command line here, with the folder, environment and standard streams of
a command of its own. What is killed, or must find libraries unloaded, is a fork of a server process
that has imported TensorFlow (`tl_app_forked`, `start_forked`); what is about starting up runs
`tl_app_afresh`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

PRELOADED = "tests.end_to_end.preloaded"
LIMIT_SECONDS = 600
CLONE_NEWNS = 0x00020000
"""Of Linux: a process gets mounts of its own."""


def tl_app(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process; what it wrote and how it ended."""
    import keras

    from tl_app.cli.main import main

    command = list(map(str, arguments))
    with tempfile.TemporaryDirectory() as streams:
        with _elsewhere(cwd, env or {}), _streams_into(Path(streams)):
            code = main(command)
        # What one command built is nothing to the next.
        keras.backend.clear_session()
        gc.collect()
        return _done(command, code, Path(streams))


def tl_app_forked(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    command = list(map(str, arguments))
    with tempfile.TemporaryDirectory() as streams:
        process = start_forked(*arguments, cwd=cwd, streams=Path(streams), env=env)
        return _done(command, _joined(process, command), Path(streams))


def start_forked(
    *arguments: object, cwd: Path, streams: Path, env: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """A running command, whose `stdout` and `stderr` are files in the folder `streams`."""
    environment = {**os.environ, **(env or {})}
    return _fork(_run, list(map(str, arguments)), str(cwd), environment, str(streams))


def _fork(target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def _joined(process: ForkServerProcess, command: list[str]) -> int:
    process.join(LIMIT_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(command, LIMIT_SECONDS)
    assert process.exitcode is not None
    return process.exitcode


def tl_app_afresh(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same as users run it, from the interpreter's start."""
    return subprocess.run(
        [sys.executable, "-m", "tl_app", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def in_own_mounts(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script that may mount what it likes; nobody else sees it. It finds TensorFlow loaded
    where its user may unshare mounts by himself."""
    words = list(map(str, arguments))
    if os.getuid() != 0:
        return subprocess.run(
            ["unshare", "--mount", "--map-root-user", sys.executable, "-c", script, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )
    return _forked_script(script, words, own_mounts=True)


def script_forked(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own that finds TensorFlow loaded."""
    return _forked_script(script, list(map(str, arguments)), own_mounts=False)


def _forked_script(
    script: str, words: list[str], *, own_mounts: bool
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as streams:
        code = _joined(_fork(_run_script, script, words, streams, own_mounts), words)
        return _done(words, code, Path(streams))


def tl_app_json(*arguments: object, cwd: Path) -> dict[str, Any]:
    """The JSON document that a verb answers with; it must be all of standard output."""
    done = tl_app(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _done(command: list[str], code: int, streams: Path) -> subprocess.CompletedProcess[str]:
    out, err = (
        (streams / name).read_text(encoding="utf-8", errors="replace")
        if (streams / name).exists()
        else ""
        for name in ("stdout", "stderr")
    )
    return subprocess.CompletedProcess(command, code, out, err)


@contextlib.contextmanager
def _elsewhere(cwd: Path, env: Mapping[str, str]) -> Iterator[None]:
    before, variables = Path.cwd(), dict(os.environ)
    os.chdir(cwd)
    os.environ.update(env)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(variables)


@contextlib.contextmanager
def _streams_into(folder: Path) -> Iterator[None]:
    """Standard output and error of this process, from Python and from C, into files."""
    with contextlib.ExitStack() as undo:
        for number, name in ((1, "stdout"), (2, "stderr")):
            getattr(sys, name).flush()
            kept = os.dup(number)
            undo.callback(os.close, kept)
            file = os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(file, number)
            os.close(file)
            undo.callback(os.dup2, kept, number)
            stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            undo.callback(setattr, sys, name, getattr(sys, name))
            undo.callback(stream.close)
            setattr(sys, name, stream)
        yield


def _run(command: list[str], cwd: str, env: dict[str, str], streams: str) -> None:
    """In the forked process."""
    # A shell's background job, and all that it starts, would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _write_into(streams)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["tl-app", *command]
    from tl_app.cli.main import main

    _leave(main())


def _run_script(script: str, words: list[str], streams: str, own_mounts: bool) -> None:
    """In the forked process: as `python -c SCRIPT` would run it, or under `unshare --mount`."""
    _write_into(streams)
    if own_mounts:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    sys.argv = ["-c", *words]
    code = 0
    try:
        exec(compile(script, "script", "exec"), {"__name__": "__main__"})
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    _leave(code)


def _write_into(streams: str) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(f"{streams}/{name}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
