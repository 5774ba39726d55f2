"""What is refused before anything is done for it, while more is under way than can be answered in time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidings.edge.html import standing_response, wants_page
from tidings.edge.refusing import refused
from tidings.edge.streams import EVENT_STREAM
from tidings.platform import metrics
from tidings.platform.contract import Route
from tidings.platform.http.problems import Overloaded

NEVER: Final = frozenset({"/livez", "/readyz", "/style.css"})  # who asks has to know, or costs nothing
ASSETS: Final = "/static/"
READS: Final = frozenset({"GET", "HEAD"})
QUICK: Final = 0.1  # seconds; where most reads take longer, too many are under way
STUCK: Final = 1.5  # seconds; who takes longer waits for a service, and that is not for want of room here
LOOK_EVERY: Final = 0.1  # seconds between two changes of the room
TELLING: Final = 8  # reads that have to be answered in between
FEWEST: Final = 32
OVERLOADED: Final = Overloaded("Too many ask at this moment. Try again in a second.", retry_after=1)


class Room:
    """For how many requests there is room: `most`, and fewer while most reads are slow, whatever the reason.

    Additive increase, multiplicative decrease (Chiu and Jain, 1989). It is the quicker half that counts: a slow
    service makes some reads slow, and too much work all.
    """

    def __init__(self, most: int) -> None:
        self.size = most
        self.under_way = 0
        self.waiting = 0  # of those, who asked for what can wait
        self._most = most
        self._fewest = min(FEWEST, most)
        self.told = 0  # reads that were answered since the last look
        self._quick = 0
        self._looked_at = 0.0

    def has(self, can_wait: bool) -> bool:
        """Whether one more may come in. What can wait gets three quarters; the fourth is for others alone."""
        if can_wait:
            return self.under_way < self.size and self.waiting < max(1, self.size * 3 // 4)
        return self.under_way < self.size or self.under_way - self.waiting < self.size // 4

    def enter(self, can_wait: bool) -> None:
        self.under_way += 1
        self.waiting += can_wait

    def leave(self, can_wait: bool) -> None:
        self.under_way -= 1
        self.waiting -= can_wait

    def answered(self, seconds: float, now: float) -> None:
        """A read took as long."""
        if seconds > STUCK:
            return
        self.told += 1
        self._quick += seconds < QUICK
        if self.told >= TELLING and now - self._looked_at >= LOOK_EVERY:
            if self._quick * 2 < self.told:
                self.size = max(self._fewest, self.size * 3 // 4)
            else:
                self.size = min(self._most, self.size + max(1, self.size // 16))
            self.told = self._quick = 0
            self._looked_at = now


class Shedding:
    """ASGI. A request counts while we have to do with it.

    That is not while its body is on its way to us, nor from the beginning of its answer on: neither a slow client
    nor a stream that lasts takes the room of others.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[Route[Any, Any]],
        *,
        most: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.app = app
        self.room = Room(most)
        self._clock = clock
        routes = list(routes)
        self._lasting = frozenset(route.path for route in routes if route.content_type == EVENT_STREAM)
        waiting = [route.path for route in routes if route.can_wait]
        self._plain = frozenset(path for path in waiting if "{" not in path)
        self._shapes = re.compile("|".join(_shape(path) for path in waiting if "{" in path) or r"(?!)")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, room = scope["path"], self.room
        if path in NEVER or path.startswith(ASSETS):
            await self.app(scope, receive, send)
            return
        read = scope["method"] in READS
        can_wait = read and (path in self._plain or self._shapes.fullmatch(path) is not None)
        if not room.has(can_wait):
            metrics.request_shed(kind="can_wait" if can_wait else "other")
            await _response(scope)(scope, receive, send)
            return
        if path in self._lasting:  # it waits for news before it answers
            await self.app(scope, receive, send)
            return
        counted, began = True, self._clock()

        async def receive_uncounted() -> Message:
            if not counted:
                return await receive()
            room.under_way -= 1
            try:
                return await receive()
            finally:
                room.under_way += 1

        async def send_counted(message: Message) -> None:
            nonlocal counted
            if counted:
                counted = False
                room.leave(can_wait)
                if read and message["status"] < 500:  # what is refused is quick, however much there is to do
                    now = self._clock()
                    room.answered(now - began, now)
            await send(message)

        room.enter(can_wait)
        try:
            await self.app(scope, receive_uncounted, send_counted)
        finally:
            if counted:
                counted = False
                room.leave(can_wait)


def _shape(path: str) -> str:
    return "/".join(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(part)) for part in path.split("/"))


def _response(scope: Scope) -> Response:
    asked = Headers(scope=scope)
    return standing_response(asked, OVERLOADED) if wants_page(asked) else refused(scope, OVERLOADED)
