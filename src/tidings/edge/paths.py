"""From a path to its endpoint: one look for a path without parameters; the others are matched in their order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class _Fields(Headers):
    """A request's header fields by name, of each the first: they are looked up a dozen times, mostly in vain."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope=scope)
        fields = reversed(scope["headers"])
        self._first: dict[str, str] = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower()]

    def get(self, key: str, default: Any = None) -> Any:
        return self._first.get(key.lower(), default)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._first


class _Request(Request):
    @property
    def headers(self) -> Headers:
        if not hasattr(self, "_headers"):
            self._headers: Headers = _Fields(self.scope)
        return self._headers


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
        request = _Request(scope, receive)
        try:
            response = await endpoint(request)
        except Exception as error:
            response = await self._fault(request, error)
        await response(scope, receive, send)
