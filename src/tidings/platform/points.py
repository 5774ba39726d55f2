"""Named points where a test may watch, hold or break a request; nothing in production.

The setting `points` names a Unix socket. Each point sends one JSON line to it and waits for one line back:
`go`, or `drop` (as if the message was lost: the call runs into its deadline at once).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal, Protocol

import msgspec

Verdict = Literal["go", "drop"]


class Reached(msgspec.Struct, frozen=True):
    """Which point, in whose request. `attempt` is above 0 when a safe call is repeated."""

    point: str  # "before friends/circles", "after friends/circles"
    caller: str
    trace: str
    viewer: str


class Points(Protocol):
    """Where a request says how far it is."""

    async def reach(self, reached: Reached) -> Verdict: ...


class NoPoints:
    """Production: nobody watches."""

    async def reach(self, reached: Reached) -> Verdict:
        return "go"


class SocketPoints:
    """Asks a watcher on a Unix socket, one connection a point."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def reach(self, reached: Reached) -> Verdict:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.path))
        except (FileNotFoundError, ConnectionRefusedError):  # the watcher is gone: nothing is held
            return "go"
        try:
            writer.write(msgspec.json.encode(reached) + b"\n")
            await writer.drain()
            answer = (await reader.readline()).decode().strip()
        finally:
            writer.close()
        return "drop" if answer == "drop" else "go"


def points_at(path: Path | None) -> Points:
    """What the setting `points` asks for."""
    return NoPoints() if path is None else SocketPoints(path)
