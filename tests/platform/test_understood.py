"""What requests mean that came before: by their head and their address, and nothing that is theirs alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tidings.contracts import timeline
from tidings.edge import understood
from tidings.edge.response_cache import Making, ResponseCache
from tidings.edge.understood import LONGEST, MOST, OTHERWISE, Key, Meaning, Read, Understood
from tidings.platform.http.listener import KEY

READ = Read(timeline.get_feed, timeline.FeedAsk())
HEADERS = ((b"host", b"there"), (b"authorization", b"Bearer ada"))


def test_a_head_says_who_asks_and_an_address_what() -> None:
    known, other = Understood(), Read(timeline.get_feed, timeline.FeedAsk(limit=3))
    known.note(Key(b"ada", b"/feed"), HEADERS, b"token of ada", READ)
    known.note(Key(b"bob", b"/feed?limit=3"), HEADERS, b"token of bob", other)
    assert known.meaning(Key(b"ada", b"/feed")) == Meaning(b"token of ada", READ)
    assert known.meaning(Key(b"ada", b"/feed?limit=3")) == Meaning(b"token of ada", other)
    assert known.meaning(Key(b"bob", b"/feed")) == Meaning(b"token of bob", READ)
    assert known.meaning(Key(b"cleo", b"/feed")) is None
    assert known.meaning(Key(b"ada", b"/other")) is None


@pytest.mark.parametrize("name", sorted(OTHERWISE))
def test_what_says_something_of_one_request_alone_is_not_remembered(name: bytes) -> None:
    known = Understood()
    known.note(Key(b"ada", b"/feed"), (*HEADERS, (name, b"1")), b"token", READ)
    assert known.meaning(Key(b"ada", b"/feed")) is None


def test_a_long_address_is_not_remembered() -> None:
    known, url = Understood(), b"/feed?" + b"x" * LONGEST
    known.note(Key(b"ada", url), HEADERS, b"token", READ)
    assert known.meaning(Key(b"ada", url)) is None


def test_of_what_is_too_much_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(understood, "MOST", 3)
    known, keys = Understood(), [Key(str(number).encode(), str(number).encode()) for number in range(4)]
    for key in (*keys, keys[3]):
        known.note(key, HEADERS, key.head, READ)
    assert [known.meaning(key) is not None for key in keys] == [False, True, True, True]
    assert MOST >= 1000


@dataclass
class Front:
    """What stands before the application; `again` is what is made of a request that is understood."""

    meaning_of: dict[bytes, Meaning]
    again_: Response | None
    brought: list[Sequence[bytes]] = field(default_factory=list)
    asked: int = 0  # times that the application was

    def __post_init__(self) -> None:
        tokens: Any = None
        self.cache = ResponseCache(self._app, None, tokens, 100_000, maker=self)

    def meaning(self, key: Key) -> Meaning | None:
        return self.meaning_of.get(key.url)

    async def again(
        self, meaning: Meaning, scope: Scope, brought: Sequence[bytes], making: Making
    ) -> Response | None:
        assert meaning.read is READ
        self.brought.append(brought)
        return self.again_

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await Response(b"in full")(scope, receive, send)

    async def asks(self, url: bytes, *more: tuple[bytes, bytes]) -> bytes:
        headers, sent = [*HEADERS, *more], list[Message]()

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError("nobody reads a body")

        key = self.cache.key_of(url, headers)
        scope = {"type": "http", "method": "GET", "path": url.decode(), "headers": headers, KEY: key}
        await self.cache(scope, receive, send)
        return b"".join(message.get("body", b"") for message in sent)


async def test_what_is_understood_takes_the_short_way() -> None:
    front = Front({b"/feed": Meaning(b"token", READ)}, Response(b"again"))
    assert await front.asks(b"/feed", (b"tidings-seen", b"one"), (b"tidings-seen", b"two")) == b"again"
    assert (front.brought, front.asked) == ([[b"one", b"two"]], 0)
    assert await front.asks(b"/other") == b"in full"
    assert (len(front.brought), front.asked) == (1, 1)


async def test_where_there_is_no_room_on_the_short_way_it_is_refused_on_the_other() -> None:
    front = Front({b"/feed": Meaning(b"token", READ)}, None)
    assert await front.asks(b"/feed") == b"in full"
    assert (len(front.brought), front.asked) == (1, 1)


def test_the_key_is_of_all_but_what_the_client_has_seen() -> None:
    key_of = Front({}, None).cache.key_of
    key = key_of(b"/feed", HEADERS)
    assert key == key_of(b"/feed", (*HEADERS, (b"tidings-seen", b"one")))
    assert key.head == key_of(b"/other", HEADERS).head
    assert key.head != key_of(b"/feed", (*HEADERS, (b"accept", b"*/*"))).head
    assert key.head != key_of(b"/feed", (HEADERS[0], (HEADERS[1][0], b"Bearer bob"))).head
    assert key_of(b"/feed", ((b"a", b"b"), (b"c", b"d"))) != key_of(b"/feed", ((b"a", b"bc"), (b"", b"d")))
