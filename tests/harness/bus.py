"""Knocking at NATS without a client library: it leaves a socket open when it is refused."""

from __future__ import annotations

import asyncio
import json


async def greeted(url: str, user: str | None = None, password: str | None = None) -> str:
    """What the server answers to CONNECT and PING: `PONG`, or its refusal."""
    host, _, port = url.removeprefix("nats://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        await reader.readline()
        credentials = {} if user is None else {"user": user, "pass": password}
        connect = json.dumps({"verbose": False, "lang": "test", "version": "0", **credentials})
        writer.write(f"CONNECT {connect}\r\nPING\r\n".encode())
        return (await asyncio.wait_for(reader.readline(), 5)).decode().strip()
    finally:
        writer.close()
        await writer.wait_closed()
