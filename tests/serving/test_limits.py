"""What a request may take, who may ask, and what happens at the end."""

from __future__ import annotations

import http.client
import io
import json
import select
import signal
import socket
import ssl
import subprocess
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from PIL import Image

from tests.inputs.makers import png_chunk
from tests.serving.servers import Client, Engine, b64, command, ended, on_thread, start
from tl_app.cli.main import main
from tl_app.serving import running
from tl_app.serving.web import Limits

ASK = "/v1/models/m:predict"
ONE = {"instances": ["x"]}


def head(client: Client, extra: str) -> bytes:
    return f"POST {ASK} HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n{extra}\r\n".encode()


def answer_of(connection: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_a_body_that_is_too_large_is_not_read():
    with on_thread(Engine(), limits=Limits(body_bytes=1000)) as client:
        with client.raw() as connection:
            connection.sendall(head(client, "Content-Length: 100000000\r\n"))
            assert answer_of(connection).status == 413
            assert is_closed(connection)
        with client.raw() as connection:  # it does not say how large it is
            connection.sendall(head(client, "Transfer-Encoding: chunked\r\n"))
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
            answer = answer_of(connection)
            assert answer.status == 413
            assert b"1,000 bytes" in answer.read()
        assert client.post(ASK, ONE).status == 200


def test_a_compressed_body_is_refused():
    with on_thread(Engine()) as client:
        body = zlib.compress(json.dumps(ONE).encode())
        answer = client.ask("POST", ASK, body, {"Content-Encoding": "deflate"})
        assert answer.status == 415


def test_slow_clients_are_given_up(monkeypatch):
    monkeypatch.setattr(running, "HEADER_SECONDS", 0.3)
    with on_thread(Engine(), limits=Limits(body_seconds=0.3)) as client:
        with client.raw() as connection:
            connection.sendall(b"POST /v1/mod")
            assert is_closed(connection)
        with client.raw() as connection:
            assert is_closed(connection)
        with client.raw() as connection:
            connection.sendall(head(client, "Content-Length: 10\r\n") + b"{")
            assert answer_of(connection).status == 408
            assert is_closed(connection)
        with client.raw() as connection:  # one that keeps its connection, but asks in time
            for _ in range(3):
                connection.sendall(head(client, "Content-Length: 2\r\n") + b"{}")
                answer = answer_of(connection)
                assert answer.status == 400
                answer.read()
                time.sleep(0.15)


def test_headers_without_an_end_are_given_up():
    with on_thread(Engine()) as client, client.raw() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            connection.sendall(b"x" * 100_000_000)
        assert client.get("/healthz").status == 200


def test_a_body_that_nobody_reads_holds_no_connection():
    with on_thread(Engine()) as client, client.raw() as connection:
        connection.sendall(
            head(client, "Transfer-Encoding: chunked\r\n").replace(b"/m:", b"/nobody:")
        )
        assert answer_of(connection).status == 404
        assert is_closed(connection)


def test_a_plain_client_sees_that_its_body_was_too_large():
    with on_thread(Engine(), limits=Limits(body_bytes=1000)) as client:
        for _ in range(3):
            assert client.post(ASK, b"x" * 20_000_000).status == 413


def test_nothing_is_computed_for_who_has_gone():
    engine = Engine()
    engine.go_on.clear()
    with on_thread(engine, n_threads=1) as client:
        with client.raw() as connection:
            body = json.dumps({"instances": ["x"] * 50}).encode()
            connection.sendall(head(client, f"Content-Length: {len(body)}\r\n") + body)
            until = time.monotonic() + 10
            while b"tl_app_waiting_rows 50.0" not in client.get("/metrics").body:
                assert time.monotonic() < until
        # Only what a thread has begun is left.
        while b"tl_app_waiting_rows 1.0" not in client.get("/metrics").body:
            assert time.monotonic() < until
        engine.go_on.set()
        while b"tl_app_waiting_rows 0.0" not in client.get("/metrics").body:
            assert time.monotonic() < until
        assert client.post(ASK, ONE).status == 200
        assert engine.n_rows == 2


def test_half_closed_and_reset_connections_are_passed_over():
    with on_thread(Engine()) as client:
        for ending in (socket.SHUT_WR, socket.SHUT_RDWR):
            with client.raw() as connection:
                connection.sendall(head(client, "Content-Length: 100\r\n") + b"{")
                connection.shutdown(ending)
        with client.raw() as connection:
            connection.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
            assert answer_of(connection).status == 400
        assert client.post(ASK, ONE).status == 200


def test_more_than_the_queue_holds_is_told_to_come_again():
    engine = Engine()
    engine.go_on.clear()
    with (
        on_thread(engine, limits=Limits(queue_rows=4), n_threads=1) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        waiting = [pool.submit(client.post, ASK, {"instances": ["x", "y"]}) for _ in range(2)]
        until = time.monotonic() + 10
        while b"tl_app_waiting_rows 4.0" not in client.get("/metrics").body:
            assert time.monotonic() < until
            time.sleep(0.01)
        refused = client.post(ASK, ONE)
        assert refused.status == 429
        assert refused.headers["retry-after"] == "1"
        assert client.get("/healthz").status == 200
        engine.go_on.set()
        assert [one.result().status for one in waiting] == [200, 200]
        answer = client.post(ASK, {"instances": ["x"] * 5})
        assert answer.status == 400
        assert "at most 4 rows" in answer.json["error"]
        assert b"tl_app_waiting_rows 0.0" in client.get("/metrics").body


def test_an_answer_that_takes_too_long_is_given_up():
    engine = Engine()
    engine.go_on.clear()
    with on_thread(engine, limits=Limits(request_seconds=0.3), n_threads=1) as client:
        assert client.post(ASK, ONE).status == 504
        n_before = engine.n_rows
        assert client.post(ASK, {"instances": ["y"] * 3}).status == 504
        engine.go_on.set()
        until = time.monotonic() + 10
        while b"tl_app_waiting_rows 0.0" not in client.get("/metrics").body:
            assert time.monotonic() < until
            time.sleep(0.01)
        # The first ran already; what had not begun is not computed for nobody.
        assert engine.n_rows == n_before + 1
        assert client.post(ASK, ONE).status == 200


def test_many_rows_run_on_all_threads():
    """Each waits until four run."""
    engine = Engine()
    engine.together = threading.Barrier(4)
    with on_thread(engine, n_threads=4) as client:
        rows = [f"{number}" for number in range(12)]
        answer = client.post(ASK, {"instances": rows}).json["predictions"]
        assert [row["labels"] for row in answer] == [[f"a{row}"] for row in rows]
        assert engine.n_rows == 12


def test_a_fault_in_one_row_ends_the_others():
    engine = Engine()
    with on_thread(engine, n_threads=1) as client:
        assert client.post(ASK, {"instances": ["break", *["x"] * 200]}).status == 500
        until = time.monotonic() + 10
        while b"tl_app_waiting_rows 0.0" not in client.get("/metrics").body:
            assert time.monotonic() < until
        assert engine.n_rows < 200


def test_who_sends_slowly_keeps_nobody_out():
    with on_thread(Engine(), limits=Limits(body_bytes=1000)) as client, ExitStack() as open_:
        for _ in range(5):
            slow = open_.enter_context(client.raw())
            slow.sendall(head(client, "Content-Length: 999\r\n") + b"x" * 998)
        time.sleep(0.2)
        assert client.post(ASK, ONE).status == 200


def test_large_bodies_are_held_a_few_at_a_time():
    with on_thread(Engine(), limits=Limits(body_bytes=2_000_000)) as client, ExitStack() as open_:
        connections = [open_.enter_context(client.raw()) for _ in range(5)]
        for slow in connections:
            slow.sendall(head(client, "Content-Length: 1999999\r\n") + b" " * 1_900_000)
        time.sleep(0.5)
        assert client.post(ASK, ONE).status == 200
        readable, _, _ = select.select(connections, [], [], 10)
        assert [answer_of(one).status for one in readable] == [429]


@pytest.mark.parametrize(("path", "status"), [(ASK, 401), (ASK.replace("/m:", "/nobody:"), 404)])
def test_a_refusal_reaches_who_sends_much(path, status):
    token = "secret" if status == 401 else None
    with on_thread(Engine(), token=token) as client:
        assert client.post(path, b"x" * 5_000_000).status == status


def test_a_byte_that_begins_nothing_holds_no_connection(monkeypatch):
    monkeypatch.setattr(running, "HEADER_SECONDS", 0.3)
    with on_thread(Engine()) as client:
        asked = f"Host: 127.0.0.1:{client.port}\r\n"
        for begin, rest in (("", b"\r\n"), ("Content-Length: 10\r\n", b"x")):
            with client.raw() as connection:
                connection.sendall(f"GET /healthz HTTP/1.1\r\n{asked}{begin}\r\n".encode())
                answer = answer_of(connection)
                answer.read()
                connection.sendall(rest)
                assert is_closed(connection)


def test_who_reads_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(running, "UNREAD_SECONDS", 0.3)
    with on_thread(Engine()) as client, client.raw() as connection:
        request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n\r\n".encode()
        with pytest.raises(OSError, match=r"reset|Broken pipe"):  # noqa: PT012
            for _ in range(100):
                connection.sendall(request * 1000)
                time.sleep(0.05)


def test_a_token_is_wanted():
    with on_thread(Engine(), token="secret") as client:
        for value in (None, "Bearer", "Bearer wrong", "Basic secret", "Bearer secre\u0301t"):
            client.headers = (
                {} if value is None else {"Authorization": value.encode().decode("latin-1")}
            )
            answer = client.post(ASK, ONE)
            assert answer.status == 401, value
            assert answer.headers["www-authenticate"] == "Bearer"
            for path in ("/metrics", "/v1/models", "/v1/models/m"):
                assert client.get(path).status == 401
            for path in ("/", "/healthz"):
                assert client.get(path).status == 200
        client.headers = {"Authorization": "bearer secret"}
        assert client.post(ASK, ONE).status == 200
        assert client.get("/metrics").status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""]
)
def test_a_page_of_another_site_cannot_ask_under_its_own_name(host):
    with on_thread(Engine()) as client:
        with client.raw() as connection:
            connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert answer_of(connection).status == 403
        for origin in ("https://evil.example", "null", f"http://localhost:{client.port + 1}"):
            assert client.ask("POST", ASK, b"{}", {"Origin": origin}).status == 403
        own = {"Origin": f"http://localhost:{client.port}", "Host": f"localhost:{client.port}"}
        assert client.ask("GET", "/v1/models", headers=own).status == 200
        for good in ("localhost", f"localhost:{client.port}", "127.0.0.1", "[::1]:80"):
            assert client.ask("GET", "/v1/models", headers={"Host": good}).status == 200


