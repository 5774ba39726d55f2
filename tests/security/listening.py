"""A client made of bytes: it keeps all that it was told, even where the connection breaks right after."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any


class Ear(asyncio.Protocol):
    """What a server said on one connection. (A stream forgets what came just before a reset.)"""

    def __init__(self) -> None:
        self.heard = b""
        self.closed = asyncio.Event()
        self.more = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.more.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.more.set()

    def says(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def answer(self, within: float = 10.0) -> tuple[int, Any]:
        """Status and body of the first answer, which is JSON."""
        status, raw = await self.page(within)
        return status, json.loads(raw)

    async def page(self, within: float = 10.0) -> tuple[int, bytes]:
        """Status and body of the first answer, which has a length."""
        async with asyncio.timeout(within):
            while True:
                head, end, body = self.heard.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                if end and length is not None and len(body) >= int(length[1]):
                    return int(head.split(b" ")[1]), body[: int(length[1])]
                assert not self.closed.is_set(), self.heard
                self.more.clear()
                await self.more.wait()


async def ear(port: int) -> Ear:
    """Connect, without a word."""
    _, made = await asyncio.get_running_loop().create_connection(Ear, "127.0.0.1", port)
    return made
