"""What every service keeps beside its own data, as a judge reads it: outbox, fences, and what is prepared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from tests.soak.desk import Desk

LATELY = timedelta(minutes=3)


class Announced(msgspec.Struct, frozen=True):
    """A row of an outbox; `body` is JSON."""

    id: UUID
    event: str
    body: bytes
    unpublished: bool


async def announced(desk: Desk, producer: str) -> list[Announced]:
    """All that is not published, and what was lately."""
    if desk.is_on_mongodb(producer):
        lately = {"published_at": {"$gt": datetime.now(UTC) - LATELY}}
        found = await desk.find(producer, "outbox", {"$or": [{"waiting": True}, lately]}, within=10)
        return [Announced(row["_id"], row["event"], row["body"].encode(), "waiting" in row) for row in found]
    rows = await desk.fetch(
        producer,
        "select id, event, body::text as body, published_at is null as unpublished from outbox"
        " where created_at > now() - $1::interval or published_at is null",
        LATELY,
        within=10,
    )
    return [Announced(row["id"], row["event"], row["body"].encode(), row["unpublished"]) for row in rows]


async def fences(desk: Desk, service: str) -> dict[UUID, str]:
    """The state of each person's; those of whom nothing was ever written have none."""
    if desk.is_on_mongodb(service):
        return {row["_id"]: row["state"] for row in await desk.find(service, "fence", within=20)}
    rows = await desk.fetch(service, "select user_id, state from subject_fence", within=20)
    return {row["user_id"]: row["state"] for row in rows}


async def prepared(desk: Desk, service: str) -> set[str]:
    """The deletions of which a branch is prepared there."""
    if desk.is_on_mongodb(service):
        return {row["_id"] for row in await desk.find(service, "branch", {"state": "prepared"})}
    return {row["gid"].rpartition(":")[2] for row in await desk.fetch(service, "select gid from pg_prepared_xacts")}
