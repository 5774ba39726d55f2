"""Database sessions of one service's own for two-phase commit, apart from its pools of readers and writers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from tidings.platform import logs
from tidings.platform.contract import Busy, Unavailable
from tidings.platform.settings import Settings
from tidings.platform.storage.followers import announced
from tidings.platform.storage.postgres import CONTENDED, LOST, Connection, Handle, handled

log = logs.get_logger("twophase")

MOST: Final = 4
IDLE: Final = 60.0  # seconds for which a spare connection is kept


class Sessions:
    """A few connections. Writers that wait for a fence take none of them.

    A session that stalls inside a transaction is ended by the database, so that a stopped process, or one that is
    cut off, does not hold an account's row: see `write`.
    """

    def __init__(self, service: str, dsn: str, pool: asyncpg.Pool, settings: Settings) -> None:
        self.service = service
        self.dsn = dsn
        self.settings = settings
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, service: str, dsn: str, settings: Settings) -> AsyncIterator[Sessions]:
        """Connect when needed; disconnect when the block ends."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=MOST,
            max_inactive_connection_lifetime=IDLE,
            server_settings={
                "application_name": f"tidings-{service}",
                "timezone": "UTC",
                "jit": "off",
                "synchronous_commit": "on",  # whatever the server says: an answer stands for what is on the disk
                "lock_timeout": str(settings.twophase_lock_timeout_ms),
                "idle_in_transaction_session_timeout": str(settings.twophase_idle_timeout_ms),
            },
        )
        try:
            yield cls(service, dsn, pool, settings)
        finally:
            try:
                async with asyncio.timeout(2):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """One connection, in no transaction. Raises `Busy`, and `Unavailable`: a commit may have happened."""
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except CONTENDED as error:
            raise Busy(
                "Another change is under way there. Try again.", retry_after=1, service=self.service
            ) from error
        except LOST as error:
            log.warning("database_away", service=self.service, error=repr(error))
            raise Unavailable(
                f"{self.service} cannot reach its database. Try again.", service=self.service, retry_after=1
            ) from error

    @asynccontextmanager
    async def write(self, handle: type[Handle]) -> AsyncIterator[Handle]:
        """One transaction, committed when the block ends; a refusal or a fault rolls it back.

        The database ends it when it lasts too long, too: between the two messages of a statement a session is not
        idle, and `idle_in_transaction_session_timeout` does not see that it stalls.
        """
        async with self.session() as connection, connection.transaction():
            # What is not over by the deadline decides nothing any more.
            await connection.execute(
                f"SET LOCAL transaction_timeout = {int(self.settings.twophase_deadline * 1000)}"
            )
            async with handled(connection, handle, service=self.service) as write:
                yield write
        if write.happened:
            await announced(self.service, self.dsn, write.happened, write.occurred())
