"""A client that sends each request once, whatever becomes of the connection."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.harness.people import ConnectionBroke, once


async def test_a_request_whose_connection_breaks_is_not_sent_again() -> None:
    """The server takes it, and closes without an answer."""
    taken = 0

    async def takes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"\r\n\r\n")
        taken += 1
        writer.close()

    async with await asyncio.start_server(takes, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(middlewares=(once,)) as session:
            with pytest.raises(ConnectionBroke):
                await session.delete(f"http://127.0.0.1:{port}/")
    assert taken == 1
