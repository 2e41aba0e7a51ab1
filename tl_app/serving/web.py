"""The server's addresses: TensorFlow Serving's REST interface, health, metrics and a page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tl_app.export.assets import STATUS_OK
from tl_app.serving.metrics import Metrics
from tl_app.serving.models import Model, Models
from tl_app.serving.rest import (
    RequestError,
    classify_body,
    dump,
    error_body,
    predict_body,
    read_classify,
    read_predict,
)
from tl_app.serving.signatures import (
    CLASSIFY,
    DEFAULT,
    Servable,
    Signature,
    Tensor,
    Tensors,
    n_rows,
)
from tl_app.serving.workers import Gone, NobodyWaits, Workers

T = TypeVar("T")

LOG = logging.getLogger("tl_app.serving")

OPEN_PATHS = ("/", "/healthz")
"""Asked without a token: by a browser, which bears none when it opens a page, and by who looks
whether the server lives."""

BODIES_AT_ONCE = 4
"""So many of the largest bodies are held together."""

DRAIN_SECONDS = 2.0
"""A client is listened to so long after its body was refused: who is cut off sees no answer."""

MAX_ELEMENTS = 2_000_000
"""Of a body: more take seconds to read, in which nobody else is answered."""

SMALL_BYTES = 1_000_000
"""Larger bodies are read on a thread of their own, and only so many are held at once."""

CLIENT_GONE = 499
"""Of nginx: nobody is there to be answered."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take.

    Attributes:
        body_bytes: of a request.
        body_seconds: for a body to arrive.
        request_seconds: for an answer.
        queue_rows: pictures or texts that may wait.
        poll_seconds: between two looks for new versions.
    """

    body_bytes: int = 32_000_000
    body_seconds: float = 30.0
    request_seconds: float = 30.0
    queue_rows: int = 256
    poll_seconds: float = 1.0


def build_app(
    models: Models,
    *,
    n_threads: int,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
) -> Starlette:
    """The whole server as an ASGI application.

    Args:
        models: refreshed while the application runs.
        n_threads: that answer.
        limits: of requests.
        token: that requests have to bear; None: no token.
        hosts: names that requests may call the server by, without ports; None: any. On the
            loopback address it keeps pages of other sites from asking in a browser's name.
    """
    return _Server(models, n_threads, limits or Limits(), token, hosts).app()


class _Server:
    def __init__(
        self,
        models: Models,
        n_threads: int,
        limits: Limits,
        token: str | None,
        hosts: frozenset[str] | None,
    ) -> None:
        self._models, self._limits = models, limits
        self._token = None if token is None else token.encode()
        self._hosts = hosts
        self._held_bytes = 0
        self._workers = Workers(n_threads, limits.queue_rows, limits.request_seconds)
        self._metrics = Metrics()
        self._page, self._page_policy = _page()

    def app(self) -> Starlette:
        routes = [
            Route("/", self._guarded(self._show_page), methods=["GET"]),
            Route("/healthz", self._guarded(self._health), methods=["GET"]),
            Route("/metrics", self._guarded(self._show_metrics), methods=["GET"]),
            Route("/v1/models", self._guarded(self._list), methods=["GET"]),
            Route(
                "/{path:path}",
                self._guarded(self._dispatch),
                methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"],
            ),
        ]
        return Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _http_error},
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            self._workers.close()

    async def _watch(self) -> None:
        """Look for new versions; a thread of its own loads them."""
        while True:
            await asyncio.sleep(self._limits.poll_seconds)
            try:
                await asyncio.to_thread(self._models.refresh)
            except Exception:  # whatever one model has, the others go on
                LOG.exception("cannot look for new versions")

    # --- around every request ----------------------------------------------------------

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                self._require_host(request)
                self._require_token(request)
                response = await answer(request)
            except RequestError as error:
                response = _json(error_body(error.message), error.status)
                if error.status == 401:
                    response.headers["WWW-Authenticate"] = "Bearer"
                if error.status == 429:
                    response.headers["Retry-After"] = "1"
                if request.method != "GET" and not getattr(request.state, "is_read", False):
                    await _drain(request)
                    response.headers["Connection"] = "close"
            except (ClientDisconnect, NobodyWaits):
                response = Response(status_code=CLIENT_GONE)
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
            return response

        return guarded

    def _require_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self._hosts is not None and name.strip("[]") not in self._hosts:
            raise RequestError(403, "This server does not go by that name")
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise RequestError(403, "Pages of other sites may not ask this server")

    def _require_token(self, request: Request) -> None:
        if self._token is None or _path(request) in OPEN_PATHS:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(), self._token)
        if scheme.lower() != "bearer" or not is_right:
            raise RequestError(401, "A bearer token is wanted")

    @asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, which counts as held until it is answered."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(415, "Bodies come without a content encoding")
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    await self._receive(request, body)
            except TimeoutError:
                raise RequestError(408, "The body did not arrive in time") from None
            yield bytes(body)
        finally:
            self._held_bytes -= len(body)

    async def _receive(self, request: Request, body: bytearray) -> None:
        limit = self._limits.body_bytes
        too_large = RequestError(413, f"The body has more than {limit:,} bytes")
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise too_large
        async for chunk in request.stream():
            body += chunk
            self._held_bytes += len(chunk)
            if len(body) > limit:
                raise too_large
            is_large = len(body) > SMALL_BYTES  # others need not wait for who sends slowly
            if is_large and self._held_bytes > BODIES_AT_ONCE * limit:
                raise RequestError(429, "Too many large requests at once; ask again")
        request.state.is_read = True

    # --- what is answered --------------------------------------------------------------

    async def _show_page(self, request: Request) -> Response:
        return Response(
            self._page,
            media_type="text/html; charset=utf-8",
            headers={
                "Content-Security-Policy": self._page_policy,
                "X-Frame-Options": "DENY",
                "Referrer-Policy": "no-referrer",
            },
        )

    async def _health(self, request: Request) -> Response:
        waiting = [model.name for model in self._models if model.find() is None]
        if waiting:
            return _json(dump({"status": "unavailable", "models": waiting}), 503)
        return _json(dump({"status": "ok"}))

    async def _show_metrics(self, request: Request) -> Response:
        self._metrics.waiting.set(self._workers.n_rows)
        for model in self._models:
            found = model.find()
            self._metrics.version.labels(model.name).set(found[0] if found else 0)
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def _list(self, request: Request) -> Response:
        """Not in TensorFlow Serving's interface: the page asks which models there are."""
        found = [(model, model.find()) for model in self._models]
        return _json(
            dump(
                {
                    "models": [
                        {
                            "name": model.name,
                            "version": None if one is None else str(one[0]),
                            "modality": None if one is None else one[1].modality,
                            "input": None if one is None else one[1].input_name,
                        }
                        for model, one in found
                    ]
                }
            )
        )

    async def _dispatch(self, request: Request) -> Response:
        """/v1/models/NAME[/versions/N|/labels/L][/metadata|:VERB]"""
        malformed = RequestError(400, f"Malformed request: {request.method} {_path(request)}")
        parts = _path(request).split("/")
        if parts[:3] != ["", "v1", "models"] or len(parts) < 4:
            raise RequestError(404, malformed.message)
        last, colon, verb = parts[-1].partition(":")
        parts[-1] = last
        name, rest = parts[3], parts[4:]
        wants_metadata = not colon and rest[-1:] == ["metadata"]
        if wants_metadata:
            rest = rest[:-1]
        if len(rest) not in (0, 2) or (rest and rest[0] not in ("versions", "labels")):
            raise malformed
        model = self._models.get(name)
        number, label = _version(rest, malformed)
        if colon and verb in ("predict", "classify", "regress"):
            if request.method != "POST":
                raise RequestError(405, malformed.message)
            return await self._ask(request, name, model, number, label, verb)
        if colon:
            raise malformed
        if request.method != "GET":
            raise RequestError(405, malformed.message)
        if model is None:
            raise RequestError(404, f"Could not find any versions of model {name}")
        if wants_metadata:
            return _json(_metadata(name, *_servable(name, model, number, label)))
        return _json(_status(name, model, number, label))

    async def _ask(
        self,
        request: Request,
        name: str,
        model: Model | None,
        number: int | None,
        label: str | None,
        verb: str,
    ) -> Response:
        started = time.perf_counter()
        code = 200
        shown = name if model is not None else "unknown"
        try:
            _, servable = _servable(name, model, number, label)
            async with self._body(request) as body:
                started = time.perf_counter()
                return _json(
                    await self._answer(shown, servable, verb, body, partial(_gone, request))
                )
        except RequestError as error:
            code = error.status
            raise
        except (ClientDisconnect, NobodyWaits):
            code = CLIENT_GONE
            raise
        except Exception:
            code = 500
            LOG.exception("a request of %s failed", verb)
            raise RequestError(500, "The server failed; its log says why") from None
        finally:
            self._metrics.requests.labels(shown, verb, code).inc()
            seconds = time.perf_counter() - started
            self._metrics.seconds.labels(shown, verb).observe(seconds)
            LOG.debug("%s %s %d %.1f ms", shown, verb, code, 1000 * seconds)

    async def _answer(
        self, name: str, servable: Servable, verb: str, body: bytes, gone: Gone
    ) -> bytes:
        if body.count(b",") + body.count(b"{") > MAX_ELEMENTS:
            raise RequestError(413, f"The body has more than {MAX_ELEMENTS:,} numbers and objects")
        if verb == "regress":
            raise RequestError(
                400, "Expected regress signature method_name to be tensorflow/serving/regress"
            )
        if verb == "classify":
            examples = await _read(body, read_classify, servable.input_name)
            inputs = {servable.input_name: examples}
            return classify_body(await self._run(name, servable, DEFAULT, inputs, gone))
        asked = await _read(body, read_predict, servable.signatures)
        outputs = await self._run(name, servable, asked.signature, asked.inputs, gone)
        return predict_body(asked, outputs)

    async def _run(
        self,
        name: str,
        servable: Servable,
        signature: str,
        inputs: Tensors,
        gone: Gone,
    ) -> Tensors:
        outputs = await self._workers.run(servable, signature, inputs, gone)
        self._metrics.rows.labels(name).inc(n_rows(inputs))
        self._metrics.unusable.labels(name).inc(
            sum(status != STATUS_OK for status in outputs.get("status", ()))
        )
        return outputs


