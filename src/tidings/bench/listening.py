"""Many who listen to the live stream, in a process of their own, and when each of them was told of news.

`python -m tidings.bench.listening` reads a `Plan` as a line of JSON, opens a stream for each, and says so with an
`Open`. From then on each line that it reads is answered with a `Heard`: what came since the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from tidings.bench.crowd import wire

PATH: Final = "/v1/stream"
AT_ONCE: Final = 16  # streams that are being opened
PATIENCE: Final = 20.0  # seconds for all that wait to be opened, and for one more
AGAIN: Final = 0.2  # seconds until one that was cut is opened again
END: Final = b"\n\n"
ID: Final = re.compile(rb"id: (\S+)\n")
NEWS: Final = re.compile(rb'event: (?:resync\n|changed\ndata: [^\n]*"changed":\[[^]]*"timeline")')


class Plan(msgspec.Struct, frozen=True):
    """`tokens`: a file with one a line."""

    host: str
    port: int
    tokens: str


class Open(msgspec.Struct, frozen=True):
    streams: int


class Heard(msgspec.Struct, frozen=True):
    """When each heard of news, in seconds of `time.perf_counter`, by the order of the tokens.

    `cut`: how many streams ended and were opened again, with the id of the last event.
    """

    at: list[list[float]]
    cut: int


class NotOpened(Exception):
    """A stream was refused."""


class Listener(asyncio.Protocol):
    """One stream after another, of one person."""

    def __init__(self, plan: Plan, token: str) -> None:
        self._plan = plan
        self._token = token
        self._transport: Any = None
        self._received = b""
        self._last = ""
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._again: asyncio.Task[None] | None = None
        self.heard: list[float] = []
        self.cut = 0

    async def open(self) -> None:
        """Return once it was greeted. Raises `NotOpened` and `OSError`."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, self._plan.host, self._plan.port)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(self._greeted)
        except TimeoutError:
            raise NotOpened("A stream was not opened in time.") from None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""
        since = f"Last-Event-ID: {self._last}\r\n" if self._last else ""
        host = f"{self._plan.host}:{self._plan.port}"
        self._transport.write(wire("GET", PATH, host, self._token, since).encode())

    def data_received(self, data: bytes) -> None:
        """Each event is one chunk of the body; sizes of chunks, which are between them, are passed over."""
        now = time.perf_counter()
        received = self._received + data
        if not self._greeted.done() and b"\r\n\r\n" in received:
            self._greet(received)
        whole, end, self._received = received.rpartition(END)
        if not end:
            return
        self.heard += [now] * len(NEWS.findall(whole))
        if ids := ID.findall(whole):
            self._last = ids[-1].decode()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._greeted.done():
            self._greeted.set_exception(NotOpened("A stream was cut before it began."))
        elif self._again is None or self._again.done():
            self.cut += 1
            self._again = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        """Until it is open again, or who started this ends it."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(AGAIN)
            with contextlib.suppress(OSError):
                await loop.create_connection(lambda: self, self._plan.host, self._plan.port)
                return

    def _greet(self, received: bytes) -> None:
        if received.startswith(b"HTTP/1.1 200 "):
            self._greeted.set_result(None)
        else:
            line = received.split(b"\r\n", 1)[0].decode(errors="replace")
            self._greeted.set_exception(NotOpened(f"A stream was refused: {line}"))


async def listen(plan: Plan, tokens: list[str]) -> None:
    """Until standard input ends."""
    listeners = [Listener(plan, token) for token in tokens]
    left = iter(listeners)

    async def open_some() -> None:
        for one in left:
            await one.open()

    await asyncio.gather(*(open_some() for _ in range(AT_ONCE)))
    gc.collect()
    gc.disable()  # a pause here would be taken for one of the server's
    _say(Open(len(listeners)))
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.buffer.readline):
        heard = [one.heard for one in listeners]
        for one in listeners:
            one.heard = []
        _say(Heard(heard, sum(one.cut for one in listeners)))


def _say(said: msgspec.Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    with contextlib.suppress(KeyboardInterrupt):  # who started this says what is to be said
        uvloop.run(listen(plan, Path(plan.tokens).read_text().split()))


if __name__ == "__main__":
    main()
