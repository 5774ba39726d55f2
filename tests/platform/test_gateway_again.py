"""The short way of a request that is understood: whoever may not pass on the long one does not pass here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast
from uuid import UUID

import msgspec
import pytest
from starlette.responses import Response
from starlette.types import Message

from tidings.contracts import timeline, users
from tidings.contracts.users import SignedIn, UserId
from tidings.edge.gateway import Gateway
from tidings.edge.limits import Allowance
from tidings.platform.contract import Contract, Served, Unavailable
from tidings.platform.http.listener import KEY
from tidings.platform.request import Request
from tidings.platform.settings import Settings

ADA: Final = UserId(UUID(int=1))
ROOM: Final = 4  # requests at once
LIMIT: Final = 50
URL: Final = b"/v1/feed?limit=3"
TOKEN: Final = b"Bearer tds_" + b"a" * 43
HEADERS: Final = ((b"host", b"127.0.0.1"), (b"authorization", TOKEN))


@dataclass
class Limited:
    """So many requests are left."""

    left: int = LIMIT

    def spend(self, viewer: UUID | None, address: str) -> Allowance:
        assert viewer == ADA
        self.left -= 1
        return Allowance("person", LIMIT, self.left, 60)


@dataclass
class Front:
    """A gateway whose services are played. `answers` is what the feed does."""

    limits: Any = field(default_factory=Limited)
    signed_in: bool = True
    asked: list[Request] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)  # settings
    short: int = 0  # times that the short way was gone, or tried
    answers: Callable[[], Any] = lambda: Served(200, msgspec.Raw(b'{"items":[]}'))

    def __post_init__(self) -> None:
        settings = Settings(data=Path("none"), max_requests_at_once=ROOM, **self.more)
        world: Any = self
        gateway = Gateway(world, settings, b"secret" * 8, ["messages", "timeline", "users"], self.limits)
        self.app = gateway.app([Contract.of(cast("ModuleType", timeline))])
        again = gateway.again

        async def counted(*given: Any) -> Response | None:
            self.short += 1
            return await again(*given)

        gateway.again = counted  # type: ignore[method-assign]

    async def call(self, call: Any, ask: Any, *, request: Request) -> Any:
        if call is users.whois:
            holder = SignedIn(user_id=ADA, role="member", session_id=UUID(int=9), as_of=1, expires_ms=2**50)
            return [holder if self.signed_in else None]
        assert call is timeline.get_feed.call
        self.asked.append(request)
        answer = self.answers()
        if asyncio.iscoroutine(answer):
            answer = await answer
        return answer

    async def get(self, *more: tuple[bytes, bytes], url: bytes = URL) -> tuple[int, dict[str, str], bytes]:
        headers, sent = [*HEADERS, *more], list[Message]()

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError("nobody reads a body")

        path, _, query = url.partition(b"?")
        scope = {
            "type": "http", "method": "GET", "scheme": "http", "path": path.decode(), "query_string": query,
            "headers": headers, "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80), "state": {},
            KEY: self.app.key_of(url, headers),
        }  # fmt: skip
        await self.app(scope, receive, send)
        start, body = sent
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], told, body["body"]


@pytest.fixture
async def front() -> Front:
    """That has understood it."""
    made = Front()
    assert (await made.get())[0] == 200
    assert made.short == 0
    return made


async def test_both_ways_tell_the_same(front: Front) -> None:
    other = Front()
    (status, told, body), again = await other.get(), await front.get()
    assert front.short == 1
    assert (again[0], again[2]) == (status, body)
    assert again[1].keys() == told.keys()
    unlike = {"tidings-seen", "ratelimit"}
    assert {name: told[name] for name in told.keys() - unlike} == {
        name: again[1][name] for name in told.keys() - unlike
    }
    asked_first, asked_again = other.asked[0], front.asked[1]
    assert msgspec.structs.replace(asked_first, deadline=0) == msgspec.structs.replace(asked_again, deadline=0)


@pytest.mark.parametrize("more", [{"cache_bytes": 0}, {"freshness": "off"}])
async def test_where_nothing_is_kept_it_is_understood_all_the_same(more: dict[str, Any]) -> None:
    front = Front(more=more)
    answers = [await front.get() for _ in range(3)]
    assert (front.short, len(front.asked)) == (2, 3)
    assert [(status, body) for status, _, body in answers] == [(200, b'{"items":[]}')] * 3


async def test_who_is_signed_out_is_told_so(front: Front) -> None:
    front.signed_in = False
    status, _, body = await front.get()
    assert (front.short, status, msgspec.json.decode(body)["code"]) == (1, 401, "unauthenticated")
    assert len(front.asked) == 1


async def test_both_ways_are_a_step_of_the_clients_trace(front: Front) -> None:
    for fresh in (front, Front()):  # the short way, and the long one
        fresh.signed_in = False
        trace = secrets.token_hex(16)
        _, _, body = await fresh.get((b"traceparent", f"00-{trace}-{secrets.token_hex(8)}-01".encode()))
        assert msgspec.json.decode(body)["trace_id"] == trace
    assert front.short == 1


async def test_the_limit_is_counted_and_told(front: Front) -> None:
    _, told, _ = await front.get()
    assert told["ratelimit"] == f'"person";r={LIMIT - 2};t=60'
    front.limits.left = 0
    status, told, body = await front.get()
    assert (front.short, status, msgspec.json.decode(body)["code"]) == (2, 429, "too_many_requests")
    assert (told["retry-after"], told["ratelimit"]) == ("60", '"person";r=0;t=60')
    assert len(front.asked) == 2


async def test_what_it_brings_of_what_it_has_seen_counts_in_all_its_lines(front: Front) -> None:
    _, told, _ = await front.get()
    token = told["tidings-seen"].encode()
    assert (await front.get((b"tidings-seen", token), (b"tidings-seen", token)))[0] == 200
    for fresh in (front, Front()):  # the short way, and the long one
        status, _, body = await fresh.get((b"tidings-seen", token), (b"tidings-seen", b"nonsense"))
        assert (status, msgspec.json.decode(body)["code"]) == (400, "bad_request")
    assert front.short == 3


def refused() -> Any:
    raise Unavailable("away", service="messages")


def broken() -> Any:
    raise LookupError("a mistake of ours")


async def never() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("answers", "status"), [(refused, 503), (broken, 500), (never, None)])
async def test_whatever_comes_of_it_leaves_its_room(
    front: Front, answers: Callable[[], Any], status: int | None
) -> None:
    plain, front.answers = front.answers, answers
    for _ in range(2 * ROOM):
        asking = asyncio.create_task(front.get())
        if status is not None:
            assert (await asking)[0] == status
            continue
        await asyncio.sleep(0.01)
        asking.cancel()
        assert (await asyncio.gather(asking, return_exceptions=True))[0].__class__ is asyncio.CancelledError
    front.answers = plain
    assert (await front.get())[0] == 200
    assert front.short == 2 * ROOM + 1


async def test_where_there_is_no_room_it_is_refused_before_anything_is_done(front: Front) -> None:
    going = asyncio.Event()

    async def waits() -> Any:
        await going.wait()
        return Served(200, msgspec.Raw(b"{}"))

    urls = [URL + b"&" * number for number in range(2 * ROOM)]  # each its own: nobody waits for another's
    for url in urls:
        assert (await front.get(url=url))[0] == 200
    front.answers, asked = waits, len(front.asked)
    asking = [asyncio.create_task(front.get(url=url)) for url in urls]
    await asyncio.sleep(0.05)
    refused_now = [(await one)[:2] for one in asking if one.done()]
    assert len(refused_now) == 2 * ROOM - (len(front.asked) - asked) >= ROOM
    assert {(status, told["retry-after"]) for status, told in refused_now} == {(503, "1")}
    going.set()
    assert {(await one)[0] for one in asking} == {200, 503}
