"""Fetches one file from the web; never waits long for a network that is not there."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from tl_app.errors import WeightsError
from tl_app.progress import Reporter
from tl_app.storage import storage_errors

TIMEOUT_SECONDS = 6.0
"""For the name look-up, for the connection, and for each wait for more bytes."""

MAX_BYTES = 8 << 30
CHUNK_BYTES = 1 << 18


def download(
    url: str,
    destination: Path,
    *,
    digest: str | None,
    reporter: Reporter,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Fetch `url` into `destination`; nothing is left there unless it is whole and right.

    Args:
        url: http or https.
        digest: SHA-256 or MD5 (told apart by length), or None to take what comes.
        timeout_seconds: for each single wait.

    Raises:
        WeightsError: no answer in time, an HTTP error, a wrong digest, too many bytes.
        StorageError: the disk is full or the folder cannot be written.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WeightsError("The address is no web address.", received=url, allowed="https://...")
    _look_up(parts.hostname, parts.scheme, url, timeout_seconds)
    hasher = hashlib.new("md5" if digest and len(digest) == 32 else "sha256", usedforsecurity=False)
    with storage_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{destination.name[:40]}.", dir=destination.parent
        )
    try:
        with os.fdopen(descriptor, "wb") as file:
            _fetch(url, file, hasher, reporter, destination.name, timeout_seconds)
            with storage_errors(destination):
                file.flush()
                os.fsync(file.fileno())
        if digest is not None and hasher.hexdigest() != digest.lower():
            raise WeightsError(
                "The downloaded file is not the one that was published.",
                received=f"{url}: {hasher.name.upper()} {hasher.hexdigest()}",
                allowed=digest,
            )
        os.chmod(temporary, 0o644)
        os.replace(temporary, destination)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _look_up(host: str, scheme: str, url: str, timeout_seconds: float) -> None:
    """Resolve the host in time: the system's resolver has no time-out of its own."""
    if scheme in urllib.request.getproxies():
        return
    failures: list[OSError] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive() or failures:
        raise WeightsError(f"no network: {host} was not found.", received=url)


def _fetch(url, file, hasher, reporter: Reporter, title: str, timeout_seconds: float) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "tl_app"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
            length = answer.headers.get("Content-Length")
            n_total = int(length) if length and length.isdigit() else 0
            n_bytes = 0
            with reporter.bar(f"download {title}", -(-n_total // 2**20), "MB") as bar:
                while chunk := answer.read(CHUNK_BYTES):
                    before = n_bytes >> 20
                    n_bytes += len(chunk)
                    if n_bytes > MAX_BYTES:
                        raise WeightsError("the file is too large.", received=url)
                    hasher.update(chunk)
                    with storage_errors(Path(title)):
                        file.write(chunk)
                    bar.advance((n_bytes >> 20) - before)
    except TimeoutError as error:
        raise WeightsError(f"no answer within {timeout_seconds:g} s.", received=url) from error
    except urllib.error.HTTPError as error:
        error.close()
        raise WeightsError(
            f"the server answered {error.code} {error.reason}.", received=url
        ) from error
    except urllib.error.URLError as error:
        reason = error.reason
        text = (
            f"no answer within {timeout_seconds:g} s"
            if isinstance(reason, TimeoutError)
            else str(reason)
        )
        raise WeightsError(f"{text}.", received=url) from error
    except (HTTPException, ConnectionError) as error:
        raise WeightsError(f"the connection broke: {error}.", received=url) from error
    if n_total and n_bytes != n_total:
        raise WeightsError(
            f"the connection broke after {n_bytes:,} of {n_total:,} bytes.", received=url
        )
