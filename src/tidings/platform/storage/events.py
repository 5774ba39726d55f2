"""A service's outbox and inbox, on a pool of their own: events never wait for people, nor people for events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tidings.platform.storage.caches import CacheRegister
from tidings.platform.storage.inbox import Inbox
from tidings.platform.storage.outbox import Outbox
from tidings.platform.storage.postgres import LOST, json_as_text

AWAY = (*LOST, asyncpg.PostgresError)  # whatever keeps us from the database for now
# What a reaction raises where its database refuses everybody: a standby, no memory, no room, a shutdown.
REFUSES = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)


@dataclass(frozen=True, slots=True)
class EventStore:
    dsn: str
    outbox: Outbox
    inbox: Inbox
    caches: CacheRegister


@asynccontextmanager
async def open_events(dsn: str, service: str) -> AsyncIterator[EventStore]:
    """Connect when it is needed."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=3,
        init=json_as_text,
        command_timeout=10,
        server_settings={"application_name": f"tidings-{service}-events", "timezone": "UTC", "jit": "off"},
    )
    try:
        yield EventStore(dsn, Outbox(pool), Inbox(pool), CacheRegister(pool))
    finally:
        pool.terminate()
