"""The public listener: every route of the contracts, one way of signing in, one way of answering."""

from __future__ import annotations

import hmac
import re
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute
from starlette.routing import Route as PathRoute
from starlette.types import ASGIApp, Scope

from tidings.edge.asks import Reader, is_fixed, path_of
from tidings.edge.bodies import read_body
from tidings.edge.conditions import entity_tag, not_modified, versions
from tidings.edge.cookies import Cookies
from tidings.edge.guard import SAFE, Guard, client_address, safely
from tidings.edge.html import wants_page
from tidings.edge.limits import Allowance, Limits
from tidings.edge.paths import Endpoint, Paths
from tidings.edge.refusing import refused
from tidings.edge.response_cache import MAKING, Making, ResponseCache, room_in
from tidings.edge.response_cache import SEEN as SEEN_FIELD
from tidings.edge.seen_tokens import SeenTokens
from tidings.edge.sessions import STRANGER, Sessions, digest_of
from tidings.edge.shedding import Room, Shedding
from tidings.edge.streams import EVENT_STREAM, EventStream
from tidings.edge.understood import Key, Meaning, Read, Understood, says_all, traced
from tidings.edge.uploads import Form, receive_form
from tidings.edge.visits import Visits
from tidings.platform import logs, metrics, tracing
from tidings.platform.cache.resting import gathering
from tidings.platform.contract import Call, Contract, NotFound, Refusal, Route, Served, Unauthenticated, Upload
from tidings.platform.http.listener import KEY as REQUEST_KEY
from tidings.platform.http.problems import (
    BadRequest,
    Fault,
    MethodNotAllowed,
    NoSuchPath,
    problem_response,
)
from tidings.platform.request import Idempotency, Request, Viewer
from tidings.platform.seen import HEADER as SEEN
from tidings.platform.seen import Seen, seeing
from tidings.platform.settings import Settings
from tidings.platform.world import World

log = logs.get_logger("edge")
audit = logs.get_logger("audit")

TOKEN = re.compile(r"tds_[A-Za-z0-9_-]{43}")
KEY = re.compile(r"[\x21-\x7e]{1,255}")
PICTURE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'; base-uri 'none'"
REQUEST_TIME = 15.0  # seconds, over all internal calls of one request


@dataclass(slots=True)
class _Exchange:
    """One request on its way to its response."""

    route: Route[Any, Any]
    method: str
    making: Making | None
    began: float = field(default_factory=time.perf_counter)
    client: Seen = field(default_factory=Seen)
    allowance: Allowance | None = None


