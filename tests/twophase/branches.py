"""Branches of a participant whose own changes a test chooses, on each engine, and a look into its database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from tidings.platform.document_schema import FOUNDATION as COLLECTIONS
from tidings.platform.document_schema import DocumentSchema
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings
from tidings.platform.storage import mongo_schema
from tidings.platform.storage.foundation import FOUNDATION, TWOPHASE_PARTICIPANT
from tidings.platform.storage.mongo import MongoDatabase, MongoWrite, keyed
from tidings.platform.storage.postgres import Write, handled
from tidings.platform.twophase.mongo_participant import MongoParticipant
from tidings.platform.twophase.participant import Participant
from tidings.platform.twophase.postgres_participant import PostgresParticipant
from tidings.platform.twophase.sessions import Sessions

Doing = Callable[[Any, UUID, int], Awaitable[None]]

SETTINGS = Settings(twophase_lock_timeout_ms=1000, twophase_idle_timeout_ms=1500)
PASSWORD = "a test's password"


async def nothing(write: Any, subject: UUID, version: int) -> None:
    """A branch that changes the fence alone."""


class Branches(Protocol):
    """`doing` is what the branch changes beside the fence: when it is prepared, or, on MongoDB, committed."""

    participant: Participant
    doing: Doing

    async def prepared(self) -> int: ...

    async def fence(self, subject: UUID) -> tuple[str, int] | None:
        """State and version; None where nothing was ever written."""
        ...

    async def removes_by_hand(self, gid: str) -> None:
        """As an operator would who knows no better."""
        ...

    async def ages(self, gid: str, days: int) -> None:
        """It ended so long ago."""
        ...

    def writing(self, subject: UUID) -> AbstractAsyncContextManager[None]:
        """Within the block somebody holds the fence, and has not committed."""
        ...


class PostgresBranches:
    def __init__(self, database: asyncpg.Connection[asyncpg.Record], dsn: str, sessions: Sessions) -> None:
        self.database = database
        self.doing: Doing = nothing
        self.participant = PostgresParticipant(sessions, Write, self._remove)
        self._dsn = dsn

    @classmethod
    @asynccontextmanager
    async def opened(cls, dsn: str) -> AsyncIterator[PostgresBranches]:
        connection = await asyncpg.connect(dsn)
        async with Sessions.open("friends", dsn, SETTINGS) as sessions:
            yield cls(connection, dsn, sessions)
        await connection.close()

    async def _remove(self, write: Write, subject: UUID, version: int) -> None:
        await self.doing(write, subject, version)

    async def prepared(self) -> int:
        count: int = await self.database.fetchval(
            "select count(*) from pg_prepared_xacts where database = current_database()"
        )
        return count

    async def fence(self, subject: UUID) -> tuple[str, int] | None:
        row = await self.database.fetchrow("select state, version from subject_fence where user_id = $1", subject)
        return None if row is None else (row[0], row[1])

    async def removes_by_hand(self, gid: str) -> None:
        await self.database.execute(f"rollback prepared 'tidings:friends:{gid}'")

    async def ages(self, gid: str, days: int) -> None:
        await self.database.execute(
            "update twophase_branch set created_at = now() - make_interval(days => $2) where gid = $1", gid, days
        )

    @asynccontextmanager
    async def writing(self, subject: UUID) -> AsyncIterator[None]:
        other = await asyncpg.connect(self._dsn)
        try:
            async with other.transaction(), handled(other, Write, service="friends") as write:
                await write.fence([subject])
                yield
        finally:
            await other.close()


class MongoBranches:
    def __init__(self, database: MongoDatabase) -> None:
        self.database = database
        self.doing: Doing = nothing
        self.participant = MongoParticipant(database, MongoWrite, self._remove)

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[MongoBranches]:
        async with MongoDatabase.serving("friends", url, SETTINGS) as database:
            yield cls(database)

    async def _remove(self, write: MongoWrite, subject: UUID, version: int) -> None:
        await self.doing(write, subject, version)

    async def prepared(self) -> int:
        return len(await self.database.find("branch", {"state": "prepared"}))

    async def fence(self, subject: UUID) -> tuple[str, int] | None:
        rows = await self.database.find("fence", keyed(subject))
        return (rows[0]["state"], rows[0]["version"]) if rows else None

    async def removes_by_hand(self, gid: str) -> None:
        await self.database.collection("branch").delete_one({"_id": gid})

    async def ages(self, gid: str, days: int) -> None:
        ended = {"$set": {"ended_at": datetime.now(UTC) - timedelta(days=days)}}
        await self.database.collection("branch").update_one({"_id": gid}, ended)

    @asynccontextmanager
    async def writing(self, subject: UUID) -> AsyncIterator[None]:
        """By another process: one of this would stand in line."""
        async with self.database.client.start_session() as session:
            await session.start_transaction()
            await self.database.collection("fence").update_one(
                keyed(subject), {"$inc": {"held": 1}}, upsert=True, session=session
            )
            yield
            await session.abort_transaction()


async def on_postgres(server: EmbeddedPostgres) -> str:
    made = await server.provision("friends_twophase", PASSWORD)
    connection = await asyncpg.connect(made)
    if not await connection.fetchval("select to_regclass('twophase_branch') is not null"):
        for statement in (*FOUNDATION, *TWOPHASE_PARTICIPANT):
            await connection.execute(statement)
    await connection.close()
    return made


async def on_mongodb(server: EmbeddedMongod) -> str:
    name = "friends_twophase"
    url = (await server.provision_all({name: PASSWORD}))[name]
    schema = DocumentSchema(revision="0001", compatible_down_to="0001", collections=COLLECTIONS)
    await mongo_schema.upgrade(url, "friends", schema)
    return url
