"""The server's process: sockets, TLS, signals."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tl_app.errors import ConfigError

HEADER_SECONDS = 10.0
"""For the first line and the headers of a request to arrive."""

HEADER_BYTES = 65_536

UNREAD_SECONDS = 30.0
"""For a client to read on, when what was written waits."""

KEEP_ALIVE_SECONDS = 60
GRACE_SECONDS = 60
"""For what was accepted to be answered after a signal."""

MAX_CONNECTIONS = 256
"""More are told 503 at once."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens.

    Attributes:
        host: an address, or "localhost".
        port: 0 takes a free one.
        certificate, key: files in PEM; both for TLS, or none.
    """

    host: str = "127.0.0.1"
    port: int = 8501
    certificate: Path | None = None
    key: Path | None = None

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def url(self, port: int) -> str:
        scheme = "http" if self.certificate is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{port}"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's, which waits for headers no longer than HEADER_SECONDS, and no longer than
    UNREAD_SECONDS for answers to be read: a byte a minute holds no connection."""

    _waiting: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._waiting is None:
            self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiting is None and not self._is_answering():
            self._wait()  # for what has begun with a byte that begins nothing
        if self._waiting is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES and not self.transport.is_closing():
                self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def on_headers_complete(self) -> None:
        self._forget()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._head_bytes = 0

    def _give_up(self) -> None:
        self._waiting = None
        if self._is_answering():  # the next request may wait until this one is answered
            self._wait()
        elif not self.transport.is_closing():
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


class _Server(uvicorn.Server):
    """Stops at the first signal when all that was accepted is answered, at the second at once."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[uvicorn.Server], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready(self)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            # What is given up now would be told with a traceback a request.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            self.force_exit = True
        self.should_exit = True


def listen(address: Address) -> socket.socket:
    """
    Raises:
        ConfigError: the address is taken, or not this machine's; or the certificate cannot be used.
    """
    if address.certificate is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                address.certificate, address.key, password=lambda: ""
            )
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"The certificate cannot be used: {error}.",
                received=f"{address.certificate}, {address.key}",
                allowed="a certificate and its key in PEM, without a passphrase",
            ) from error
    try:
        if not 0 <= address.port <= 65_535:  # larger ones would be taken for what is left of them
            raise OSError("there is no such port")
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(found[0], socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(found[4])
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigError(
            f"The server cannot listen there: {reason or error}.",
            received=f"{address.host}, port {address.port}",
            allowed="an address of this machine, and a port that nobody has",
            next_step="--port 0 takes a free one",
        ) from error
    return listening


def serve(
    app: Starlette,
    listening: socket.socket,
    address: Address,
    on_ready: Callable[[uvicorn.Server], None],
) -> None:
    """Answer until a signal comes.

    Args:
        app: see `web.build_app`.
        listening: see `listen`.
        address: of it.
        on_ready: called when requests are taken, with what stops them by `should_exit`.
    """
    options: dict[str, Any] = {}
    if address.certificate is not None:
        options = {
            "ssl_certfile": str(address.certificate),
            "ssl_keyfile": None if address.key is None else str(address.key),
        }
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **options,
    )
    # It tells of every bad request; those are the clients' business.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    _Server(config, on_ready).run(sockets=[listening])
