"""A replica set of three MongoDB servers, each of which a test may kill."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from tidings.platform.engines.mongod import MONGOD
from tidings.platform.engines.server import HOST, Server, accepts, free_port

NAME: Final = "three"
QUICK: Final = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}


class Member(Server):
    """One of them. It asks nobody to sign in: it listens on loopback, and keeps what tests say."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        super().__init__(MONGOD, folder, None, None)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL for `kill -9`, SIGSTOP and SIGCONT for one that stands still."""
        assert self.pid is not None
        os.kill(self.pid, number)

    async def leads(self) -> bool:
        """Whether it takes itself for the primary."""
        client: AsyncMongoClient[Any] = AsyncMongoClient(
            HOST, self.port, directConnection=True, serverSelectionTimeoutMS=300
        )
        try:
            return bool((await client.admin.command("hello")).get("isWritablePrimary"))
        except PyMongoError:
            return False
        finally:
            await client.close()

    async def initiates(self, members: Sequence[Member]) -> None:
        config = {
            "_id": NAME,
            "settings": QUICK,
            "members": [{"_id": number, "host": member.address} for number, member in enumerate(members)],
        }
        client: AsyncMongoClient[Any] = AsyncMongoClient(HOST, self.port, directConnection=True)
        try:
            await client.admin.command("replSetInitiate", config)
        finally:
            await client.close()

    def prepare(self) -> Sequence[str]:
        (self.data / "db").mkdir(exist_ok=True)
        return (
            *("--dbpath", "/proc/self/cwd/db", "--replSet", NAME, "--bind_ip", HOST, "--port", str(self.port)),
            *("--nounixsocket", "--quiet", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        )

    async def answers(self, _: subprocess.Popen[bytes]) -> bool:
        return accepts(self.port)


@asynccontextmanager
async def replica_set() -> AsyncIterator[list[Member]]:
    """All three run, and one of them leads; they and what they kept are gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-three-"))
    folder.chmod(0o711)
    members = [Member(folder / f"member{number}") for number in range(3)]
    try:
        await asyncio.gather(*(member.start() for member in members))
        await members[0].initiates(members)
        await leader(members)
        yield members
    finally:
        await asyncio.gather(*(member.stop() for member in members))
        shutil.rmtree(folder)


async def leader(members: Sequence[Member], *, within: float = 30.0) -> Member:
    """Who leads, as soon as one does."""
    async with asyncio.timeout(within):
        while True:
            for member in members:
                if await member.leads():
                    return member
            await asyncio.sleep(0.1)


def url_of(members: Sequence[Member], database: str) -> str:
    return f"mongodb://{','.join(member.address for member in members)}/{database}?replicaSet={NAME}"
