"""What is refused when there is too much to do: for how many there is room, and who takes none of it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tidings import everything
from tidings.edge.shedding import FEWEST, LOOK_EVERY, QUICK, STUCK, TELLING, Room, Shedding
from tidings.platform import metrics

MOST = 8
ROUTES = [route for kind in everything.KINDS for route in kind.contract.routes]
COMPOSITE, OWN, STREAM = "/v1/timeline", "/v1/users/me", "/v1/stream"


def looks(room: Room, times: int, *, seconds: float, began: float = 0.0) -> float:
    """As many looks at reads that took so long; when it is now."""
    now = began
    for _ in range(times):
        for _ in range(TELLING):
            now += 1.01 * LOOK_EVERY / TELLING
            room.answered(seconds, now)
    return now


def test_there_is_less_room_while_most_reads_are_slow_and_more_again_after() -> None:
    room = Room(256)
    now = looks(room, 2, seconds=2 * QUICK)
    assert room.size < 256
    now = looks(room, 20, seconds=2 * QUICK, began=now)
    assert room.size == FEWEST
    looks(room, 60, seconds=QUICK / 2, began=now)
    assert room.size == 256


def test_a_slow_service_is_not_too_much_to_do() -> None:
    room = Room(256)
    for turn in range(1000):
        room.answered(QUICK / 2 if turn % 3 else 1.0, turn * LOOK_EVERY)
    assert room.size == 256


def test_reads_that_wait_for_a_service_in_vain_tell_nothing_of_the_work_here() -> None:
    room = Room(256)
    looks(room, 20, seconds=1.01 * STUCK)
    assert room.size == 256


def test_others_keep_their_quarter_when_there_is_less_room_than_before() -> None:
    room = Room(256)
    room.waiting = room.under_way = 192
    room.size = FEWEST
    assert not room.has(True)
    for _ in range(FEWEST // 4):
        assert room.has(False)
        room.under_way += 1
    assert not room.has(False)


def test_there_is_never_more_room_than_the_setting_says() -> None:
    room = Room(4)
    looks(room, 5, seconds=1.0)
    assert room.size == 4


class Front:
    """The edge, in which every request is held until `go`."""

    def __init__(self, most: int = MOST) -> None:
        self.served = 0
        self.status = 200
        self.held = asyncio.Event()
        self.shedding = Shedding(self._app, ROUTES, most=most)
        self._tasks: list[asyncio.Task[Any]] = []

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await receive()
        await self.held.wait()
        self.served += 1
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def asks(
        self, path: str, method: str = "GET", *, reads: bool = True, writes: bool = True, accept: str = "*/*"
    ) -> asyncio.Task[Any]:
        """A request of a client that does, or does not, send its body and read its answer."""

        async def receive() -> Any:
            if not writes:
                await asyncio.sleep(60)
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)
            if not reads:
                await asyncio.sleep(60)

        async def ask() -> Any:
            headers = [(b"accept", accept.encode())]
            await self.shedding({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)
            return sent

        sent: list[Any] = []
        task = asyncio.create_task(ask())
        self._tasks.append(task)
        return task

    async def ended(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert (self.shedding.room.under_way, self.shedding.room.waiting) == (0, 0)


async def settles() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def status(asked: asyncio.Task[Any]) -> int | None:
    """What was answered; None while it is held."""
    return asked.result()[0]["status"] if asked.done() else None


async def test_composites_go_first_and_all_others_when_it_is_full() -> None:
    front = Front()
    held = [front.asks(COMPOSITE) for _ in range(MOST)]
    await settles()
    assert [status(one) for one in held] == [None] * 6 + [503] * 2
    held = [*held[:6], front.asks("/v1/messages", "POST"), front.asks(OWN)]
    full = [front.asks("/v1/messages", "POST"), front.asks(OWN), front.asks(COMPOSITE), front.asks("/v1/nothing")]
    free = [front.asks("/livez"), front.asks("/readyz"), front.asks("/static/1/tidings.css")]
    await settles()
    assert [status(one) for one in (*held, *free)] == [None] * 11
    assert [status(one) for one in full] == [503] * 4
    for one in full:
        start, body = one.result()
        headers = dict(start["headers"])
        assert (start["status"], headers[b"retry-after"]) == (503, b"1")
        assert headers[b"content-type"] == b"application/problem+json"
        assert msgspec.json.decode(body["body"])["code"] == "overloaded"
    shed = metrics.render().decode()
    assert 'tidings_requests_shed_total{kind="can_wait"}' in shed
    assert 'tidings_requests_shed_total{kind="other"}' in shed

    front.held.set()
    await settles()
    assert [status(one) for one in (*held, *free, front.asks(COMPOSITE))] == [200] * 11 + [None]
    await front.ended()


async def test_writes_alone_may_take_all_of_it() -> None:
    front = Front()
    writes = [front.asks("/v1/messages", "POST") for _ in range(MOST + 1)]
    await settles()
    assert [status(one) for one in writes] == [None] * MOST + [503]
    await front.ended()


@pytest.mark.parametrize("path", ["/", "/feed", "/people/1", "/@ada", "/messages/1", "/v1/messages/1/replies"])
async def test_pages_of_others_contents_can_wait_too(path: str) -> None:
    front = Front(most=1)
    front.shedding.room.waiting = 1
    refused = front.asks(path)
    await settles()
    assert status(refused) == 503
    front.shedding.room.waiting = 0
    await front.ended()


@pytest.mark.parametrize("path", ["/v1/messages/1", "/settings", "/write", "/notifications", "/v1/notifications"])
async def test_ones_own_and_single_things_cannot(path: str) -> None:
    front = Front(most=1)
    front.shedding.room.waiting = 1
    held = front.asks(path)
    await settles()
    assert status(held) is None
    front.shedding.room.waiting = 0
    await front.ended()


async def test_a_browser_gets_a_page() -> None:
    front = Front(most=1)
    front.shedding.room.under_way = 1
    asked = front.asks("/feed", accept="text/html")
    await settles()
    start, body = asked.result()
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")
    assert b"Too much to do right now" in body["body"]
    front.shedding.room.under_way = 0
    await front.ended()


async def test_what_is_refused_tells_nothing_of_how_quick_reads_are() -> None:
    front = Front()
    front.status = 503
    front.held.set()
    for _ in range(10 * TELLING):
        await front.asks(OWN)
    assert front.shedding.room.told == 0
    front.status = 404
    await front.asks(OWN)
    assert front.shedding.room.told == 1
    await front.ended()


async def test_slow_clients_and_streams_take_no_room() -> None:
    front = Front()
    for _ in range(MOST):
        front.asks("/v1/messages", "POST", writes=False)  # its body does not come
        front.asks(STREAM)
    await settles()
    assert front.shedding.room.under_way == 0
    front.held.set()
    for _ in range(MOST):
        front.asks(OWN, reads=False)  # its answer is not taken
        await settles()
    assert front.served == 2 * MOST
    assert front.shedding.room.under_way == 0
    await front.ended()