def test_a_small_file_of_a_huge_picture_is_unusable(server):
    """One that unpacks to a gigabyte, one that only says so, and one that is decoded a thousand
    times."""
    header = b"\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x02\x00\x00\x00"
    zeros = zlib.compress(bytes(1_000_000))
    body = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    bomb = body + 20 * png_chunk(b"IDAT", zeros) + png_chunk(b"IEND", b"")
    text = body + png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(100_000_000)))
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "JPEG", progressive=True)
    jpeg = buffer.getvalue()
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    scans = jpeg[:-2] + 1000 * scan + jpeg[-2:]
    for data in (bomb, text, scans):
        row = server.post("/v1/models/light:predict", {"instances": [b64(data)]}).json
        assert row["predictions"][0]["status"] == "unusable"


@pytest.mark.slow
def test_a_signal_lets_what_was_accepted_finish(exported, pictures):
    process, client, log = start(exported / "light", "--queue", 3000)
    body = {"instances": [b64(pictures[0])] * 3000}
    with ExitStack() as undo, ThreadPoolExecutor(1) as pool:
        undo.callback(process.kill)
        answer = pool.submit(client.post, "/v1/models/light:predict", body)
        until = time.monotonic() + 20
        while b"tl_app_waiting_rows 0.0" in client.get("/metrics").body:
            assert time.monotonic() < until
        process.send_signal(signal.SIGTERM)
        assert answer.result().status == 200
        assert len(answer.result().json["predictions"]) == 3000
        ended(process, log)
    with pytest.raises(ConnectionRefusedError):
        client.get("/healthz")


