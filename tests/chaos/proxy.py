"""A proxy on a Unix socket that can delay, hold, swallow, drip or cut what passes, and says what it did to whom."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Way = Literal["there", "back"]  # from who connects, and to them
Kind = Literal["delay", "hold", "swallow", "drip", "cut"]
WAYS: tuple[Way, ...] = ("there", "back")

CHUNK = 65536
REMEMBERED = 200  # chunks of one connection


@dataclass(eq=False)
class Trouble:
    """What happens to bytes, from now until `heal`.

    - `delay`: each part waits `seconds` and goes on.
    - `hold`: nothing passes; healed, all of it does, late. What a partition looks like to TCP.
    - `swallow`: bytes are gone, and so is that way of their connection for good: half-open, nobody is told.
    - `drip`: one byte each `seconds`.
    - `cut`: both sides find their connection broken.

    `ways` makes it one-way. `caller` confines it to connections of one process, by its name in the topology, and
    `only` to one connection.
    With `needle` it takes only connections that carry those bytes *there* from now on, from that very part on (way
    `back`: from the answer to it on), and with `once` only the first of them.
    """

    kind: Kind
    ways: tuple[Way, ...] = WAYS
    caller: str | None = None
    needle: bytes | None = None
    once: bool = False
    only: Connection | None = None
    seconds: float = 0.0
    parts: int = 0  # that it delayed, held, swallowed, cut: what it bit
    bitten: set[Connection] = field(default_factory=set)
    healed: asyncio.Event = field(default_factory=asyncio.Event)

    def heal(self) -> None:
        self.healed.set()


@dataclass(eq=False)
class Connection:
    """One connection through a proxy, with the last that was said on it."""

    pid: int  # of who connected
    opened_at: float
    asks: asyncio.StreamWriter  # towards who connected
    answers: asyncio.StreamWriter  # towards who is connected to
    waiting: bool = False  # it said something and has no answer yet
    request: bytes = b""  # all that it said since the last answer
    dead: set[Way] = field(default_factory=set)
    said: deque[tuple[float, bytes]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def abort(self) -> None:
        for side in (self.asks, self.answers):
            side.transport.abort()

    def carried_at(self, needle: bytes) -> float:
        """When it last carried those bytes there, by `time.monotonic`; 0.0 if never."""
        return max((at for at, part in self.said if needle in part), default=0.0)


class Proxy:
    """Stands on `listens` before `target`, both Unix sockets. `name_of` says who a process is, by its id."""

    def __init__(self, name: str, listens: Path, target: Path, name_of: Callable[[int], str]) -> None:
        self.name = name
        self.listens = listens
        self.target = target
        self._name_of = name_of
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: set[Connection] = set()
        self.troubles: list[Trouble] = []
        self.passed = 0  # bytes, both ways
        self.recorded: list[bytes] = []  # whole requests, once `record` was called
        self._recording: bytes | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._connected, str(self.listens), limit=CHUNK)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.heal()
        for connection in list(self.connections):
            connection.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.listens.unlink(missing_ok=True)

    # What tests do to it.

    def disturb(self, trouble: Trouble) -> Trouble:
        """Begin; it lasts until `trouble.heal()` or `proxy.heal()`. Of several, the first that fits acts."""
        self.troubles.append(trouble)
        return trouble

    def heal(self) -> None:
        """End every trouble. Connections that are half-open stay so: see `forget`."""
        for trouble in self.troubles:
            trouble.heal()
        self.troubles.clear()

    def forget(self) -> int:
        """Break the connections that are half-open, as a time-out of the network would at last. How many."""
        dead = [connection for connection in self.connections if connection.dead]
        for connection in dead:
            connection.abort()
        return len(dead)

    def record(self, needle: bytes) -> None:
        """Keep each request with those bytes in it, from now on, anew; `say_again` sends them late."""
        self.recorded, self._recording = [], needle

    # What tests see of it.

    def of(self, caller: str | None) -> list[Connection]:
        """The connections of one process (None: of all), by its name in the topology."""
        return [one for one in self.connections if caller is None or self._name_of(one.pid) == caller]

    def in_flight(self, caller: str | None = None) -> int:
        """Connections on which something was said that has no answer yet."""
        return sum(connection.waiting for connection in self.of(caller))

    def last_to_carry(self, needle: bytes) -> Connection | None:
        """The connection that carried those bytes there last: the one that is at work on them."""
        found = [(at, id(one), one) for one in self.connections if (at := one.carried_at(needle))]
        return max(found)[2] if found else None

    async def say_again(self, requests: list[bytes], *, patience: float = 5.0) -> int:
        """Send whole HTTP requests once more, each on a connection of its own, as from the tests.

        How many had any answer.
        """
        return sum(await asyncio.gather(*(self._say(one, patience) for one in requests)))

    async def _say(self, request: bytes, patience: float) -> int:
        try:
            async with asyncio.timeout(patience):
                reader, writer = await asyncio.open_unix_connection(str(self.listens))
                try:
                    writer.write(request)
                    return int((await reader.read(CHUNK)).startswith(b"HTTP/1.1"))
                finally:
                    writer.close()
        except (OSError, TimeoutError):  # who should hear it is down, which is what some tests want
            return 0

    # What it does by itself.

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one side ended in the middle, or the test is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid = peer_of(writer)
        try:
            target_reader, target = await asyncio.open_unix_connection(str(self.target), limit=CHUNK)
        except OSError:
            return  # nobody listens there: the other side finds its connection closed
        connection = Connection(pid, time.monotonic(), writer, target)
        self.connections.add(connection)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(connection, "there", reader, target))
                ways.create_task(self._pump(connection, "back", target_reader, writer))
        except* OSError:
            pass
        finally:
            self.connections.discard(connection)
            connection.abort()

    async def _pump(
        self, connection: Connection, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while part := await reader.read(CHUNK):
            self._hear(connection, way, part)
            if await self._let_pass(connection, way, part, writer):
                self.passed += len(part)
                writer.write(part)
                await writer.drain()
        while (trouble := self._trouble_of(connection, way, b"")) is not None and trouble.kind == "hold":
            await trouble.healed.wait()
        if way not in connection.dead:  # where bytes are lost, the end of them is, too
            with contextlib.suppress(OSError):
                writer.close()

    def _hear(self, connection: Connection, way: Way, part: bytes) -> None:
        if way == "there":
            connection.request = part if not connection.waiting else connection.request + part
            connection.said.append((time.monotonic(), part))
            connection.waiting = True
        elif connection.waiting:
            connection.waiting = False
            if self._recording is not None and self._recording in connection.request:
                self.recorded.append(connection.request)

    async def _let_pass(self, connection: Connection, way: Way, part: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether the part goes on, once it may. A drip has written it already, and says no."""
        while way not in connection.dead:
            trouble = self._trouble_of(connection, way, part)
            if trouble is None:
                return True
            trouble.parts += 1
            if trouble.kind == "hold":
                await trouble.healed.wait()
                continue
            if trouble.kind == "swallow":
                connection.dead.add(way)
            elif trouble.kind == "cut":
                connection.abort()
                raise ConnectionAbortedError(self.name)
            elif trouble.kind == "delay":
                await asyncio.sleep(trouble.seconds)
                return True
            else:
                await self._drip(trouble, part, writer)
                return False
        return False

    async def _drip(self, trouble: Trouble, part: bytes, writer: asyncio.StreamWriter) -> None:
        for number in range(len(part)):
            if trouble.healed.is_set():
                writer.write(part[number:])
                break
            writer.write(part[number : number + 1])
            await asyncio.sleep(trouble.seconds)
        await writer.drain()
        self.passed += len(part)

    def _trouble_of(self, connection: Connection, way: Way, part: bytes) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.healed.is_set() or trouble.caller not in (None, self._name_of(connection.pid)):
                continue
            if trouble.only not in (None, connection):
                continue
            if trouble.needle is not None and connection not in trouble.bitten:
                if way != "there" or trouble.needle not in part or (trouble.once and trouble.bitten):
                    continue
                trouble.bitten.add(connection)
            if way in trouble.ways:
                return trouble
        return None


def peer_of(writer: asyncio.StreamWriter) -> int:
    """The id of the process at the other end of a Unix socket: unix(7), SO_PEERCRED."""
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid: int = struct.unpack("3i", raw)[0]
    return pid
