"""The server as Python starts it, and how it stops."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tl_app
from tests.serving.servers import READY, START_SECONDS, Client, b64, command, ended, start
from tl_app import ConfigError, RunError
from tl_app.app.exporting import Wanted

SERVE = """
import sys
import time
import tl_app

tl_app.serve(sys.argv[1], port=0, name="mine", labels={"stable": 1, "next": 7})
print("stopped", "tensorflow" in sys.modules, file=sys.stderr)
"""


def test_it_answers_until_it_is_told_to_stop(exported: Path, pictures):
    words = [sys.executable, "-c", SERVE, str(exported / "light")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            told = [process.stderr.readline() for _ in range(4)]
            assert "mine has no version 7 for the label next" in "".join(told)
            found = READY.search("".join(told))
            assert found, told
            client = Client(found[1], pid=process.pid)
            body = {"instances": [b64(pictures[0])]}
            answer = client.post("/v1/models/mine/labels/stable:predict", body)
            assert answer.status == 200
            assert len(answer.json["predictions"]) == 1
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=START_SECONDS)
    assert process.returncode == 0
    assert said.splitlines()[-1] == "stopped False"


def test_a_version_that_cannot_be_loaded_is_told_in_the_metrics(exported: Path, tmp_path: Path):
    folder = shutil.copytree(exported / "light", tmp_path / "light")
    (folder / "2").mkdir()
    (folder / "2" / "model.tflite").write_bytes(b"junk")
    with command(folder) as client:
        assert 'tl_app_broken_versions{model="light"} 1.0' in client.get("/metrics").body.decode()
        states = client.get("/v1/models/light").json["model_version_status"]
        assert "tl-app export did not write it" in states[0]["status"]["error_message"]
        assert [state["state"] for state in states] == ["END", "AVAILABLE"]


def test_onnx_without_its_package_is_told_before_any_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed: tf2onnx") as told:
        Wanted(formats=("savedmodel", "onnx"))
    assert "tl_app[onnx]" in str(told.value)
    assert Wanted(formats=("savedmodel", "litert")).small == ("litert",)


def test_who_asks_a_small_format_without_a_server_is_told_how(exported: Path):
    with pytest.raises(RunError, match="This export has no SavedModel to ask") as told:
        tl_app.predict(exported / "light", ["a.jpg"])
    assert "tl-app serve" in str(told.value)


def test_what_cannot_be_is_refused(exported: Path):
    with pytest.raises(ConfigError, match="TLS takes a certificate and its key"):
        tl_app.serve(exported / "light", certificate="cert.pem")


def test_a_second_signal_stops_it_without_a_word(exported: Path):
    process, client, log = start(exported / "light")
    head = b"POST /v1/models/light:predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with client.raw() as waiting:
        waiting.sendall(head + b"Content-Length: 99\r\nExpect: 100-continue\r\n\r\n")
        assert b"100 Continue" in waiting.recv(1000), "it waits for the body"
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None, "it waits for what it accepted"
        process.send_signal(signal.SIGTERM)
        ended(process, log)
