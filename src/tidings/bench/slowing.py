"""A service that answers late: what is said to it passes through here, and is held for a while on its way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

CHUNK: Final = 65536


@dataclass
class Slowing:
    """Stands on `port` before `target`, both of this machine. What comes from now on is `seconds` late."""

    port: int
    target: int
    seconds: float = 0.0
    _talks: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            behind, onward = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._late(reader, onward))
                    ways.create_task(_at_once(behind, writer))
            finally:
                onward.close()
        except* OSError:
            pass  # one of them went away, which the other finds out
        finally:
            self._talks.discard(talk)
            writer.close()

    async def stop(self) -> None:
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each part by itself: of two that come together, both go together."""
        parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, part = await parts.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                writer.write(part)
                await writer.drain()

        sending = asyncio.create_task(send())
        try:
            while part := await reader.read(CHUNK):
                parts.put_nowait((time.monotonic() + self.seconds, part))
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await sending
            writer.close()


async def _at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(CHUNK):
        writer.write(part)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def slowing() -> AsyncIterator[Slowing]:
    """In front of a port that is free now, for whoever is about to listen there."""
    port, target = _free_ports()
    slow = Slowing(port, target)
    server = await asyncio.start_server(slow.connected, "127.0.0.1", port, backlog=1024)
    try:
        yield slow
    finally:
        server.close()
        await slow.stop()


def _free_ports() -> tuple[int, int]:
    """Two at once: one by one, they may be the same."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
