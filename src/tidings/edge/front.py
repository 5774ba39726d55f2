"""The front of the product: the public listener, and the metrics listener beside it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import aiohttp
import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route as PathRoute

from tidings.edge.gateway import Gateway
from tidings.edge.guard import Guard, bound_hosts
from tidings.edge.limits import Limits
from tidings.edge.pages import Pages
from tidings.edge.response_cache import ResponseCache
from tidings.platform import metrics
from tidings.platform.contract import Contract
from tidings.platform.http.internal import open_session
from tidings.platform.http.listener import Listener
from tidings.platform.http.openapi import openapi
from tidings.platform.settings import Settings
from tidings.platform.world import World

Ready = Callable[[], Awaitable[dict[str, bool]]]


def front_app(
    world: World,
    settings: Settings,
    contracts: Iterable[Contract],
    *,
    secret: bytes,
    ready: Ready,
    limits: Limits | None = None,
) -> ResponseCache:
    """Everything that is served in public. `ready` tells of this process's own stores."""
    contracts = list(contracts)
    document = openapi(contracts, version=version("tidings"))

    async def described(request: HttpRequest) -> Response:
        return JSONResponse(document, headers={"cache-control": "public, max-age=60"})

    async def alive(request: HttpRequest) -> Response:
        return JSONResponse({"alive": True}, headers={"cache-control": "no-store"})

    async def readiness(request: HttpRequest) -> Response:
        states = await ready()
        status = 200 if all(states.values()) else 503
        return JSONResponse({"ready": status == 200, "services": states}, status, {"cache-control": "no-store"})

    own = [
        PathRoute("/v1/openapi.json", described),
        PathRoute("/livez", alive),
        PathRoute("/readyz", readiness),
        *Pages(document).routes(),
    ]
    services = [contract.service for contract in contracts]
    return Gateway(world, settings, secret, services, limits).app(contracts, own)


@asynccontextmanager
async def listening(app: ResponseCache, bound: socket.socket, settings: Settings) -> AsyncIterator[Listener]:
    """Serve the public listener within the block."""
    listener = Listener(
        app,
        bound,
        idle_timeout=settings.idle_timeout,
        header_timeout=settings.header_timeout,
        most_connections=settings.max_connections,
        repeats=app,
    )
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


@asynccontextmanager
async def exposing(
    bound: socket.socket, process: str, others: Mapping[str, str], settings: Settings
) -> AsyncIterator[Listener]:
    """Serve `/metrics` of this process and of `others` (internal addresses by process name) as one exposition."""
    sessions = {name: open_session(address) for name, address in others.items()}

    async def exposition(request: HttpRequest) -> Response:
        parts = {process: metrics.render()}
        for name, (session, base) in sessions.items():
            try:
                async with asyncio.timeout(1), session.get(f"{base}/metrics") as response:
                    parts[name] = await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError):  # down: its absence is the news
                continue
        # In a thread: it takes tens of milliseconds, in which nothing else would be answered.
        merged = await asyncio.to_thread(metrics.merge, parts)
        return PlainTextResponse(merged, media_type=metrics.CONTENT_TYPE)

    hosts = tuple({*settings.allowed_hosts, *bound_hosts(settings.metrics_host)})
    guarded = Middleware(Guard, settings=msgspec.structs.replace(settings, allowed_hosts=hosts))
    app: Any = Starlette(routes=[PathRoute("/metrics", exposition)], middleware=[guarded])
    listener = Listener(app, bound, idle_timeout=15, header_timeout=10)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()
        for session, _ in sessions.values():
            await session.close()
