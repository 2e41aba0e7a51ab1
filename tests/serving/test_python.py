"""The server as Python starts it, and how it stops."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tl_app
from tests.serving.servers import READY, START_SECONDS, Client, b64, ended, start
from tl_app import ConfigError, RunError

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


def test_who_asks_a_small_format_without_a_server_is_told_how(exported: Path):
    with pytest.raises(RunError, match="This export has no SavedModel to ask") as told:
        tl_app.predict(exported / "light", ["a.jpg"])
    assert "tl-app serve" in str(told.value)


def test_what_cannot_be_is_refused(exported: Path):
    with pytest.raises(ConfigError, match="TLS takes a certificate and its key"):
        tl_app.serve(exported / "light", certificate="cert.pem")


def test_a_second_signal_stops_it_without_a_word(exported: Path):
    process, client, log = start(exported / "light")
    head = (
        b"POST /v1/models/light:predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
    )
    with client.raw() as waiting:
        waiting.sendall(head)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None, "it waits for what it accepted"
        process.send_signal(signal.SIGTERM)
        ended(process, log)