class Gateway:
    """Turns public requests into calls of the edge, and answers into responses."""

    def __init__(
        self, world: World, settings: Settings, secret: bytes, services: Iterable[str], limits: Limits | None = None
    ) -> None:
        self._world = world
        self._sessions = Sessions(world)
        self._limits = limits
        self._secret = secret
        self._settings = settings
        self._producers = sorted(services)
        self._tokens = SeenTokens(secret, self._producers, strict=settings.freshness == "on")
        self._cookies = Cookies(settings)
        self._visits = Visits(settings, self._cookies)
        self._understood = Understood()
        self._room: Room | None = None  # for requests

    def app(self, contracts: Iterable[Contract], more: Iterable[BaseRoute] = ()) -> ResponseCache:
        """The ASGI application for these contracts; `more` are paths of the edge's own."""
        by_path: dict[str, dict[str, tuple[Route[Any, Any], Reader]]] = {}
        for contract in contracts:
            for route in contract.routes:
                by_path.setdefault(route.path, {})[route.method] = (route, Reader.of(route))
        endpoints = {path: self._endpoint(methods) for path, methods in by_path.items()}
        # A path with fewer parameters goes first: /v1/users/me/password before /v1/users/{user_id}/...
        paths = sorted(by_path, key=lambda path: (path.count("{"), path))
        routes = [*more, *(PathRoute(path, endpoints[path], methods=sorted(by_path[path])) for path in paths)]
        rest = Starlette(routes=routes, exception_handlers={HTTPException: _not_routed, 500: _fault})
        plain = {path: (by_path[path].keys(), endpoints[path]) for path in paths if "{" not in path}
        promised = [route for methods in by_path.values() for route, _ in methods.values()]
        app: ASGIApp = Paths(plain, rest, fault=_fault)
        if self._settings.max_requests_at_once:
            app = shedding = Shedding(app, promised, most=self._settings.max_requests_at_once)
            self._room = shedding.room
        if self._settings.cors_origins:
            app = CORSMiddleware(
                app,
                allow_origins=list(self._settings.cors_origins),
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=[
                    "authorization",
                    "content-type",
                    "idempotency-key",
                    "if-match",
                    "if-none-match",
                    SEEN.lower(),
                ],
                expose_headers=[
                    "etag",
                    "link",
                    "location",
                    "ratelimit",
                    "ratelimit-policy",
                    "retry-after",
                    SEEN.lower(),
                ],
            )
        guarded = Guard(app, self._settings)
        return ResponseCache(guarded, self._limits, self._tokens, room_in(self._settings), maker=self)

    def _endpoint(self, methods: dict[str, tuple[Route[Any, Any], Reader]]) -> Endpoint:
        async def endpoint(request: HttpRequest) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            route, reader = methods[method]
            return await self._measured(request, route, reader)

        return endpoint

    async def _measured(self, request: HttpRequest, route: Route[Any, Any], reader: Reader) -> Response:
        exchange = _Exchange(route, request.method, request.scope.get(MAKING))
        response = await self._exchanged(
            exchange,
            lambda: self._tokens.opened(",".join(request.headers.getlist(SEEN)), self._cookies.seen(request)),
            lambda: self._answer(request, exchange, reader),
            lambda refusal: self._refused(request, route, refusal),
            parent=traced(request.scope["headers"]),
        )
        if not _is_public(response):  # that goes to other clients, too
            sealed = self._sealed(exchange, response)
            if route.page or self._cookies.token(request) is not None:
                self._cookies.remember(request, response, sealed, wrote=request.method not in SAFE)
        self._count(exchange, response)
        return response

    async def _exchanged(
        self,
        exchange: _Exchange,
        opened: Callable[[], Seen],
        answer: Callable[[], Awaitable[Response]],
        refuse: Callable[[Refusal], Response],
        *,
        parent: tracing.TraceContext | None = None,
    ) -> Response:
        """The response, whatever comes of it; with what is left of a limit."""
        route, making = exchange.route, exchange.making
        with tracing.span(f"{route.method} {route.path}", kind="server", parent=parent) as span:
            try:
                exchange.client = opened()
                with seeing(exchange.client), gathering() as resting:
                    response = await answer()
                if making is not None and not route.page:
                    making.route, making.client, making.resting = route.path, exchange.client, resting
            except Refusal as refusal:
                exchange.client = exchange.client.refused(self._producers)
                response = refuse(refusal)
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception:
                log.exception("fault", route=route.name)
                response = refuse(Fault("This is our mistake. Tell the operator the trace id."))
            span.note(**{"http.response.status_code": response.status_code})
        if exchange.allowance is not None:
            response.raw_headers += exchange.allowance.fields()
        return response

    def _sealed(self, exchange: _Exchange, response: Response) -> str:
        """Tell the client what it has seen by now."""
        sealed = self._tokens.sealed(exchange.client)
        response.raw_headers.append((SEEN_FIELD, sealed.encode()))
        return sealed

    @staticmethod
    def _count(exchange: _Exchange, response: Response) -> None:
        metrics.request_served(
            route=exchange.route.path,
            method=exchange.method,
            status=response.status_code,
            seconds=time.perf_counter() - exchange.began,
        )

    # What was understood before.

    def meaning(self, key: Key) -> Meaning | None:
        return self._understood.meaning(key)

    async def again(
        self, meaning: Meaning, scope: Scope, brought: Sequence[bytes], making: Making
    ) -> Response | None:
        """The response to a request that means what one before it did; None where there is no room for it.

        `brought` are its tokens of what the client has seen.
        """
        route, room = meaning.read.route, self._room
        if room is not None and not room.has(route.can_wait):
            return None
        exchange = _Exchange(route, "GET", making)

        async def answer() -> Response:
            deadline = time.monotonic() + max(REQUEST_TIME, route.deadline)
            viewer = await self._sessions.holder(meaning.token, deadline)
            address = client_address(scope, self._settings.trusted_proxies)
            self._admit(exchange, viewer, address)
            asked = Request(viewer, "edge", deadline, address=address)
            return respond(route, await self._world.call(route.call, meaning.read.ask, request=asked), None)

        def opened() -> Seen:
            return self._tokens.opened(b",".join(brought).decode("latin-1")) if brought else Seen()

        if room is not None:
            room.enter(route.can_wait)
        try:
            response = await self._exchanged(
                exchange, opened, answer, problem_response, parent=traced(scope["headers"])
            )
        finally:
            if room is not None:
                room.leave(route.can_wait)
        if room is not None and response.status_code < 500:
            now = time.perf_counter()
            room.answered(now - exchange.began, now)
        self._sealed(exchange, response)
        self._count(exchange, response)
        safely(response.raw_headers)
        return response

    # What has to be understood.

    def _refused(self, request: HttpRequest, route: Route[Any, Any], refusal: Refusal) -> Response:
        return self._visits.refusal(request, refusal) if route.page else problem_response(refusal)

    async def _answer(self, request: HttpRequest, exchange: _Exchange, reader: Reader) -> Response:
        route = exchange.route
        deadline = time.monotonic() + max(REQUEST_TIME, route.deadline)
        if route.page:
            self._visits.check_site(request)
        viewer = await self._asking(request, route, deadline)
        address = client_address(request.scope, self._settings.trusted_proxies)
        self._admit(exchange, viewer, address)
        path = path_of(request)
        if route.me and path.get("user_id") == "me":
            path["user_id"] = str(viewer.known)
        visit = self._visits.visit(request) if route.page else None
        if route.upload is not None:
            form = await self._upload(request, route.upload, viewer)
            # It may have taken minutes: who was signed out meanwhile has not sent it.
            deadline = time.monotonic() + max(REQUEST_TIME, route.deadline)
            await self._viewer(request, deadline)
            ask = reader.read_form(path, request.scope["query_string"], form.fields, form.file, visit)
            body = form.digest
        else:
            body = await read_body(request, most=self._settings.max_body, seconds=self._settings.body_timeout)
            content_type = request.headers.get("content-type", "")
            ask = reader.read(path, request.scope["query_string"], body, content_type, visit)
        if route.content_type == EVENT_STREAM:
            return await self._stream(request, route, ask, viewer)
        served = await self._world.call(
            route.call,
            ask,
            request=Request(
                viewer=viewer,
                caller="edge",
                deadline=deadline,
                idempotency=self._idempotency(request, route, viewer, path, body) if route.idempotency else None,
                if_match=versions(request.headers.get("if-match")) if route.conditional else None,
                address=address,
            ),
        )
        if route.page:
            return self._visits.response(request, served)
        if exchange.making is not None and not path:
            self._note(request, Read(route, ask))
        return respond(route, served, request.headers.get("if-none-match"))

    def _admit(self, exchange: _Exchange, viewer: Viewer, address: str) -> None:
        """Let somebody in; raises what they are told who may not ask for this, or not so often."""
        route = exchange.route
        if exchange.making is not None:
            exchange.making.viewer = viewer
        if self._limits is not None:
            exchange.allowance = self._limits.spend(viewer.user_id, address)
            if exchange.allowance is not None:
                exchange.allowance.check()
        if route.who == "administrator" and viewer.role != "administrator":
            audit.warning(
                "administrator_route_refused",
                route=route.name,
                user_id=str(viewer.user_id),
                address=address,
            )
            raise NotFound

    def _note(self, request: HttpRequest, read: Read) -> None:
        """Another request of the same bytes will mean the same."""
        if says_all(read.route) and is_fixed(read.ask):
            _, token = self._bearer(request)
            self._understood.note(request.scope[REQUEST_KEY], request.scope["headers"], digest_of(token), read)

    async def _asking(self, request: HttpRequest, route: Route[Any, Any], deadline: float) -> Viewer:
        """Who asks: whom a page for anyone is shown to may be signed in, and is then shown it as themselves."""
        if route.who != "anyone":
            return await self._viewer(request, deadline)
        if not route.page or self._cookies.token(request) is None:
            return STRANGER
        try:
            return await self._viewer(request, deadline)
        except Unauthenticated:
            return STRANGER

    async def _upload(self, request: HttpRequest, upload: Upload, viewer: Viewer) -> Form:
        """Pass the file of a form on to its service, part by part; what the form says beside it."""

        async def send(call: Call[Any, Any], ask: Any) -> Any:
            onward = Request(viewer, "edge", deadline=time.monotonic() + REQUEST_TIME)
            return await self._world.call(call, ask, request=onward)

        return await receive_form(
            request,
            upload,
            send,
            most=self._settings.max_upload,
            seconds=self._settings.upload_timeout,
            secret=self._secret,
        )

    async def _stream(self, request: HttpRequest, route: Route[Any, Any], ask: Any, viewer: Viewer) -> Response:
        """Ask again and again, as long as the client listens and is signed in; each answer is an event."""

        async def listen(last: str | None) -> bytes:
            asked = msgspec.structs.replace(ask, last_event_id=last)
            deadline = time.monotonic() + REQUEST_TIME
            with seeing(Seen()) as client:
                served = await self._world.call(route.call, asked, request=Request(viewer, "edge", deadline))
            return bytes(served.body)[:-1] + b',"seen":"%b"}' % self._tokens.sealed(client).encode()

        async def still_signed_in() -> bool:
            return await self._viewer(request, time.monotonic() + REQUEST_TIME) == viewer

        given = request.headers.get("last-event-id") or ask.last_event_id
        stream = EventStream(listen, still_signed_in, await listen(given), given)
        headers = {"cache-control": "private, no-store", "x-accel-buffering": "no"}
        if request.method == "HEAD":
            return Response(headers=headers, media_type=EVENT_STREAM)
        return StreamingResponse(stream.events(), headers=headers, media_type=EVENT_STREAM)

    async def _viewer(self, request: HttpRequest, deadline: float) -> Viewer:
        """Who holds the request's token, or the browser's session. `Unauthenticated` if nobody does."""
        scheme, token = self._bearer(request)
        if not scheme and (kept := self._cookies.token(request)) is not None:
            self._visits.check_site(request)
            scheme, token = "bearer", kept
        if scheme.lower() != "bearer" or not TOKEN.fullmatch(token):
            raise Unauthenticated("Sign in at POST /v1/sessions and send the token as `Authorization: Bearer ...`.")
        return await self._sessions.holder(digest_of(token), deadline)

    @staticmethod
    def _bearer(request: HttpRequest) -> tuple[str, str]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme, token.strip()

    def _idempotency(
        self, request: HttpRequest, route: Route[Any, Any], viewer: Viewer, path: dict[str, str], body: bytes
    ) -> Idempotency | None:
        key = request.headers.get("idempotency-key")
        if key is None:
            return None
        if not KEY.fullmatch(key):
            raise BadRequest("An Idempotency-Key has 1 to 255 printable ASCII characters, no spaces.")
        scope = str(viewer.user_id) if route.idempotency_scope == "person" else "anyone"
        asked = msgspec.json.encode([route.name, sorted(path.items()), request.scope["query_string"], body])
        # Keyed: a sign-up's body holds a password, and a plain digest of it could be guessed from a stolen table.
        fingerprint = hmac.digest(self._secret, asked, "sha256")
        return Idempotency(f"{route.name} {scope}", key, fingerprint)