async def _read(body: bytes, read: Callable[..., T], *arguments: object) -> T:
    if len(body) < SMALL_BYTES:
        return read(body, *arguments)
    return await asyncio.to_thread(read, body, *arguments)


async def _drain(request: Request) -> None:
    """Let what is left of a body come, for a while, and forget it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await request.receive()).get("more_body", False):
                pass


async def _gone(request: Request) -> None:
    """Ends when the client does, after its body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _http_error(request: Request, error: Exception) -> Response:
    """Of Starlette's own: a method that an address does not take."""
    assert isinstance(error, HTTPException)
    return _json(error_body(error.detail), error.status_code)


def _path(request: Request) -> str:
    """Not out of `request.url`, which a malformed Host breaks."""
    return request.scope["path"]


def _version(rest: list[str], malformed: RequestError) -> tuple[int | None, str | None]:
    if not rest:
        return None, None
    if rest[0] == "labels":
        return None, rest[1]
    if not (rest[1].isascii() and rest[1].isdigit() and len(rest[1]) < 19):
        raise malformed
    return int(rest[1]), None


def _servable(
    name: str, model: Model | None, number: int | None, label: str | None
) -> tuple[int, Servable]:
    """
    Raises:
        RequestError: there is no such version.
    """
    if model is not None:
        if label is not None:
            if label not in model.labels:
                raise RequestError(400, f"Unrecognized servable version label: {label}")
            number = model.labels[label]
        found = model.find(number)
        if found is not None:
            return found
    which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    raise RequestError(404, f"Servable not found for request: {which}")


