"""A service's outbox and inbox, on connections of their own: events and people never wait for one another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import asyncpg

from tidings.platform.engine_url import is_mongo
from tidings.platform.occurrence import DeadLetter, Occurred, OccurredAsk, OccurredPage
from tidings.platform.storage.caches import PostgresCaches
from tidings.platform.storage.inbox import PostgresInbox
from tidings.platform.storage.outbox import PostgresOutbox
from tidings.platform.storage.pool import open_pool
from tidings.platform.storage.postgres import LOST, json_as_text, session_settings

# Whatever keeps us from the database for now; what MongoDB raises comes as an OSError.
AWAY = (*LOST, asyncpg.PostgresError)
# What a reaction raises where its database refuses everybody: a standby, no memory, no room, a shutdown.
REFUSES = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)


class Outbox(Protocol):
    """What a relay needs of one service's database."""

    async def lease(self, holder: UUID, seconds: float) -> bool:
        """Become or stay the one who publishes; False while somebody else is."""
        ...

    async def vouch(self, holder: UUID) -> bool:
        """That what is read from now on is all that was committed before, and that we still publish."""
        ...

    async def release(self, holder: UUID) -> None: ...

    async def unpublished(self, limit: int) -> list[Occurred]:
        """The oldest that neither the bus has acknowledged nor all who react."""
        ...

    async def published(self, ids: Sequence[UUID]) -> None:
        """The bus has acknowledged these, or all who react are done."""
        ...

    async def page(self, ask: OccurredAsk) -> OccurredPage:
        """What was published, in that order, after a place in it."""
        ...

    async def backlog(self) -> tuple[int, float]:
        """How many wait, and how old the oldest is in seconds."""
        ...

    async def forget(self) -> bool:
        """Remove some of what was published so long ago that nobody asks for it; whether there may be more."""
        ...


class Inbox(Protocol):
    """What a consumer needs of its service's database, beside the row that each effect's own commit writes."""

    async def done(self, ids: Sequence[UUID]) -> set[UUID]:
        """Those of `ids` whose effect is there."""
        ...

    async def failed(self, event_id: UUID, error: str) -> int | None:
        """Note that a reaction raised; how often it has by now. None: it counts as done already."""
        ...

    async def succeeded(self, ids: Sequence[UUID]) -> None:
        """Forget that any of these had failed before."""
        ...

    async def bury(self, producer: str, one: Occurred, error: str, attempts: int) -> None:
        """Set it aside: it counts as done, and a person may replay it."""
        ...

    async def letters(self, event_id: UUID | None = None) -> list[DeadLetter]: ...

    async def exhume(self, event_id: UUID) -> None:
        """Let its effect be made after all."""
        ...

    async def forget_letter(self, event_id: UUID) -> None: ...

    async def reconciled(self, producer: str) -> str:
        """Up to where this producer's events were compared with the inbox."""
        ...

    async def reconcile_to(self, producer: str, after: str) -> None: ...

    async def forget(self) -> None:
        """Remove what no producer can ask about any more."""
        ...


class CacheRegister(Protocol):
    """What a writer reads after its commit, to know who may still show what it took away."""

    async def register(self, cache: UUID, holder: str, seconds: float) -> None: ...

    async def leave(self, cache: UUID) -> None:
        """It keeps nothing any more."""
        ...

    async def live(self) -> set[UUID]: ...


@dataclass(frozen=True, slots=True)
class EventStore:
    dsn: str
    outbox: Outbox
    inbox: Inbox
    caches: CacheRegister


@asynccontextmanager
async def open_events(dsn: str, service: str) -> AsyncIterator[EventStore]:
    """Connect when it is needed."""
    if is_mongo(dsn):
        # Here, so that who has no such store does without the driver's memory.
        from tidings.platform.storage import mongo_events

        async with mongo_events.opened(dsn, service) as database:
            yield EventStore(
                dsn,
                mongo_events.MongoOutbox(database),
                mongo_events.MongoInbox(database),
                mongo_events.MongoCaches(database),
            )
        return
    pool = await open_pool(
        dsn,
        least=0,
        most=3,
        init=json_as_text,
        command_timeout=10,
        settings=session_settings(f"{service}-events"),
    )
    try:
        yield EventStore(dsn, PostgresOutbox(pool), PostgresInbox(pool), PostgresCaches(pool))
    finally:
        pool.terminate()
