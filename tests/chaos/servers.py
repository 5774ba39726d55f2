"""A PostgreSQL server of one service's own, that a test kills, stops and starts again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil

from tidings.platform.engines.child import processes_in
from tidings.platform.engines.postgres import NAMES, EmbeddedPostgres


class DatabaseServer:
    """`dsn` leads to it directly, `through(folder)` by a proxy's socket in that folder."""

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
        while processes_in(self.data, NAMES):
            await asyncio.sleep(0.01)

    async def restart(self) -> None:
        """`kill`, and start again."""
        await self.kill()
        await self.start()

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
