"""From a path to its endpoint: one look for a path without parameters; the others are matched in their order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Paths:
    """ASGI. `plain`: endpoints by path, with the methods that each takes; what is not there goes on to `rest`."""

    def __init__(
        self,
        plain: Mapping[str, tuple[Iterable[str], Endpoint]],
        rest: ASGIApp,
        *,
        fault: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._plain = {
            (method, path): endpoint
            for path, (methods, endpoint) in plain.items()
            for method in (*methods, *(("HEAD",) if "GET" in methods else ()))
        }
        self._rest = rest
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._plain.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if endpoint is None:
            await self._rest(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Exception as error:
            response = await self._fault(request, error)
        await response(scope, receive, send)
