"""The server's addresses: TensorFlow Serving's REST interface, health, metrics and a page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tl_app.export.assets import STATUS_OK
from tl_app.serving.bodies import Bodies, drain, is_read, read_apart
from tl_app.serving.lookup import find_servable, metadata_body, status_body, version_of
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
    DEFAULT,
    Servable,
    Tensors,
    n_rows,
)
from tl_app.serving.workers import Gone, NobodyWaits, Workers

LOG = logging.getLogger("tl_app.serving")

OPEN_PATHS = ("/", "/healthz")
"""Asked without a token: by a browser, which bears none when it opens a page, and by who looks
whether the server lives."""

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
        self._bodies = Bodies(limits.body_bytes, limits.body_seconds)
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
                if not is_read(request):
                    await drain(request)
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
            broken = [version for version in list(model.versions.values()) if version.problem]
            self._metrics.broken.labels(model.name).set(len(broken))
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
        number, label = version_of(rest, malformed)
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
            return _json(metadata_body(name, *find_servable(name, model, number, label)))
        return _json(status_body(name, model, number, label))

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
            _, servable = find_servable(name, model, number, label)
            async with self._bodies.received(request) as body:
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
        if verb == "regress":
            raise RequestError(
                400, "Expected regress signature method_name to be tensorflow/serving/regress"
            )
        if verb == "classify":
            examples = await read_apart(body, read_classify, servable.input_name)
            inputs = {servable.input_name: examples}
            return classify_body(await self._run(name, servable, DEFAULT, inputs, gone))
        asked = await read_apart(body, read_predict, servable.signatures)
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