def _is_public(response: Response) -> bool:
    return any(value.startswith(b"public") for name, value in response.raw_headers if name == b"cache-control")


def respond(route: Route[Any, Any], served: Served, if_none_match: str | None) -> Response:
    """The response to what a service served; 304 where the client has it already."""
    headers = dict(served.headers)
    body = bytes(served.body)
    if served.status == 204:
        return Response(status_code=204, headers={"cache-control": "private, no-store", **headers})
    if route.content_type != "application/json":
        body = b64decode(msgspec.json.decode(body, type=str))
    if route.content_type.startswith("image/"):
        headers["content-security-policy"] = PICTURE_POLICY
        headers["cross-origin-resource-policy"] = "same-origin"
    # What anyone may read of the state of things changes at any moment; pictures do not.
    private = route.who != "anyone" or route.method != "GET" or route.content_type == "application/json"
    headers["cache-control"] = "private, no-store" if private else "public, max-age=86400"
    if route.method == "GET" or served.version is not None:
        headers["etag"] = entity_tag(body, served.version)
        if route.method == "GET" and not_modified(headers["etag"], if_none_match):
            return Response(status_code=304, headers=headers)
    return Response(body, status_code=served.status, headers=headers, media_type=route.content_type)


async def _not_routed(request: HttpRequest, error: Exception) -> Response:
    """404 and 405 from the router, as problems; as a page for whoever asks for one."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        return refused(request.scope, MethodNotAllowed(f"This path answers {allowed}."), {"allow": allowed})
    if error.status_code != 404:
        return refused(request.scope, BadRequest(error.detail))
    if request.method in SAFE and wants_page(request.headers):
        return refused(request.scope, NoSuchPath("There is no page at this address."))
    return refused(request.scope, NoSuchPath("Nothing is served there; /docs lists what is."))


async def _fault(request: HttpRequest, error: Exception) -> Response:
    log.error("fault", path=request.url.path, exc_info=error)
    return refused(request.scope, Fault("This is our mistake. Tell the operator the trace id."))
