"""The server under a mixed load: every good answer is the model's own, and nothing grows.

    python -m benchmarks.serving_load EXPORT_FOLDER PHOTOS [--seconds 600] [--clients 4]

A fifth of the requests are bad: cut-off pictures, bodies of 100 MB, pictures that unpack to a
gigabyte, wrong base64, wrong shapes, unknown models, clients that are slow or go away. Prints what
came of each kind, the times of good requests, and the server's memory before and after.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import re
import socket
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving import free_port, jpegs, running
from tl_app.export.small_model import SmallModel, small_formats
from tl_app.export.versions import taken_numbers

BAD_SHARE = 0.2
LARGE_BYTES = 100_000_000
AGREEMENT = 1e-4
"""Of every probability, with the same model asked without a server."""

WARM_UP_SECONDS = 5.0
GROWTH_BYTES = 30_000_000


@dataclass
class Outcome:
    """What a load ended with.

    Attributes:
        n_good: good requests that were answered.
        seconds: of each of them.
        bad: kind of a bad request and what came of it -> how often.
        faults: what should not have been, in words.
        memory_bytes: of the server, before and after.
    """

    n_good: int = 0
    seconds: list[float] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    memory_bytes: tuple[int, int] = (0, 0)

    @property
    def growth_bytes(self) -> int:
        return self.memory_bytes[1] - self.memory_bytes[0]


def png_bomb(side: int = 30_000) -> bytes:
    """A small file of a picture of so many pixels a side."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        sum_ = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + sum_

    header = side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    rows = zlib.compress(bytes(50_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


class Load:
    """Clients that ask one model of one server.

    Args:
        port: of the server, on this machine.
        name: of the model.
        pictures: encoded, that are asked about.
        told: float32, shape (n_pictures, n_classes), what the model says of them.
    """

    def __init__(self, port: int, name: str, pictures: Sequence[bytes], told: np.ndarray) -> None:
        self._port, self._name = port, name
        self._pictures, self._told = pictures, told
        self._bodies = [self._body(picture) for picture in pictures]
        self._bomb = self._body(png_bomb())
        self.kinds: dict[str, Callable[[random.Random], str]] = {
            "cut-off picture": self._cut_off,
            "picture that unpacks to a gigabyte": lambda _: self._unusable(self._bomb),
            "body of 100 MB": self._large,
            "wrong base64": lambda _: self._refused(b'{"instances": [{"b64": "!!!!"}]}'),
            "no JSON": lambda _: self._refused(b'{"instances": ['),
            "wrong shape": lambda _: self._refused(
                b'{"signature_name": "predict_tensor", "instances": [[1, 2], [3]]}'
            ),
            "unknown model": lambda _: self._status("nobody", self._bodies[0], 404),
            "slow client": self._slow,
            "half-closed": self._half_closed,
        }

    @staticmethod
    def _body(picture: bytes) -> bytes:
        instance = {"b64": base64.b64encode(picture).decode()}
        values = {"signature_name": "probabilities", "instances": [instance]}
        return json.dumps(values).encode()

    def run(self, seconds: float, n_clients: int, seed: int = 0) -> Outcome:
        """Ask for so long; the server's memory is not looked at here."""
        outcome, lock = Outcome(), threading.Lock()
        until = time.monotonic() + seconds

        def work(number: int) -> None:
            chance = random.Random(1000 * seed + number)
            connection = self._connect()
            while time.monotonic() < until:
                if chance.random() < BAD_SHARE:
                    kind = chance.choice(list(self.kinds))
                    try:
                        what = self.kinds[kind](chance)
                    except OSError as error:
                        what = f"FAULT {type(error).__name__}: {error}"
                    with lock:
                        outcome.bad[f"{kind}: {what}"] += 1
                        if what.startswith("FAULT"):
                            outcome.faults.append(f"{kind}: {what}")
                    continue
                row = chance.randrange(len(self._pictures))
                started = time.perf_counter()
                try:
                    fault = self._good(connection, row)
                except (OSError, http.client.HTTPException) as error:
                    fault = f"a good request: {type(error).__name__}: {error}"
                    connection = self._connect()
                with lock:
                    outcome.n_good += 1
                    outcome.seconds.append(time.perf_counter() - started)
                    outcome.faults += [fault] if fault else []
            connection.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(n_clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcome

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    def _good(self, connection: http.client.HTTPConnection, row: int) -> str | None:
        status, answer = self._ask(connection, self._name, self._bodies[row])
        if status != 200:
            return f"a good request: status {status}: {answer[:200]!r}"
        (told,) = json.loads(answer)["predictions"]
        difference = float(np.abs(np.array(told["probabilities"]) - self._told[row]).max())
        # Written so that what is not a number is a fault.
        return None if difference <= AGREEMENT else f"picture {row} differs by {difference:.2g}"

    def _ask(
        self, connection: http.client.HTTPConnection, name: str, body: bytes
    ) -> tuple[int, bytes]:
        connection.request("POST", f"/v1/models/{name}:predict", body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _status(self, name: str, body: bytes, expected: int) -> str:
        connection = self._connect()
        try:
            status, _ = self._ask(connection, name, body)
        finally:
            connection.close()
        return str(status) if status == expected else f"FAULT {status}"

    def _refused(self, body: bytes) -> str:
        return self._status(self._name, body, 400)

    def _unusable(self, body: bytes) -> str:
        connection = self._connect()
        try:
            status, answer = self._ask(connection, self._name, body)
        finally:
            connection.close()
        if status != 200:
            return f"FAULT {status}"
        (told,) = json.loads(answer)["predictions"]
        return told["status"] if told["status"] == "unusable" else f"FAULT {told['status']}"

    def _cut_off(self, chance: random.Random) -> str:
        picture = chance.choice(self._pictures)
        return self._unusable(self._body(picture[: len(picture) // 2]))

    def _large(self, chance: random.Random) -> str:
        try:
            return self._status(self._name, bytes(LARGE_BYTES), 413)
        except (ConnectionResetError, BrokenPipeError):
            return "cut off"  # it did not listen to the end

    def _head(self, length: int) -> bytes:
        return (
            f"POST /v1/models/{self._name}:predict HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self._port}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    def _slow(self, chance: random.Random) -> str:
        """A byte at a time, and gone before the end."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            for byte in self._head(1000)[: chance.randrange(1, 60)]:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)
        return "gone"

    def _half_closed(self, chance: random.Random) -> str:
        body = chance.choice(self._bodies)
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall(self._head(len(body)) + body[: chance.randrange(len(body))])
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while connection.recv(1000):
                    pass
        return "closed"


def memory_bytes(pid: int) -> int:
    """Of a process, without what it shares with files."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * sum(int(n) for n in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", status))


def offline(version: Path, pictures: Sequence[bytes]) -> np.ndarray:
    """What the model of a version says, without a server."""
    model = SmallModel(version, small_formats(version)[0])
    return np.stack([row for row in model.answer_each(pictures) if isinstance(row, np.ndarray)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path, help="a folder of versions in a small format")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=4)
    arguments = parser.parse_args()
    version = arguments.export / str(taken_numbers(arguments.export)[-1])
    pictures = jpegs(arguments.photos)
    told = offline(version, pictures)
    port = free_port()
    command = [sys.executable, "-m", "tl_app", "serve", str(arguments.export), "--quiet"]
    url = f"http://127.0.0.1:{port}/healthz"
    with running([*command, "--port", str(port)], url) as process:
        load = Load(port, arguments.export.resolve().name, pictures, told)
        load.run(WARM_UP_SECONDS, arguments.clients, seed=1)
        before = memory_bytes(process.pid)
        outcome = load.run(arguments.seconds, arguments.clients)
        time.sleep(2)
        outcome.memory_bytes = (before, memory_bytes(process.pid))
        is_alive = process.poll() is None
    print(describe(outcome))
    return 0 if is_alive and not outcome.faults and outcome.growth_bytes < GROWTH_BYTES else 1


def describe(outcome: Outcome) -> str:
    p50, p99 = np.percentile(outcome.seconds, [50, 99]) * 1000
    before, after = (n / 1e6 for n in outcome.memory_bytes)
    lines = [
        f"good requests     {outcome.n_good:,}, p50 {p50:.0f} ms, p99 {p99:.0f} ms",
        f"faults            {len(outcome.faults)}",
        f"server's memory   {before:.0f} MB before, {after:.0f} MB after "
        f"({after - before:+.1f}; at most +{GROWTH_BYTES / 1e6:.0f})",
        "",
        *(f"{n:8,}  {kind}" for kind, n in sorted(outcome.bad.items())),
        *outcome.faults[:20],
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
