"""Row 43: clients that are slow, many or silent are cut, and the others are served."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.harness.system import Whole
from tests.security.conftest import Wary
from tests.security.listening import Ear, ear

HEAD = b"POST /v1/sessions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
PATIENCE = 6.0  # seconds: far beyond the wary system's time-outs, far below those by default


async def _cut_after(wary: Wary, first: bytes, drip: Callable[[int], bytes]) -> tuple[float, bytes]:
    """How long a client is endured that sends `first`, then one piece every 50 ms; and what it was told."""
    client = await ear(wary.port)
    client.says(first)
    began = time.monotonic()
    number = 0
    while not client.closed.is_set() and time.monotonic() - began < PATIENCE:
        client.says(drip(number))
        number += 1
        await asyncio.sleep(0.05)
    took = time.monotonic() - began
    client.transport.abort()
    return took, client.heard


@pytest.mark.parametrize(
    ("first", "drip", "told"),
    [
        pytest.param(b"", lambda n: b"", b"", id="nothing"),
        pytest.param(b"", lambda n: HEAD[n : n + 1], b"", id="headers a byte at a time"),
        pytest.param(HEAD, lambda n: b"x-%d: y\r\n" % n, b"", id="headers without end"),
        pytest.param(b"", lambda n: b"\r\n", b"", id="empty lines"),
        pytest.param(HEAD + b"content-length: 5000\r\n\r\n", lambda n: b"{", b"408", id="a body a byte at a time"),
        pytest.param(
            HEAD + b"transfer-encoding: chunked\r\n\r\n", lambda n: b"1\r\n{\r\n", b"408", id="chunks of a byte"
        ),
        pytest.param(
            b"POST /setup HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"
            b"sec-fetch-site: same-origin\r\ncontent-length: 5000\r\n\r\n",
            lambda n: b"x",
            b"408",
            id="a form a byte at a time",
        ),
        pytest.param(
            b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5000\r\n\r\n",
            lambda n: b"x",
            b"401",
            id="a body after its answer",
        ),
        pytest.param(
            b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
            lambda n: b"\r\n",
            b"200",
            id="empty lines after an answer",
        ),
    ],
)
async def test_row_43_a_slow_client_is_cut(
    wary: Wary, first: bytes, drip: Callable[[int], bytes], told: bytes
) -> None:
    took, answer = await _cut_after(wary, first, drip)
    assert took < PATIENCE
    assert told in answer.partition(b"\r\n")[0]
    assert (await wary.client.ask("GET", "/livez")).status == 200


async def test_row_43_a_silent_connection_after_an_answer_is_closed(wary: Wary) -> None:
    reader, writer = await asyncio.open_connection(wary.host, wary.port)
    writer.write(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    assert answer.startswith(b"HTTP/1.1 200")
    writer.close()


async def test_row_43_headers_without_end_fill_no_memory(wary: Wary) -> None:
    reader, writer = await asyncio.open_connection(wary.host, wary.port)
    writer.write(HEAD + b"x-long: ")
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 50_000_000 and not reader.at_eof():
            writer.write(b"y" * 16_384)
            await writer.drain()
            sent += 16_384
    assert sent < 5_000_000
    writer.close()


@contextlib.asynccontextmanager
async def idle(port: int, count: int) -> AsyncIterator[Callable[[], int]]:
    """So many connections that say nothing; gives how many of them are still open."""
    clients: list[Ear] = []
    gate = asyncio.Semaphore(200)

    async def opened() -> None:
        async with gate:
            clients.append(await ear(port))

    try:
        await asyncio.gather(*(opened() for _ in range(count)))
        yield lambda: sum(not client.closed.is_set() for client in clients)
    finally:
        for client in clients:
            client.transport.abort()
        await asyncio.sleep(0)


async def test_row_43_beyond_the_most_connections_those_inside_are_served(wary: Wary) -> None:
    assert (await wary.client.ask("GET", "/livez")).status == 200  # its connection is kept
    async with idle(wary.port, 100) as still_open:
        assert (await wary.client.ask("GET", "/livez")).status == 200
        async with asyncio.timeout(5):
            while still_open() > 60:
                await asyncio.sleep(0.01)
    assert (await wary.client.ask("GET", "/livez")).status == 200


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_row_43_thousands_of_idle_connections_hinder_nobody(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Both ends are in this process; a thousand descriptors are left for everything else.
    count = min(10_000, (soft - 1000) // 2)
    async with idle(int(tidings.system.url.rpartition(":")[2]), count) as still_open:
        assert still_open() > count // 4  # on a busy machine the first are cut for their silence by now
        for _ in range(5):
            assert (await asyncio.wait_for(alice.get("/v1/timeline"), 5)).status == 200
        async with aiohttp.ClientSession() as fresh, fresh.get(tidings.system.url + "/readyz") as answer:
            assert answer.status == 200
