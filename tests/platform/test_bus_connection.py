"""Connections to a bus that does not answer."""

from __future__ import annotations

import asyncio

import pytest

from tidings.platform.events.bus import BusAddress, connected


async def test_who_waits_no_longer_for_a_bus_that_hangs_leaves_no_connection() -> None:
    """A stopped server takes connections and says nothing; each look at it would leave a socket."""
    came: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def never_greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        came.put_nowait(reader)

    server = await asyncio.start_server(never_greets, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TimeoutError) as kept:  # the traceback would hold on to what was left open
        async with (
            asyncio.timeout(0.3),
            connected(BusAddress(url=f"nats://127.0.0.1:{port}", user="one", password="secret"), "one"),
        ):
            pass
    reader = await came.get()
    assert await asyncio.wait_for(reader.read(), 2) == b""
    assert kept
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_each_try_to_come_back_to_a_bus_that_hangs_closes_its_connection() -> None:
    """It answered once, went away, and takes connections since then on which it says no more than its greeting."""
    ended: asyncio.Queue[int] = asyncio.Queue()
    tries = 0
    info = b'INFO {"server_id": "x", "version": "2.15.0", "headers": true, "max_payload": 1048576}\r\n'

    async def hangs_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        mine = tries
        writer.write(info)
        if mine == 1:
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
            await writer.drain()
        else:
            await reader.read()  # until the client closes it
            ended.put_nowait(mine)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hangs_later, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = BusAddress(url=f"nats://127.0.0.1:{port}", user="one", password="secret")
    async with connected(address, "one"):
        assert await asyncio.wait_for(ended.get(), 10) == 2
        assert await asyncio.wait_for(ended.get(), 10) == 3
    server.close()
    await server.wait_closed()
