"""Writes past the service's actions: late commits, fences held or dead, documents made by hand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import asyncpg

from tests.services.messages.neighbourhood import Neighbourhood
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.storage.mongo import keyed
from tidings.services.messages.store.mongo import MongoStore
from tidings.services.messages.store.port import Document


@contextmanager
def request_of(user_id: UUID | None) -> Iterator[None]:
    """Within the block, a request is being answered, as a write needs."""
    viewer = Viewer(user_id=user_id, role="member")
    with answering(Request(viewer=viewer, caller="edge", deadline=time.monotonic() + 30)):
        yield


def a_document(message_id: MessageId, author: UserId, **said: Any) -> Document:
    fields: dict[str, Any] = {
        "text": "hello",
        "media": [],
        "place": None,
        "mentions": [],
        "tags": [],
        "audience": "friends",
        "only": [],
    }
    return Document(id=message_id, author_id=author, **{**fields, **said})


def writers(town: Neighbourhood) -> asyncpg.Pool[asyncpg.Record]:
    """Of a store in PostgreSQL."""
    pool: asyncpg.Pool[asyncpg.Record] = town.store._database.writers
    return pool


async def set_fence(town: Neighbourhood, user_id: UserId, state: str, *, last_ms: int = 0) -> None:
    if isinstance(town.store, MongoStore):
        change = {"$set": {"state": state, "last_ms": last_ms}, "$setOnInsert": {"version": 0}}
        await town.store._database.collection("fence").update_one(keyed(user_id), change, upsert=True)
        return
    await writers(town).execute(
        "INSERT INTO subject_fence (user_id, state, last_ms) VALUES ($1, $2, $3)"
        " ON CONFLICT (user_id) DO UPDATE SET state = $2, last_ms = $3",
        user_id,
        state,
        last_ms,
    )


@asynccontextmanager
async def holding_fence(town: Neighbourhood, user_id: UserId) -> AsyncIterator[None]:
    """Another process writes there, and has not committed."""
    if isinstance(town.store, MongoStore):
        database = town.store._database
        async with database.client.start_session() as session:
            await session.start_transaction()
            await database.collection("fence").update_one(
                keyed(user_id), {"$inc": {"held": 1}}, upsert=True, session=session
            )
            yield
            await session.abort_transaction()
        return
    async with writers(town).acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM subject_fence WHERE user_id = $1 FOR NO KEY UPDATE", user_id)
        yield


async def events_of(town: Neighbourhood, subject: UserId) -> list[tuple[str, int, str]]:
    """What was announced of a person: event, version, body."""
    if isinstance(town.store, MongoStore):
        found = await town.store._database.find("outbox", {"subject": subject}, sort=[("version", 1)])
        return [(row["event"], row["version"], row["body"]) for row in found]
    rows = await writers(town).fetch(
        "SELECT event, version, body FROM outbox WHERE subject = $1 ORDER BY version", subject
    )
    return [(row[0], row[1], row[2]) for row in rows]
