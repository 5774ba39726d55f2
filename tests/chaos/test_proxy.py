"""The proxy does to bytes what it says, to those it says, and tells when it did."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.proxy import Proxy, Trouble

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before somebody who repeats each line."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    with tempfile.TemporaryDirectory(prefix="tidings-proxy-") as name:
        echo = await asyncio.start_unix_server(repeat, f"{name}/echo")
        one = Proxy("echo", Path(name) / "door", Path(name) / "echo", {os.getpid(): "me"}.__getitem__)
        await one.start()
        yield one
        await one.stop()
        echo.close()


async def opened(proxy: Proxy) -> Opened:
    return await asyncio.open_unix_connection(str(proxy.listens))


async def says(way: Opened, line: bytes, *, within: float = 5.0) -> bytes:
    way[1].write(line)
    async with asyncio.timeout(within):
        return await way[0].readline()


async def test_bytes_pass_and_are_counted(proxy: Proxy) -> None:
    way = await opened(proxy)
    assert await says(way, b"one\n") == b"one\n"
    assert (proxy.passed, proxy.in_flight(), len(proxy.of("me")), len(proxy.of("other"))) == (8, 0, 1, 0)
    way[1].close()
    async with asyncio.timeout(5):
        while proxy.connections:
            await asyncio.sleep(0.01)


async def test_what_was_held_arrives_late(proxy: Proxy) -> None:
    way = await opened(proxy)
    trouble = proxy.disturb(Trouble("hold", ways=("there",)))
    with pytest.raises(TimeoutError):
        await says(way, b"late\n", within=0.2)
    assert (trouble.parts, proxy.in_flight("me")) == (1, 1)
    proxy.heal()
    assert await asyncio.wait_for(way[0].readline(), 5) == b"late\n"
    assert proxy.in_flight() == 0
    way[1].close()


async def test_what_was_swallowed_is_gone_and_its_connection_half_open(proxy: Proxy) -> None:
    lost, other = await opened(proxy), await opened(proxy)
    trouble = proxy.disturb(Trouble("swallow", ways=("back",), needle=b"lose", once=True))
    with pytest.raises(TimeoutError):
        await says(lost, b"lose this\n", within=0.2)
    proxy.heal()
    with pytest.raises(TimeoutError):
        await says(lost, b"and this\n", within=0.2)
    assert await says(other, b"lose not this\n") == b"lose not this\n"
    assert trouble.parts == 1
    assert proxy.forget() == 1
    assert await asyncio.wait_for(lost[0].read(), 5) == b""
    for way in (lost, other):
        way[1].close()


async def test_a_cut_is_noticed_at_once(proxy: Proxy) -> None:
    way = await opened(proxy)
    proxy.disturb(Trouble("cut", ways=("back",)))
    assert await says(way, b"never answered\n") == b""
    proxy.heal()
    again = await opened(proxy)
    assert await says(again, b"again\n") == b"again\n"
    for one in (way, again):
        one[1].close()


async def test_delays_and_drips_take_their_time(proxy: Proxy) -> None:
    way = await opened(proxy)
    for trouble in (Trouble("delay", seconds=0.1), Trouble("drip", seconds=0.02)):
        proxy.disturb(trouble)
        began = time.monotonic()
        assert await says(way, b"12345\n") == b"12345\n"
        assert time.monotonic() - began > 0.19
        proxy.heal()
    way[1].close()


async def test_others_are_left_alone(proxy: Proxy) -> None:
    way = await opened(proxy)
    proxy.disturb(Trouble("hold", caller="somebody else"))
    proxy.disturb(Trouble("hold", needle=b"other words"))
    assert await says(way, b"mine\n") == b"mine\n"
    way[1].close()


async def test_one_connection_can_be_spoilt(proxy: Proxy) -> None:
    first, second = await opened(proxy), await opened(proxy)
    for way, line in ((first, b"gid 1\n"), (second, b"gid 2\n"), (first, b"gid 2 too\n")):
        assert await says(way, line) == line
    found = proxy.last_to_carry(b"gid 2")
    assert found is not None
    assert found.carried_at(b"gid 1") > 0
    proxy.disturb(Trouble("swallow", ways=("there",), only=found))
    with pytest.raises(TimeoutError):
        await says(first, b"lost\n", within=0.2)
    assert await says(second, b"kept\n") == b"kept\n"
    for way in (first, second):
        way[1].close()
