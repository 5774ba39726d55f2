"""The operator at the command line: calls services of a running system through their internal listeners."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from tidings import everything
from tidings.cli.options import EXIT_NOT_RUNNING, Problem
from tidings.platform.contract import Call, Refusal, Unavailable
from tidings.platform.data_directory import DataDirectory
from tidings.platform.http.internal import Http, open_session
from tidings.platform.installation import CLI
from tidings.platform.request import Request, Viewer
from tidings.platform.settings import Settings
from tidings.platform.topology import EDGE
from tidings.platform.trust import cut_ring
from tidings.platform.world import World

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

OPERATOR = Viewer(role="operator")


class Operator:
    """A running system as its operator reaches it."""

    def __init__(self, world: World, info: dict[str, Any]) -> None:
        self._world = world
        self.url: str = info["addresses"]["public"]
        self.metrics_url: str = info["addresses"]["metrics"]
        self.pid: int = info["pid"]

    async def call(self, call: Call[Ask, Answer], ask: Ask) -> Answer:
        """Ask a service as the operator; a refusal becomes a problem in plain words."""
        deadline = time.monotonic() + (call.deadline or 10.0)
        try:
            return await self._world.call(call, ask, request=Request(OPERATOR, CLI, deadline))
        except Unavailable as refusal:
            raise Problem(refusal.detail, "`tidings doctor` names the broken link.", EXIT_NOT_RUNNING) from refusal
        except Refusal as refusal:
            raise Problem(refusal.detail) from refusal


@asynccontextmanager
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    """Reach the system that runs on this data directory. `Problem` if none does."""
    info = running_info(settings.data)
    directory = DataDirectory.open(settings.data, lock=False)
    ring = cut_ring(directory.secret("root").encode(), CLI, [*everything.SERVICES, EDGE, CLI])
    addresses = {
        name.removeprefix("internal:"): address
        for name, address in info["addresses"].items()
        if name.startswith("internal:")
    }
    sessions = {address: open_session(address) for address in set(addresses.values())}
    links = {name: Http(*sessions[address], ring) for name, address in addresses.items()}
    try:
        yield Operator(World(CLI, links, deadline=30.0), info)
    finally:
        for session, _ in sessions.values():
            await session.close()
        directory.close()


def running_info(data: Path) -> dict[str, Any]:
    """Who runs on `data`, and where it answers."""
    info = DataDirectory.running(data) if data.exists() else None
    if info is None or "addresses" not in info:
        raise Problem(
            f"Nothing runs on {data}.",
            f"Start it in another terminal: tidings up --data {data}",
            EXIT_NOT_RUNNING,
        )
    return info
