"""A service's outbox, inbox and register of caches in MongoDB."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, PyMongoError

from tidings.platform.ending import heeding_cancellation
from tidings.platform.occurrence import DeadLetter, Occurred, OccurredAsk, OccurredPage
from tidings.platform.storage.caches import STALE
from tidings.platform.storage.mongo import ONE_TRIP, Row, open_client
from tidings.platform.storage.outbox import parse_place, place_of

CONNECTIONS: Final = 3
RELAY: Final = "relay"


class Away(ConnectionError):
    """MongoDB cannot be reached for now."""


@contextmanager
def _reached() -> Iterator[None]:
    with heeding_cancellation():
        try:
            yield
        except PyMongoError as error:
            raise Away(repr(error)) from error


class MongoOutbox:
    """`Outbox`. Marks and leases are majority writes; times are the server's."""

    def __init__(self, database: AsyncDatabase[Row]) -> None:
        self._rows = database["outbox"]
        self._leases = database["relay_lease"]

    async def lease(self, holder: UUID, seconds: float) -> bool:
        """Become or stay the one who publishes; False while somebody else is."""
        nobodys = {"$eq": [{"$type": "$holder"}, "missing"]}
        free = {"$or": [nobodys, {"$eq": ["$holder", holder]}, {"$lt": ["$until", "$$NOW"]}]}
        taken: list[Row] = [
            {
                "$set": {
                    "holder": {"$cond": [free, holder, "$holder"]},
                    "until": {"$cond": [free, {"$add": ["$$NOW", int(seconds * 1000)]}, "$until"]},
                }
            }
        ]
        with _reached():
            try:
                row = await self._leases.find_one_and_update(
                    {"_id": RELAY}, taken, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # two made it at the same moment
                return False
        return row is not None and row["holder"] == holder

    async def vouch(self, holder: UUID) -> bool:
        """See `Outbox`: one that was deposed still answers reads for a while, and writes no more."""
        with _reached():
            mine = {"_id": RELAY, "holder": holder}
            return (await self._leases.update_one(mine, {"$inc": {"vouched": 1}})).matched_count == 1

    async def release(self, holder: UUID) -> None:
        with _reached():
            await self._leases.delete_one({"_id": RELAY, "holder": holder})

    async def unpublished(self, limit: int) -> list[Occurred]:
        """The oldest that neither the bus has acknowledged nor all who react."""
        with _reached():
            rows = self._rows.find({"waiting": True}, sort=[("created_at", 1)], limit=limit, batch_size=ONE_TRIP)
            return [_occurred(row) async for row in rows]

    async def published(self, ids: Sequence[UUID]) -> None:
        """The bus has acknowledged these, or all who react are done."""
        told: list[Row] = [{"$set": {"published_at": "$$NOW"}}, {"$unset": "waiting"}]
        with _reached():
            await self._rows.update_many({"_id": {"$in": list(ids)}, "waiting": True}, told)

    async def page(self, ask: OccurredAsk) -> OccurredPage:
        """What was published, in that order, after a place in it."""
        when, event_id = parse_place(ask.after)
        aged = {"published_at": {"$lt": datetime.now(UTC) - timedelta(seconds=ask.older_than)}}
        with _reached():
            # Read first: all that lies before it is there when what lies before it is read.
            last = await self._rows.find_one(aged, sort=[("published_at", -1), ("_id", -1)])
            if last is None or (last["published_at"], last["_id"]) <= (when, event_id):
                return OccurredPage(occurred=[], after=ask.after)
            wanted = {
                "event": {"$in": ask.events},
                "published_at": {"$gte": when, "$lte": last["published_at"]},
                "$nor": [
                    {"published_at": when, "_id": {"$lte": event_id}},
                    {"published_at": last["published_at"], "_id": {"$gt": last["_id"]}},
                ],
            }
            rows = self._rows.find(
                wanted, sort=[("published_at", 1), ("_id", 1)], limit=ask.limit, batch_size=ONE_TRIP
            )
            found = await rows.to_list()
        if len(found) == ask.limit:
            last = found[-1]
        after = place_of(last["published_at"], last["_id"])
        return OccurredPage(occurred=[_occurred(row) for row in found], after=after)

    async def backlog(self) -> tuple[int, float]:
        """How many wait, and how old the oldest is in seconds."""
        with _reached():
            count = await self._rows.count_documents({"waiting": True})
            oldest = await self._rows.find_one({"waiting": True}, sort=[("created_at", 1)])
        return count, 0.0 if oldest is None else max(0.0, time.time() - oldest["created_at"].timestamp())

    async def forget(self) -> bool:
        """An index of MongoDB's own removes what was published a week ago."""
        return False


class MongoInbox:
    """`Inbox`. Each step may be the last one of a process; all of them may be done again."""

    def __init__(self, database: AsyncDatabase[Row]) -> None:
        self._done = database["inbox"]
        self._failures = database["reaction_failures"]
        self._letters = database["dead_letters"]
        self._reconciled = database["reconciled"]

    async def done(self, ids: Sequence[UUID]) -> set[UUID]:
        """Those of `ids` whose effect is there."""
        with _reached():
            rows = self._done.find({"_id": {"$in": list(ids)}}, {"_id": True}, batch_size=ONE_TRIP)
            return {row["_id"] async for row in rows}

    async def failed(self, event_id: UUID, error: str) -> int | None:
        """Note that a reaction raised; how often it has by now. None: it counts as done already."""
        with _reached():
            if await self._done.find_one({"_id": event_id}) is not None:
                return None
            row = await self._failures.find_one_and_update(
                {"_id": event_id},
                {"$inc": {"attempts": 1}, "$set": {"error": error, "failed_at": datetime.now(UTC)}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return None if row is None else int(row["attempts"])

    async def succeeded(self, ids: Sequence[UUID]) -> None:
        """Forget that any of these had failed before."""
        with _reached():
            await self._failures.delete_many({"_id": {"$in": list(ids)}})

    async def bury(self, producer: str, one: Occurred, error: str, attempts: int) -> None:
        """Set it aside: it counts as done, and a person may replay it."""
        letter = {
            "producer": producer,
            "event": one.event,
            "subject": one.subject,
            "version": one.version,
            "body": bytes(one.body).decode(),
            "trace": one.trace,
            "dead_at": datetime.now(UTC),
        }
        said = {"error": error, "attempts": attempts}
        with _reached():
            await self._letters.update_one({"_id": one.id}, {"$setOnInsert": letter, "$set": said}, upsert=True)
            await self._done.update_one(
                {"_id": one.id}, {"$setOnInsert": {"done_at": datetime.now(UTC)}}, upsert=True
            )
        await self.succeeded([one.id])

    async def letters(self, event_id: UUID | None = None) -> list[DeadLetter]:
        with _reached():
            wanted = {} if event_id is None else {"_id": event_id}
            rows = self._letters.find(wanted, sort=[("dead_at", 1), ("_id", 1)], limit=1000, batch_size=ONE_TRIP)
            return [
                DeadLetter(
                    occurred=_occurred(row),
                    producer=row["producer"],
                    error=row["error"],
                    attempts=row["attempts"],
                    dead_ms=int(row["dead_at"].timestamp() * 1000),
                )
                async for row in rows
            ]

    async def exhume(self, event_id: UUID) -> None:
        """Let its effect be made after all."""
        with _reached():
            await self._done.delete_one({"_id": event_id})

    async def forget_letter(self, event_id: UUID) -> None:
        await self.succeeded([event_id])
        with _reached():
            await self._letters.delete_one({"_id": event_id})

    async def reconciled(self, producer: str) -> str:
        """Up to where this producer's events were compared with the inbox."""
        with _reached():
            row = await self._reconciled.find_one({"_id": producer})
        return "" if row is None else str(row["after"])

    async def reconcile_to(self, producer: str, after: str) -> None:
        with _reached():
            await self._reconciled.update_one({"_id": producer}, {"$set": {"after": after}}, upsert=True)

    async def forget(self) -> None:
        """An index of MongoDB's own removes what no producer can ask about any more."""


class MongoCaches:
    """`CacheRegister`."""

    def __init__(self, database: AsyncDatabase[Row]) -> None:
        self._rows = database["cache_register"]

    async def register(self, cache: UUID, holder: str, seconds: float) -> None:
        until: list[dict[str, Any]] = [
            {"$set": {"holder": {"$literal": holder}, "until": {"$add": ["$$NOW", int(seconds * 1000)]}}}
        ]
        stale = {"$expr": {"$lt": ["$until", {"$subtract": ["$$NOW", int(STALE.total_seconds() * 1000)]}]}}
        with _reached():
            await self._rows.update_one({"_id": cache}, until, upsert=True)
            await self._rows.delete_many(stale)

    async def leave(self, cache: UUID) -> None:
        """It keeps nothing any more."""
        with _reached():
            await self._rows.delete_one({"_id": cache})

    async def live(self) -> set[UUID]:
        with _reached():
            rows = self._rows.find({"$expr": {"$gt": ["$until", "$$NOW"]}}, batch_size=ONE_TRIP)
            return {row["_id"] async for row in rows}


@asynccontextmanager
async def opened(url: str, service: str) -> AsyncIterator[AsyncDatabase[Row]]:
    """The database, by connections of its own: events never wait for people, nor people for events."""
    client = open_client(url, f"{service}-events", connections=CONNECTIONS)
    try:
        yield client.get_default_database()
    finally:
        await client.close()


def _occurred(row: Row) -> Occurred:
    return Occurred(
        id=row["_id"],
        event=row["event"],
        subject=row["subject"],
        version=row["version"],
        body=msgspec.Raw(row["body"].encode()),
        trace=row["trace"],
    )
