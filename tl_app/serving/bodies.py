"""Bodies of requests: received within bounds, and read where that holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from starlette.requests import Request

from tl_app.serving.rest import RequestError

T = TypeVar("T")

BODIES_AT_ONCE = 4
"""So many of the largest bodies are held together."""

DRAIN_SECONDS = 2.0
"""A client is listened to so long after its body was refused: who is cut off sees no answer."""

MAX_ELEMENTS = 2_000_000
"""Of a body: more take seconds to read, in which nobody else is answered."""

SMALL_BYTES = 1_000_000
"""Larger bodies are read on a thread of their own, and only so many are held at once."""


class Bodies:
    """Those of one server.

    Args:
        limit: bytes of each.
        seconds: for each to arrive.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._held_bytes = 0

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, which counts as held until it is answered."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(415, "Bodies come without a content encoding")
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._receive(request, body)
            except TimeoutError:
                raise RequestError(408, "The body did not arrive in time") from None
            yield bytes(body)
        finally:
            self._held_bytes -= len(body)

    async def _receive(self, request: Request, body: bytearray) -> None:
        limit = self._limit
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


def is_read(request: Request) -> bool:
    """Whether nothing is left of its body."""
    return request.method == "GET" or getattr(request.state, "is_read", False)


async def read_apart(body: bytes, read: Callable[..., T], *arguments: object) -> T:
    """What `read` makes of a body, on another thread where that takes long.

    Raises:
        RequestError: 413 for too many small things.
    """
    if body.count(b",") + body.count(b"{") > MAX_ELEMENTS:
        raise RequestError(413, f"The body has more than {MAX_ELEMENTS:,} numbers and objects")
    if len(body) < SMALL_BYTES:
        return read(body, *arguments)
    return await asyncio.to_thread(read, body, *arguments)


async def drain(request: Request) -> None:
    """Let what is left of a body come, for a while, and forget it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await request.receive()).get("more_body", False):
                pass
