"""Running servers for tests: the command itself, and the application with an engine of the test's
own on a thread; and a client that sends what it is told to."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_app.app.serving import LOOPBACK_NAMES
from tl_app.engines.litert_engine import to_litert
from tl_app.engines.onnxruntime_engine import to_onnx
from tl_app.export.assets import write_assets
from tl_app.export.saved_model import write_saved_model
from tl_app.export.served_input import served_pictures
from tl_app.export.small_model import file_name
from tl_app.export.versions import candidate_folder, publish
from tl_app.records import Preprocessing
from tl_app.serving.models import Model, Models, Version
from tl_app.serving.running import Address, listen
from tl_app.serving.running import serve as run_server
from tl_app.serving.signatures import DEFAULT, Signature, Tensor, Tensors
from tl_app.serving.web import Limits, build_app

SIZE = 32
CLASS_NAMES = ("cat", "dog", '<img src=x onerror="alert(1)">', "Käse", "e", "f")
PREPROCESSING = Preprocessing(SIZE, "crop", (0, 65535), 10**6)
READY = re.compile(r"(https?://\S+)/v1/models/")
START_SECONDS = 60


def classifier(seed: int = 0) -> keras.Model:
    """Pixels to probabilities that differ from picture to picture."""
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 64, offset=-2)(pixels)
    start = keras.initializers.GlorotNormal(seed=seed)
    x = keras.layers.Conv2D(8, 5, strides=3, activation="relu", kernel_initializer=start)(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(len(CLASS_NAMES), kernel_initializer=start)(x)
    return keras.Model(pixels, keras.layers.Softmax()(x))


def publish_small(model: keras.Model, destination: Path, *formats: str) -> Path:
    """A version with files of small formats."""
    writers = {"litert": to_litert, "onnx": to_onnx}
    with candidate_folder(destination) as candidate:
        (candidate / "assets").mkdir(parents=True)
        write_assets(candidate / "assets", "image", PREPROCESSING, CLASS_NAMES)
        for name in formats:
            (candidate / file_name(name)).write_bytes(writers[name](model))
        return publish(candidate, destination)


def publish_saved_model(model: keras.Model, destination: Path) -> Path:
    return write_saved_model(model, served_pictures(PREPROCESSING), CLASS_NAMES, destination)


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Asks one server.

    Attributes:
        url: of it, without a path.
        headers: that go with every request.
        pid: of its process.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    pid: int = 0

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {**self.headers, **headers})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def post(self, path: str, values: Any) -> Reply:
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        return self.ask("POST", path, body, {"Content-Type": "application/json"})

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def memory_bytes(self) -> int:
        """Of the process, without what it shares with files."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * sum(int(n) for n in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", status))


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


@contextlib.contextmanager
def command(*arguments: object, environment: Mapping[str, str] = {}) -> Iterator[Client]:
    """`tl-app serve` in a process of its own, on a free port."""
    process, client, log = start(*arguments, environment=environment)
    try:
        yield client
    finally:
        stop(process, log)


def start(
    *arguments: object, environment: Mapping[str, str] = {}
) -> tuple[subprocess.Popen[bytes], Client, Path]:
    """The process, who asks it, and the file that it writes to: nobody reads a pipe meanwhile."""
    words = [sys.executable, "-m", "tl_app", "serve", *map(str, arguments), "--port", "0"]
    log = Path(tempfile.mkstemp(prefix="serve-", suffix=".log")[1])
    with log.open("wb") as stderr:
        process = subprocess.Popen(words, stderr=stderr, env={**os.environ, **environment})
    until = time.monotonic() + START_SECONDS
    while True:
        if found := READY.search(log.read_text(errors="replace")):
            return process, Client(found[1], pid=process.pid), log
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            process.wait()
            raise AssertionError(log.read_text(errors="replace"))
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], log: Path) -> None:
    """Let it finish; it must end well, and have had no fault."""
    process.send_signal(signal.SIGTERM)
    ended(process, log)


def ended(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for one that was told to finish."""
    code = process.wait(START_SECONDS)
    said = log.read_text(errors="replace")
    log.unlink()
    assert code == 0, said
    assert "Traceback" not in said
    assert len(said) < 10_000, "bad requests fill the log"


class Engine:
    """A servable that waits until it is let go on, and counts."""

    engine, modality, input_name, rows_each = "test", "text", "texts", 1
    n_callers: int | None = None
    max_pixels: int | None = None

    def __init__(self, mark: str = "a", seconds: float = 0.0) -> None:
        self.mark, self.seconds = mark, seconds
        self.go_on = threading.Event()
        self.go_on.set()
        self.n_rows = 0
        self.together: threading.Barrier | None = None
        texts = {"texts": Tensor("DT_STRING", (None,))}
        outputs = {
            "labels": Tensor("DT_STRING", (None, 1)),
            "probabilities": Tensor("DT_FLOAT", (None, 1)),
            "status": Tensor("DT_STRING", (None,)),
        }
        self.signatures = {
            DEFAULT: Signature(texts, outputs),
            "two": Signature({**texts, "n": Tensor("DT_INT32", (None, 2))}, outputs),
        }

    def run(self, signature: str, inputs: Tensors) -> Tensors:
        self.go_on.wait(30)
        if self.together is not None:
            self.together.wait(30)
        time.sleep(self.seconds)
        n = len(inputs["texts"])
        self.n_rows += n
        if b"break" in inputs["texts"]:
            raise ZeroDivisionError("a fault of the engine's")
        return {
            "labels": [[self.mark.encode() + text] for text in inputs["texts"]],
            "probabilities": np.full((n, 1), np.nan if signature == "two" else 1, np.float32),
            "status": [b"ok"] * n,
        }


@contextlib.contextmanager
def on_thread(
    engine: Engine, *, limits: Limits | None = None, token: str | None = None, n_threads: int = 2
) -> Iterator[Client]:
    """The application around `engine`, as model "m", version 1."""
    model = Model("m", Path("/nowhere"), versions={1: Version(1, "AVAILABLE", engine)})
    app = build_app(
        Models({"m": model}, lambda folder: engine),
        n_threads=n_threads,
        limits=limits,
        token=token,
        hosts=LOOPBACK_NAMES,
    )
    address = Address(port=0)
    listening = listen(address)
    ready = threading.Event()
    stop: list[Any] = []

    def tell(server: Any) -> None:
        stop.append(server)
        ready.set()

    thread = threading.Thread(target=run_server, args=(app, listening, address, tell), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield Client(address.url(listening.getsockname()[1]), pid=os.getpid())
    finally:
        engine.go_on.set()
        stop[0].should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive()
