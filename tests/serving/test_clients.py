"""The clients of `examples/` against the running server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.serving.servers import CLASS_NAMES, Engine, on_thread

CLIENTS = Path(__file__).parents[2] / "examples" / "clients"


@pytest.fixture
def files(pictures, tmp_path) -> list[Path]:
    paths = [tmp_path / "a b.jpg", tmp_path / "c.png"]
    for path, data in zip(paths, (pictures[0], pictures[3]), strict=True):
        path.write_bytes(data)
    return paths


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_lines_of_pictures(language, server, files, offline, tmp_path):
    url = f"{server.url}/v1/models/light"
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"x")
    if language == "python":
        command = [sys.executable, CLIENTS / "classify.py", url]
    else:
        command = [need("node"), CLIENTS / "classify.mjs", url]
    done = run(*command, *files, broken)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    for (path, label, share), file, told in zip(lines, files, offline[[0, 3]], strict=False):
        assert (path, label) == (str(file), CLASS_NAMES[told.argmax()])
        assert float(share) == pytest.approx(told.max(), abs=2e-4)
    assert lines[2] == [str(broken), "unusable", ""]
    printed = [word if word != url else f"{url}:predict" for word in command]
    assert run(*printed, *files, broken).stdout == done.stdout
    for misuse in (
        [*command[:-1]],
        [*command, "nofile.jpg"],
        [*command[:-1], "no address", files[0]],
    ):
        done = run(*misuse)
        assert done.returncode in (1, 2)
        assert done.stderr
        assert "Traceback" not in done.stderr
    wrong = [word if word != url else f"{server.url}/v1/models/nobody" for word in command]
    done = run(*wrong, *files)
    assert done.returncode == 1
    assert "Servable not found" in done.stderr


def test_curl(server, files, offline):
    need("curl")
    done = run(CLIENTS / "classify.sh", f"{server.url}/v1/models/light:predict", files[0])
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["predictions"]
    np.testing.assert_allclose(row["probabilities"][0], offline[0].max(), atol=1e-4)
    done = run(CLIENTS / "classify.sh", f"{server.url}/v1/models/nobody", files[0])
    assert done.returncode != 0
    assert "Servable not found" in done.stdout
    for misuse, said in (([], "usage"), ([server.url, "nofile.jpg"], "nofile.jpg cannot be read")):
        done = run(CLIENTS / "classify.sh", *misuse)
        assert done.returncode != 0
        assert said in done.stderr


def test_they_bear_a_token(files):
    with on_thread(Engine(), token="secret") as client:
        url = f"{client.url}/v1/models/m"
        for command in (
            [CLIENTS / "classify.sh", url, files[0]],
            [sys.executable, CLIENTS / "classify.py", url, files[0]],
            [need("node"), CLIENTS / "classify.mjs", url, files[0]],
        ):
            assert run(*command).returncode != 0
            # The engine of this test takes texts, not bytes of pictures that are no UTF-8.
            done = run(*command, TL_APP_TOKEN="secret")
            assert done.returncode == 0, done.stderr


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"This test needs {program}, which `make test` installs.")
    return found
