"""The command line in processes of its own, at the price of a fork.

Most of a short command's time goes into importing TensorFlow. A server process imports it once
and forks for every command: each still has its own process, environment, folder, standard streams
and exit code. What is about starting up, signals or the machine runs `tl_app_afresh`, or
a process that the test itself starts.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PRELOADED = "tests.end_to_end.preloaded"


def tl_app(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run the command line; what it wrote and how it ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    command = ["tl-app", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as streams:
        process = context.Process(
            target=_run, args=(command, str(cwd), {**os.environ, **(env or {})}, streams)
        )
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        out, err = (
            (Path(streams) / name).read_text(encoding="utf-8", errors="replace")
            if (Path(streams) / name).exists()
            else ""
            for name in ("stdout", "stderr")
        )
    assert process.exitcode is not None
    return subprocess.CompletedProcess(command, process.exitcode, out, err)


def tl_app_afresh(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The same as users run it, from the interpreter's start."""
    return subprocess.run(
        [sys.executable, "-m", "tl_app", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def tl_app_json(*arguments: object, cwd: Path) -> dict[str, Any]:
    """The JSON document that a verb answers with; it must be all of standard output."""
    done = tl_app(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _run(command: list[str], cwd: str, env: dict[str, str], streams: str) -> None:
    """In the forked process."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(f"{streams}/{name}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = command
    from tl_app.cli.main import main

    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
