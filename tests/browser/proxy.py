"""A TCP proxy between a browser and the server: it cuts, falls silent, and remembers what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Stands on a port of its own. What it heard of a request is its head, as it came."""

    def __init__(self, port: int) -> None:
        self._port = port  # of the server
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._streaming: set[asyncio.StreamWriter] = set()
        self._dead: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self.heads: list[str] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def base(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Every connection breaks, and so does each new one, until `mend`."""
        self._refusing = True
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        self._refusing = False

    def fall_silent(self) -> None:
        """Streams stay open, and carry nothing any more. The rest breaks, as idle connections do at a wake-up."""
        self._dead |= self._streaming
        for writer in self._open - self._dead:
            writer.transport.abort()

    def streams(self) -> list[str]:
        """Heads of the requests for the stream."""
        return [head for head in self.heads if head.startswith("GET /v1/stream")]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if not self._refusing:
                with suppress(OSError, asyncio.CancelledError):
                    await self._carry(reader, writer)
        finally:
            self._tasks.discard(task)
            self._open.discard(writer)
            self._streaming.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to = await asyncio.open_connection("127.0.0.1", self._port)
        ways = [asyncio.create_task(self._pump(*way, of=writer)) for way in ((reader, to), (to_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, of: asyncio.StreamWriter
    ) -> None:
        while part := await reader.read(65536):
            if of in self._dead:
                continue
            if writer is not of and part[:4] in (b"GET ", b"POST"):
                self.heads.append(part.partition(b"\r\n\r\n")[0].decode("latin-1"))
                if part.startswith(b"GET /v1/stream"):
                    self._streaming.add(of)
            writer.write(part)
            await writer.drain()
        if of in self._dead:
            await asyncio.Event().wait()  # nobody is told of the end either


@asynccontextmanager
async def before(port: int) -> AsyncIterator[Proxy]:
    """A proxy before the server on that port."""
    proxy = Proxy(port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
