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
