"""The operator at the command line: calls services of a running system through their internal listeners."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tidings.cli.options import EXIT_NOT_RUNNING, Problem
from tidings.cli.presence import running_info
from tidings.contracts.users import OneTimeLink
from tidings.platform.contract import Call
from tidings.platform.data_directory import DataDirectory
from tidings.platform.http.internal import Http, open_session
from tidings.platform.request import Request, Viewer
from tidings.platform.settings import Settings
from tidings.platform.topology import CLI
from tidings.platform.trust import cut_ring
from tidings.platform.world import World

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Found = TypeVar("Found")

OPERATOR = Viewer(role="operator")
PATIENCE = 10.0  # seconds, for calls that name no deadline


class Operator:
    """A running system as its operator reaches it."""

    def __init__(self, world: World, info: dict[str, Any], settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self.addresses: dict[str, str] = info["addresses"]
        self.pid: int = info["pid"]

    @property
    def url(self) -> str:
        """Where the public listener is. `Problem` while there is none."""
        url = self.addresses.get("public")
        if not url:
            raise Problem(
                "The services run, but no public listener does.",
                f"Start it: tidings run edge --data {self._settings.data}",
                EXIT_NOT_RUNNING,
            )
        return url

    async def call(self, call: Call[Ask, Answer], ask: Ask) -> Answer:
        """Ask a service as the operator. Raises the contract's refusals."""
        deadline = time.monotonic() + (call.deadline or PATIENCE)
        return await self._world.call(call, ask, request=Request(OPERATOR, CLI, deadline))

    def address_of(self, link: OneTimeLink) -> str:
        """The whole address that a person opens."""
        parameter = "invite" if link.path == "/join" else "link"
        base = (self._settings.public_url or self.url).rstrip("/")
        return f"{base}{link.path}?{parameter}={link.secret}"


@asynccontextmanager
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    """Reach the system that runs on this data directory. `Problem` if none does."""
    info = running_info(settings.data)
    directory = DataDirectory.open(settings.data, lock=False, room_needed=0)
    addresses = {
        name.removeprefix("internal:"): address
        for name, address in info["addresses"].items()
        if name.startswith("internal:")
    }
    ring = cut_ring(directory.secret("root").encode(), CLI, addresses)
    sessions = {address: open_session(address) for address in set(addresses.values())}
    links = {name: Http(*sessions[address], ring) for name, address in addresses.items()}
    try:
        yield Operator(World(CLI, links, deadline=30.0), info, settings)
    finally:
        for session, _ in sessions.values():
            await session.close()
        directory.close()


def as_operator(settings: Settings, work: Callable[[Operator], Awaitable[Found]]) -> Found:
    """Do the work with a running system, for a command that is not asynchronous itself."""

    async def reach() -> Found:
        async with operator(settings) as reached:
            return await work(reached)

    return asyncio.run(reach())
