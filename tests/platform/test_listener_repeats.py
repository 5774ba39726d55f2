"""What the listener gives again at once: where the connection can take it, in the order of the requests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tidings.platform.http.listener import COPIED, KEY, Listener, _Together, bind_tcp


@dataclass
class Known:
    """Knows the responses to some addresses."""

    urls: set[bytes] = field(default_factory=lambda: {b"/known"})
    asked: list[bytes] = field(default_factory=list)

    def key_of(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        return url

    def given(self, key: bytes, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        self.asked.append(key)
        return (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", b"known") if key in self.urls else None


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    body = await Request(scope, receive).body()
    made = scope["method"] + " " + scope["path"] + " " + body.decode() + " " + scope.get(KEY, b"-").decode()
    await PlainTextResponse(made)(scope, receive, send)


@asynccontextmanager
async def talking(
    known: Known, idle_timeout: float = 5
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listener = Listener(app, bind_tcp("127.0.0.1", 0), idle_timeout=idle_timeout, header_timeout=5, repeats=known)
    await listener.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await listener.stop()


async def answers(reader: asyncio.StreamReader, count: int) -> list[str]:
    found = []
    for _ in range(count):
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        assert "\r\ndate: " in head
        length = re.search(r"content-length: (\d+)", head)
        assert length is not None
        found.append((await reader.readexactly(int(length[1]))).decode())
    return found


def get(url: str, *lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {url} HTTP/{version}", "host: there", *lines, "", ""]).encode()


async def test_what_is_known_is_given_and_the_connection_goes_on() -> None:
    async with talking(Known()) as (reader, writer):
        for url, expected in (
            ("/known", "known"),
            ("/new", "GET /new  /new"),
            ("/known", "known"),
            ("/known", "known"),
            ("/new?a=1", "GET /new  /new?a=1"),
        ):
            writer.write(get(url))
            assert await answers(reader, 1) == [expected]


async def test_requests_that_come_together_are_answered_in_their_order() -> None:
    known = Known()
    async with talking(known) as (reader, writer):
        writer.write(get("/known") + get("/known") + get("/new") + get("/known") + get("/other"))
        expected = ["known", "known", "GET /new  /new", "GET /known  /known", "GET /other  /other"]
        assert await answers(reader, 5) == expected
        assert known.asked == [b"/known", b"/known", b"/new"]  # then something was under way
        writer.write(get("/known"))
        assert await answers(reader, 1) == ["known"]


async def test_a_request_in_pieces_is_given_once_it_is_whole() -> None:
    async with talking(Known()) as (reader, writer):
        for part in (b"GET /kno", b"wn HTTP/1.1\r\nho", b"st: there\r\n", b"\r\n"):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        assert await answers(reader, 1) == ["known"]


async def test_only_get_is_given() -> None:
    async with talking(Known()) as (reader, writer):
        writer.write(b"POST /known HTTP/1.1\r\nhost: there\r\ncontent-length: 2\r\n\r\nhi" + get("/new"))
        assert await answers(reader, 2) == ["POST /known hi -", "GET /new  /new"]


async def test_who_closes_the_connection_is_answered_as_ever() -> None:
    for last in (
        get("/known", "connection: close"),
        get("/known", version="1.0"),
        get("/known", "connection: keep-alive", version="1.0"),
    ):
        async with talking(Known()) as (reader, writer):
            writer.write(last)
            said = (await asyncio.wait_for(reader.read(), 5)).decode()
            assert said.endswith("GET /known  /known")
            assert "connection: close" in said


async def test_an_idle_connection_is_closed_after_what_was_given() -> None:
    listener = Listener(app, bind_tcp("127.0.0.1", 0), idle_timeout=1, header_timeout=5, repeats=Known())
    await listener.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(get("/known"))
        assert await answers(reader, 1) == ["known"]
        assert await asyncio.wait_for(reader.read(), 3) == b""
        writer.close()
    finally:
        await listener.stop()


async def test_what_is_slow_after_what_was_given_is_not_taken_for_idle() -> None:
    async with talking(Known(), idle_timeout=1) as (reader, writer):
        writer.write(get("/known") + get("/slow"))
        assert await answers(reader, 2) == ["known", "GET /slow  /slow"]


async def test_who_waits_before_sending_a_body_is_told_to_go_on() -> None:
    async with talking(Known()) as (reader, writer):
        for _ in range(2):
            writer.write(b"POST /new HTTP/1.1\r\nhost: there\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n")
            interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"body")
            assert await answers(reader, 1) == ["POST /new body -"]


async def test_an_answer_without_a_body_comes_before_the_next() -> None:
    async with talking(Known()) as (reader, writer):
        for _ in range(20):
            writer.write(get("/new").replace(b"GET", b"HEAD"))
            await asyncio.sleep(0)
            writer.write(get("/known"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert b"content-length: 12\r\n" in head  # of `HEAD /new  -`
            assert (await answers(reader, 1))[0] in ("known", "GET /known  /known")  # if the first was under way


@dataclass
class Written:
    """Plays the transport."""

    parts: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def is_closing(self) -> bool:
        return b"closed" in self.parts

    def close(self) -> None:
        self.parts.append(b"closed")


def together(written: Written) -> _Together:
    return _Together(cast("asyncio.Transport", written), asyncio.get_running_loop())


async def test_a_head_and_its_body_are_written_together() -> None:
    written = Written()
    response = together(written)
    for part in (b"head", b"body", b"more"):
        response.write(part)
    assert written.parts == [b"headbody", b"more"]
    await asyncio.sleep(0)
    assert written.parts == [b"headbody", b"more"]


async def test_a_head_waits_for_its_body_no_longer_than_a_turn() -> None:
    written = Written()
    response = together(written)
    response.write(b"head")
    assert written.parts == []
    await asyncio.sleep(0)
    assert written.parts == [b"head"]
    response.write(b"event")
    assert written.parts == [b"head", b"event"]


async def test_a_large_body_is_not_copied_and_nothing_is_left_at_the_end() -> None:
    written, ended = Written(), Written()
    response = together(written)
    response.write(b"head")
    response.write(b"x" * (COPIED + 1))
    assert written.parts == [b"head", b"x" * (COPIED + 1)]
    response = together(ended)
    response.write(b"head")
    response.close()
    await asyncio.sleep(0)
    assert ended.parts == [b"head", b"closed"]