def _status(name: str, model: Model, number: int | None, label: str | None) -> bytes:
    if label is not None:
        number = _servable(name, model, None, label)[0]
    versions = [v for n, v in sorted(model.versions.items(), reverse=True) if number in (None, n)]
    if not versions:
        raise RequestError(404, f"Could not find version {number} of model {name}")
    return dump({"model_version_status": [version.to_dict() for version in versions]})


def _metadata(name: str, number: int, servable: Servable) -> bytes:
    signatures = {key: signature.to_dict() for key, signature in servable.signatures.items()}
    default = servable.signatures[DEFAULT].outputs
    classify = Signature(
        {"inputs": Tensor("DT_STRING", (None,))},
        {"classes": default["labels"], "scores": default["probabilities"]},
        CLASSIFY,
    )
    return dump(
        {
            "model_spec": {"name": name, "signature_name": "", "version": str(number)},
            "metadata": {
                "signature_def": {"signature_def": {**signatures, "classify": classify.to_dict()}}
            },
        }
    )


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status_code=status, media_type="application/json")


def _page() -> tuple[bytes, str]:
    """The page, and what it may do: run its own script, ask this server."""
    folder = resources.files("tl_app.serving") / "page"
    script = (folder / "page.js").read_text(encoding="utf-8")
    style = (folder / "page.css").read_text(encoding="utf-8")
    html = (folder / "page.html").read_text(encoding="utf-8")

    def allowed(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    policy = (
        f"default-src 'none'; script-src {allowed(script)}; style-src {allowed(style)}; "
        "img-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    page = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    return page.encode(), policy
