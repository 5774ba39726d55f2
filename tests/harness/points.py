"""The watcher of named points: sees every internal call of a system, holds some, drops some."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidings.platform.points import Reached


@dataclass(eq=False)
class Held:
    """A request that waits at a point."""

    point: str
    viewer: str
    verdict: str | None  # None: wait for go()
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _go: asyncio.Event = field(default_factory=asyncio.Event)

    async def reached(self) -> None:
        """Return once the request is there; fail after ten seconds."""
        async with asyncio.timeout(10):
            await self._arrived.wait()

    def go(self) -> None:
        self._go.set()

    async def decide(self) -> str:
        self._arrived.set()
        if self.verdict is not None:
            return self.verdict
        await self._go.wait()
        return "go"


class Watcher:
    """Listens on the socket that the setting `points` names."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidings-points-"))
        self.path = self.folder / "s"
        self.seen: list[Reached] = []
        self._held: list[Held] = []
        self._slow: dict[str, float] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        # Whoever connects when the line is full is refused at once (EAGAIN), and a hundred are soon there.
        self._server = await asyncio.start_unix_server(self._reached, str(self.path), backlog=4096)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        shutil.rmtree(self.folder)

    def calls(self, trace: str, *, caller: str | None = None) -> list[str]:
        """The internal calls that were made under a trace, by `caller` if given, in order."""
        return [
            one.point.removeprefix("before ")
            for one in self.seen
            if one.trace == trace and one.point.startswith("before ") and caller in (None, one.caller)
        ]

    @asynccontextmanager
    async def holds(self, point: str, *, viewer: object) -> AsyncIterator[Held]:
        """Hold the next request of `viewer` at `point` until `go()`, or until the block ends."""
        held = Held(point, str(viewer), None)
        self._held.append(held)
        try:
            yield held
        finally:
            held.go()
            if held in self._held:
                self._held.remove(held)

    @asynccontextmanager
    async def drops(self, call: str, *, viewer: object) -> AsyncIterator[None]:
        """Within the block, `call` gets no answer for `viewer`: as if its service were down."""
        held = Held(f"before {call}", str(viewer), "drop")
        self._held.append(held)
        try:
            yield
        finally:
            self._held.remove(held)

    @contextmanager
    def slows(self, service: str, *, seconds: float) -> Iterator[None]:
        """Within the block, each call of `service` takes so much longer."""
        self._slow[service] = seconds
        try:
            yield
        finally:
            del self._slow[service]

    async def _reached(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reached = msgspec.json.decode(await reader.readline(), type=Reached)
            self.seen.append(reached)
            verdict = "go"
            when, _, call = reached.point.partition(" ")
            if when == "before" and (slow := self._slow.get(call.partition("/")[0])) is not None:
                await asyncio.sleep(slow)
            for held in list(self._held):
                if held.point == reached.point and held.viewer == reached.viewer:
                    if held.verdict is None:
                        self._held.remove(held)
                    verdict = await held.decide()
                    break
            writer.write(verdict.encode() + b"\n")
            await writer.drain()
        except (ConnectionError, msgspec.DecodeError):
            pass  # a process under test ended in the middle
        finally:
            writer.close()
