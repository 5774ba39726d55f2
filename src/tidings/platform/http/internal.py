"""The internal API of one process: `POST /internal/{service}/{call}`, never on the public listener."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidings.platform import logs, metrics
from tidings.platform.contract import Call, Invalid, Refusal, Unavailable, Untrusted
from tidings.platform.http import wire
from tidings.platform.request import Request
from tidings.platform.service import Serving
from tidings.platform.trust import KeyRing

log = logs.get_logger("internal")

ENVELOPE, MAC, SEEN = "tidings-envelope", "tidings-mac", "tidings-seen"
RESTS = "tidings-rests"  # how many bytes after the body tell what the answer rests on
MOST_BODY = 64 * 1024 * 1024  # bytes; a full batch of an import is a few
BODY_TIME = 30.0  # seconds
READY_TIME = 1.0
UNREACHABLE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError)


def internal_app(servings: Mapping[str, Serving[Any]], rings: Mapping[str, KeyRing]) -> Starlette:
    """Serve the calls of every service in this process, and its health."""

    async def answer(request: HttpRequest) -> Response:
        service, call = request.path_params["service"], request.path_params["call"]
        serving = servings.get(service)
        if serving is None:
            return Response(status_code=404)
        if ENVELOPE not in request.headers or MAC not in request.headers:
            return _refused(Untrusted("This call carries no envelope of a service.", service=service))
        try:
            envelope = b64decode(request.headers.get(ENVELOPE, ""), validate=True)
            signature = b64decode(request.headers.get(MAC, ""), validate=True)
        except ValueError:
            envelope, signature = b"", b""
        body = await _bounded(request)
        if body is None:
            return _refused(Invalid("This call's body is too large or too slow.", service=service))
        parcel = wire.Parcel(envelope, signature, body)
        try:
            answered = await wire.receive(serving, rings[service], f"{service}/{call}", parcel)
        except Exception:
            log.exception("fault", call=f"{service}/{call}")
            return Response(status_code=wire.FAULT)
        headers = {SEEN: b64encode(answered.seen).decode()}
        if answered.rests:
            headers[RESTS] = str(len(answered.rests))
        return Response(answered.body + answered.rests, answered.status, headers, media_type="application/json")

    async def alive(request: HttpRequest) -> Response:
        return JSONResponse({"alive": True, "services": sorted(servings), "now_ns": time.time_ns()})

    async def ready(request: HttpRequest) -> Response:
        states = await readiness(servings)
        return JSONResponse(states, status_code=200 if all(states.values()) else 503)

    async def exposition(request: HttpRequest) -> Response:
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/internal/{service}/{call}", answer, methods=["POST"]),
            Route("/livez", alive),
            Route("/readyz", ready),
            Route("/metrics", exposition),
        ]
    )


def _refused(refusal: Refusal) -> Response:
    """A refusal before the body was read to its end: the connection is of no more use."""
    return Response(wire.refused(refusal), wire.REFUSED, {"connection": "close"}, media_type="application/json")


async def _bounded(request: HttpRequest) -> bytes | None:
    """The body; None if it is larger or slower than any call's."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY:
                    return None
    except TimeoutError:
        return None
    return bytes(body)


async def readiness(servings: Mapping[str, Serving[Any]]) -> dict[str, bool]:
    """Whether each service here reaches its own store; never another service."""
    states: dict[str, bool] = {}
    for name, serving in servings.items():
        check = getattr(serving.holder, "ready", None)
        try:
            if check is not None:
                async with asyncio.timeout(READY_TIME):
                    await check()
            states[name] = True
        except (Refusal, TimeoutError):
            states[name] = False
    return states


class Http:
    """A way to a service in another process, over kept-alive connections."""

    def __init__(self, session: aiohttp.ClientSession, base: str, mine: KeyRing) -> None:
        self._session = session
        self._base = base
        self._mine = mine

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        parcel = wire.pack(call, ask, request, self._mine)
        headers = {
            ENVELOPE: b64encode(parcel.envelope).decode(),
            MAC: b64encode(parcel.mac).decode(),
            "content-type": "application/json",
        }
        try:
            async with self._session.post(
                f"{self._base}/internal/{call.name}", data=parcel.body, headers=headers
            ) as response:
                known = b64decode(response.headers.get(SEEN, ""))
                body, rests = await response.read(), int(response.headers.get(RESTS, "0"))
                end = len(body) - rests
                answered = wire.Answered(response.status, body[:end] if rests else body, known, body[end:])
        except UNREACHABLE as error:
            unreachable = Unavailable(
                f"{call.service} cannot be reached. Try again.", service=call.service, retry_after=1
            )
            unreachable.unanswered = True
            raise unreachable from error
        return wire.unpack(call, answered)


def open_session(address: str) -> tuple[aiohttp.ClientSession, str]:
    """A client session towards `unix:PATH` or `tcp://host:port`, and the base of its addresses.

    It has as many connections as there are calls, which each service bounds by itself (`Dependency`): of two
    services of one process, what waits for the one must not hold up who asks the other.
    """
    connector: aiohttp.BaseConnector
    if address.startswith("unix:"):
        connector, base = aiohttp.UnixConnector(address.removeprefix("unix:"), limit=0), "http://internal"
    else:
        connector, base = aiohttp.TCPConnector(limit=0), "http://" + address.removeprefix("tcp://")
    timeout = aiohttp.ClientTimeout(total=None)  # each call brings its own deadline
    return aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False), base
