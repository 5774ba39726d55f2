"""A judge's own way to each database past the proxies, on whichever engine it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from tidings.platform.contract import Refusal
from tidings.platform.ending import heeding_cancellation
from tidings.platform.engine_url import is_mongo
from tidings.platform.storage.mongo import ONE_TRIP, Row, open_client

# Of asyncpg's own: what a connection says that was stopped in the middle of something. Refusals: what the oracle of
# deletions hears of MongoDB.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    PyMongoError,
    Refusal,
)
CONNECTIONS = 2


class Desk:
    """A connection to each, made again whenever it broke.

    Whatever is asked raises one of AWAY where the database does not answer in time.
    """

    def __init__(self, dsns: Mapping[str, str]) -> None:
        self._dsns = dsns
        self._open: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
        self._clients: dict[str, AsyncMongoClient[Row]] = {}

    def is_on_mongodb(self, service: str) -> bool:
        return is_mongo(self._dsns[service])

    async def answers(self, service: str) -> None:
        """Whether it takes writes: MongoDB speaks before it is the primary of its set."""
        if not self.is_on_mongodb(service):
            await self.fetch(service, "select 1")
            return
        async with self._client(service, within=2.0) as client:
            hello = await client.get_default_database().command("hello")
        if not hello["isWritablePrimary"]:
            raise ConnectionError(f"the MongoDB of {service} is no primary yet")

    async def fetch(self, service: str, sql: str, *values: object, within: float = 2.0) -> list[asyncpg.Record]:
        """Rows of PostgreSQL."""
        try:
            async with asyncio.timeout(within):
                connection = self._open.get(service)
                if connection is None or connection.is_closed():
                    connection = self._open[service] = await asyncpg.connect(self._dsns[service])
                return await connection.fetch(sql, *values)
        except AWAY:
            broken = self._open.pop(service, None)
            if broken is not None:
                broken.terminate()
            raise

    async def find(
        self, service: str, collection: str, wanted: Row | None = None, *, within: float = 2.0
    ) -> list[Row]:
        """Documents of MongoDB, as a majority has them."""
        async with self._client(service, within) as client:
            found = client.get_default_database()[collection].find(wanted or {}, batch_size=ONE_TRIP)
            return await found.to_list()

    async def close(self) -> None:
        for connection in self._open.values():
            connection.terminate()
        for client in self._clients.values():
            await client.close()

    @asynccontextmanager
    async def _client(self, service: str, within: float) -> AsyncIterator[AsyncMongoClient[Row]]:
        """Its own driver connects it again."""
        if service not in self._clients:
            self._clients[service] = open_client(self._dsns[service], "tests", connections=CONNECTIONS)
        async with asyncio.timeout(within):
            with heeding_cancellation():
                yield self._clients[service]
