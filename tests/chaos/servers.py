"""A database server of one service's own, that a test kills, stops and starts again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

import psutil

from tidings.platform.engines.child import processes_in
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.postgres import NAMES, EmbeddedPostgres

LONGEST = 2  # seconds of a transaction in MongoDB whose client has died
RELOADED = 0.3  # seconds in which a server follows its configuration


class DatabaseServer(Protocol):
    """`dsn` leads to it directly, `through(folder)` by a proxy's socket of the same name in that folder."""

    dsn: str

    @property
    def socket_path(self) -> Path: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def through(self, folder: Path) -> str: ...

    async def kill(self) -> None:
        """`kill -9`, and wait until all that it had started has gone too."""
        ...

    async def restart(self) -> None: ...

    def halt(self) -> int:
        """SIGSTOP every process of it; how many."""
        ...

    def go(self) -> int:
        """SIGCONT every process of it."""
        ...

    async def stall(self) -> None:
        """Let no commit end."""
        ...

    async def flow(self) -> None:
        """Let them end."""
        ...


class MongoServer:
    """`DatabaseServer`, in MongoDB."""

    def __init__(self, service: str, folder: Path) -> None:
        self.service = service
        self._folder = folder
        self._password = secrets.token_urlsafe(16)
        self._engine = EmbeddedMongod(
            folder / "data", password=secrets.token_urlsafe(16), sockets=folder, longest_transaction=LONGEST
        )
        self.dsn = ""

    @property
    def socket_path(self) -> Path:
        return self._folder / f"mongodb-{self._engine.port}.sock"

    async def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o777)  # as root it runs as somebody else
        await self._engine.start()
        if not self.dsn:
            self.dsn = (await self._engine.provision_all({self.service: self._password}))[self.service]

    async def stop(self) -> None:
        self.go()
        await self._engine.stop()

    def through(self, folder: Path) -> str:
        parts = urlsplit(self.dsn)
        user = parts.netloc.rpartition("@")[0]
        where = quote(os.fspath(folder / self.socket_path.name), safe="")
        return parts._replace(netloc=f"{user}@{where}").geturl()

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)
        while self._engine.pid is not None:
            await asyncio.sleep(0.01)

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    def halt(self) -> int:
        return self._signal(signal.SIGSTOP)

    def go(self) -> int:
        return self._signal(signal.SIGCONT)

    async def stall(self) -> None:
        raise NotImplementedError("only users' commit is stalled")

    async def flow(self) -> None:
        raise NotImplementedError("only users' commit is stalled")

    def _signal(self, number: signal.Signals) -> int:
        pid = self._engine.pid
        if pid is None:
            return 0
        os.kill(pid, number)
        return 1


class PostgresServer:
    """`DatabaseServer`, in PostgreSQL."""

    def __init__(self, service: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.service = service
        self.data = folder / "data"
        self.socket = folder / "run"
        self._engine = EmbeddedPostgres(
            self.data, socket=self.socket, password=secrets.token_urlsafe(16), settings=settings
        )
        self.dsn = ""

    @property
    def socket_path(self) -> Path:
        return self.socket / ".s.PGSQL.5432"

    async def start(self) -> None:
        """Also after `kill`: prepared transactions are there again."""
        await self._engine.start()
        if not self.dsn:
            self.dsn = await self._engine.provision(self.service, secrets.token_urlsafe(16))

    async def stop(self) -> None:
        self.go()
        await self._engine.stop()

    def through(self, folder: Path) -> str:
        """The DSN for a service, by another socket's folder."""
        parts = urlsplit(self.dsn)
        return parts._replace(query=f"host={quote(os.fspath(folder), safe='')}&port=5432").geturl()

    async def kill(self) -> None:
        """`kill -9` of the postmaster, and wait until all that it had started has gone too."""
        pid = self._engine.pid
        assert pid is not None
        children = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        for child in children:  # they notice by themselves, but one that is stopped would not
            with contextlib.suppress(psutil.Error):
                child.kill()
        while self._engine.pid is not None or processes_in(
            self.data, NAMES
        ):  # one that ends has no folder any more
            await asyncio.sleep(0.01)

    async def restart(self) -> None:
        """`kill`, and start again."""
        await self.kill()
        await self.start()

    async def stall(self) -> None:
        """Let no commit end: each is on the disk, and waits for a standby that there is not. Nobody sees it yet."""
        await self._configure("alter system set synchronous_standby_names = 'nobody'")
        await asyncio.sleep(RELOADED)

    async def flow(self) -> None:
        """Let them end."""
        await self._configure("alter system reset synchronous_standby_names")

    async def _configure(self, statement: str) -> None:
        async with self._engine._superuser() as admin:
            await admin.execute(statement)
            await admin.execute("select pg_reload_conf()")

    def halt(self) -> int:
        """SIGSTOP every process of it; how many."""
        return self._signal(signal.SIGSTOP)

    def go(self) -> int:
        """SIGCONT every process of it."""
        return self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> int:
        pid = self._engine.pid
        if pid is None:
            return 0
        os.kill(pid, number)  # the postmaster first: it must start no other meanwhile
        children = psutil.Process(pid).children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.send_signal(number)
        return 1 + len(children)