@pytest.mark.slow
def test_tls_and_a_token_from_a_file(exported, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "token.txt").write_text("secret\n")
    tls = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    with command(exported / "light", *tls, "--token-file", tmp_path / "token.txt") as client:
        assert client.url.startswith("https://")
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        for token, status in (("secret", 200), ("other", 401)):
            connection = http.client.HTTPSConnection("localhost", client.port, context=context)
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {token}"})
            assert connection.getresponse().status == status
            connection.close()


def refused(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["serve", *map(str, arguments)])
    said = " ".join(capfd.readouterr().err.split())
    assert "Traceback" not in said
    return code, said


def test_what_cannot_be_served_is_told(exported, tmp_path, capfd, monkeypatch):
    light = exported / "light"
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "1" / "model.tflite").write_bytes(b"no model")
    (tmp_path / "blank.txt").write_text(" \n")
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    cases = {
        (tmp_path / "empty",): (1, "no model to serve here"),
        (tmp_path / "gone",): (1, "does not exist"),
        (tmp_path / "bad",): (1, "No model could be loaded"),
        (light, "--engine", "onnx"): (1, "has no file for the engine onnx"),
        (light, "--engine", "savedmodel"): (1, "has no file for the engine savedmodel"),
        (light, "--label", "x"): (2, "names no version"),
        (light, "--label", "other/x=1"): (2, "no model of this name"),
        (exported, "--name", "x"): (2, "names of their own"),
        (light, "--port", taken.getsockname()[1]): (2, "cannot listen there"),
        (light, "--host", "203.0.113.7", "--no-token"): (2, "cannot listen there"),
        (light, "--token-file", tmp_path / "gone"): (2, "token cannot be read"),
        (light, "--token-file", tmp_path / "blank.txt"): (2, "no token"),
        (light, "--tls-cert", tmp_path / "gone"): (2, "a certificate and its key"),
        (light, "--tls-cert", tmp_path / "gone", "--tls-key", light): (2, "cannot be used"),
        (light, "--queue", "0", "--timeout", "-1"): (2, "queue 0"),
        (light, "--host", "0.0.0.0"): (2, "no token is wanted"),
        (light, "--port", "99999"): (2, "no such port"),
        (light, "--host", "x" * 70, "--no-token"): (2, "cannot listen there"),
    }
    for arguments, (code, words) in cases.items():
        found, said = refused(capfd, *arguments)
        assert (found, words in said) == (code, True), (arguments, said)
    taken.close()
    monkeypatch.setenv("TL_APP_TOKEN", "two words")
    assert "what TL_APP_TOKEN holds" in refused(capfd, light)[1]


def test_threads_of_a_server_end_with_it():
    before = threading.active_count()
    with on_thread(Engine()) as client:
        client.post(ASK, ONE)
    until = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < until
        time.sleep(0.01)
