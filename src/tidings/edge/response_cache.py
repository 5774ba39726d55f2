"""Responses that are given again to the very same request, for as long as each entry that they rest on is fresh.

The request is known by its address and its headers: whoever differs in one of them, in the session's token first
of all, is somebody else. What is told of its way here does not count, nor what a client has seen, but in the look
whether the response still stands. Nothing is older than it would be if it were made anew: see `Shelf.still`.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from http import HTTPStatus
from typing import Final, Protocol
from uuid import UUID

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidings.edge.limits import HEADERS as OF_LIMITS
from tidings.edge.limits import Limits
from tidings.edge.seen_tokens import SeenTokens
from tidings.edge.understood import TRACE, UNLIKE, UNREAD, Key, Meaning, traced
from tidings.platform import metrics, tracing
from tidings.platform.cache.resting import Part, Resting
from tidings.platform.cache.shelf import TOUCHED
from tidings.platform.http.listener import KEY
from tidings.platform.http.problems import BadRequest
from tidings.platform.request import Viewer
from tidings.platform.seen import HEADER, Known, Seen
from tidings.platform.settings import Settings

MAKING: Final = "tidings.making"  # in the scope, where a response may be given again
WAIT: Final = 2.0  # seconds for somebody else to make the same
MOST_OF_ONE: Final = 16  # responses to one person: nobody has the room of all by asking in many ways
SEEN: Final = HEADER.lower().encode()
APART: Final = UNREAD | {SEEN, TRACE}
OVERHEAD: Final = 3000  # bytes beside the body, and for each entry that is rested on
OF_AN_ENTRY: Final = 100
NOBODY: Final = Seen()


@dataclass(slots=True)
class Making:
    """What the gateway says of the response that it makes, if that rests on nothing but entries."""

    route: str = ""
    viewer: Viewer | None = None
    client: Seen | None = None  # with what it is shown by this response
    resting: Resting | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    status: int = 0
    body: bytes = b""
    messages: int = 0

    def sent(self, message: Message) -> None:
        self.messages += 1
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [one for one in message["headers"] if one[0] not in OF_LIMITS and one[0] != SEEN]
        else:
            self.body = message.get("body", b"")


@dataclass(slots=True)
class _Kept:
    making: Making
    viewer: UUID
    shown: Known
    parts: list[Part]
    size: int
    touched_at: float
    head: bytes = b""  # these two are made when it is first given: most are void before
    sealed: bytes = b""  # what was shown, for a client that brought nothing

    def stands(self, client: Seen) -> bool:
        for part in self.parts:  # noqa: SIM110 - the hot path: no generator
            if not part.shelf.still(part.held, client):
                return False
        return True

    def is_void(self) -> bool:
        """Whether it never stands again."""
        if any(part.held.has_gone for part in self.parts):
            return True
        return any(entry.gone for part in self.parts for entry in part.held.entries)


class Maker(Protocol):
    """Makes responses to requests that it has understood before, without all that stands before the others."""

    def meaning(self, key: Key) -> Meaning | None: ...

    async def again(
        self, meaning: Meaning, scope: Scope, brought: Sequence[bytes], making: Making
    ) -> Response | None: ...


class ResponseCache:
    """ASGI, around everything that makes a response; bounded in bytes, the least recently used goes first.

    Without room none is kept, and what was understood before is still made the short way.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits | None,
        tokens: SeenTokens,
        room: int,
        *,
        maker: Maker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._maker = maker
        self._limits = limits
        self._tokens = tokens
        self._room = room
        self._clock = clock
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._of: defaultdict[UUID, dict[Key, None]] = defaultdict(dict)  # by viewer, the oldest first
        self._making: dict[Key, asyncio.Future[None]] = {}
        self._paths: set[str] = set()  # of which responses have been kept
        self.size = 0
        metrics.watch_cache(holder="edge", producer="responses", state=self._state)

    def _state(self) -> metrics.CacheState:
        return metrics.CacheState(entries=len(self._kept), size=self.size)

    # For the listener.

    def key_of(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Key:
        """No name or value holds a line end (RFC 9110, 5.5)."""
        lines: list[bytes] = []
        for line in headers:
            if line[0] not in APART:
                lines += line
        return Key(blake2b(b"\n".join(lines), digest_size=32).digest(), url)

    def given(self, key: Key, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """The response, if it would be made the same again; None where the viewer's limit is spent, too."""
        began = time.perf_counter()
        kept = self._kept.get(key)
        if kept is None:
            return None
        brought = _brought(headers)
        client = NOBODY
        if brought:
            try:
                client = self._tokens.opened(b",".join(brought).decode("latin-1"))
            except BadRequest:
                return None  # it is told so
        if not kept.stands(client):
            # Or else it may stand again, once more has been heard. Who knows much fails often: no look for them.
            if not brought and kept.is_void():
                self._drop(key)
            return None
        if not kept.head:
            kept.head, kept.sealed = _head(kept.making), self._sealed(Seen(), kept)
        lines = [kept.head, b"%b: %b\r\n" % (SEEN, self._sealed(client, kept) if brought else kept.sealed)]
        if self._limits is not None and (allowance := self._limits.spend(kept.viewer, "")) is not None:
            if allowance.left < 0:
                self._limits.give_back(kept.viewer)
                return None
            lines += [b"%b: %b\r\n" % one for one in allowance.fields()]
        self._used(key, kept, headers)
        seconds = time.perf_counter() - began
        metrics.request_served(route=kept.making.route, method="GET", status=kept.making.status, seconds=seconds)
        return b"".join(lines), kept.making.body

    def _sealed(self, client: Seen, kept: _Kept) -> bytes:
        """What the client brought, and what it is shown now."""
        client.learn(kept.shown)
        return self._tokens.sealed(client).encode()

    def _used(self, key: Key, kept: _Kept, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self._kept.move_to_end(key)
        now = self._clock()
        touch = now - kept.touched_at > TOUCHED
        if touch:
            kept.touched_at = now
        for holder, call, shelf, held, _ in kept.parts:
            metrics.cache_read(holder=holder, call=call, hits=len(held.entries), misses=0)
            if touch:
                shelf.touch(held.entries)
        if tracing.exporting():
            with tracing.span(f"GET {kept.making.route}", kind="server", parent=traced(headers)) as span:
                span.note(**{"http.response.status_code": kept.making.status})

    # What is made.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = scope.get(KEY)
        if key is None:
            await self._app(scope, receive, send)
            return
        other = self._making.get(key) if scope["path"] in self._paths else None
        if other is not None:  # the same is being made: it may do here, too
            await asyncio.wait({other}, timeout=WAIT)
        # Or what was kept stands by now: word that nothing has changed may have come a turn after the request.
        if key in self._kept and await self._sent_again(key, scope, send):
            return
        made = self._making[key] = asyncio.get_running_loop().create_future()
        making = scope[MAKING] = Making()
        meaning = None if self._maker is None else self._maker.meaning(key)
        unlike = meaning is None and any(name in UNLIKE for name, _ in scope["headers"])

        async def send_and_note(message: Message) -> None:
            making.sent(message)
            if making.messages == 2 and not message.get("more_body", False):  # before a slow client has it
                if making.resting is not None and not unlike:
                    self._fill(key, scope["path"], making, making.resting)
                self._end(key, made)
            await send(message)

        response = None
        try:
            if self._maker is not None and meaning is not None:
                response = await self._maker.again(meaning, scope, _brought(scope["headers"]), making)
            if response is not None:
                await response(scope, receive, send_and_note)
            else:
                await self._app(scope, receive, send_and_note)
        finally:
            scope.pop(MAKING, None)  # a connection holds its last scope until it ends, and would hold the body
            self._end(key, made)

    def _end(self, key: Key, made: asyncio.Future[None]) -> None:
        if not made.done():
            made.set_result(None)
        if self._making.get(key) is made:
            del self._making[key]

    async def _sent_again(self, key: Key, scope: Scope, send: Send) -> bool:
        found = self.given(key, scope["headers"])
        if found is None:
            return False
        head, body = found
        status, *lines = head[:-2].split(b"\r\n")
        headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        await send({"type": "http.response.start", "status": int(status.split()[1]), "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return True

    def _fill(self, key: Key, path: str, making: Making, resting: Resting) -> None:
        viewer = None if making.viewer is None else making.viewer.user_id
        if not self._room or not resting.whole or not resting.parts or viewer is None or making.client is None:
            return
        self._paths.add(path)
        entries = sum(len(part.held.entries) for part in resting.parts)
        kept = _Kept(
            making,
            viewer,
            making.client.shown_here,
            resting.parts,
            OVERHEAD + len(key.url) + len(making.body) + OF_AN_ENTRY * entries,
            self._clock(),
        )
        making.client = making.resting = None  # what the client knows may be large, and is not asked for any more
        if key in self._kept:
            self._drop(key)
        if kept.size > self._room:
            return
        self._kept[key] = kept
        theirs = self._of[viewer]
        theirs[key] = None
        self.size += kept.size
        if len(theirs) > MOST_OF_ONE:
            self._drop(next(iter(theirs)))
        while self.size > self._room:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        kept = self._kept.pop(key)
        self.size -= kept.size
        theirs = self._of[kept.viewer]
        del theirs[key]
        if not theirs:
            del self._of[kept.viewer]


def room_in(settings: Settings) -> int:
    """Bytes of what the edge may keep that are for whole responses."""
    return settings.cache_bytes // 2 if settings.freshness == "on" else 0


def _brought(headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """The client's tokens of what it has seen."""
    return [value for name, value in headers if name == SEEN]


def _head(making: Making) -> bytes:
    phrase = HTTPStatus(making.status).phrase
    lines = [f"HTTP/1.1 {making.status} {phrase}".encode(), *(b"%b: %b" % one for one in making.headers)]
    return b"\r\n".join(lines) + b"\r\n"
