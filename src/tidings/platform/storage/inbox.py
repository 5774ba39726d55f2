"""The inbox at rest: events whose effect is there, those that failed, and those that were set aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from tidings.platform.occurrence import DeadLetter, Occurred
from tidings.platform.storage.outbox import occurred

KEPT: Final = timedelta(days=14)  # longer than any outbox keeps what it published

FAILED: Final = """
insert into reaction_failures (event_id, attempts, error)
select $1, 1, $2 where not exists (select from inbox where event_id = $1)
on conflict (event_id) do update
   set attempts = reaction_failures.attempts + 1, error = excluded.error, failed_at = clock_timestamp()
returning attempts
"""
BURY: Final = """
with taken as (insert into inbox (event_id) values ($1) on conflict do nothing),
     cleared as (delete from reaction_failures where event_id = $1)
insert into dead_letters (event_id, producer, event, subject, version, body, trace, error, attempts)
values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9)
on conflict (event_id) do update set error = excluded.error, attempts = excluded.attempts
"""
LETTERS: Final = """
select event_id as id, producer, event, subject, version, body, trace, error, attempts,
       (extract(epoch from dead_at) * 1000)::bigint as dead_ms
  from dead_letters where $1::uuid is null or event_id = $1 order by dead_at, event_id limit 1000
"""
FORGET: Final = """
delete from inbox where ctid = any(array(
    select ctid from inbox where done_at < clock_timestamp() - $1::interval limit 1000)) returning true
"""
RECONCILED: Final = """
insert into reconciled (producer, after) values ($1, $2)
on conflict (producer) do update set after = excluded.after
"""


class PostgresInbox:
    """`Inbox`, on a few connections of its own."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def done(self, ids: Sequence[UUID]) -> set[UUID]:
        """Those of `ids` whose effect is there."""
        rows = await self._pool.fetch("select event_id from inbox where event_id = any($1::uuid[])", list(ids))
        return {row["event_id"] for row in rows}

    async def failed(self, event_id: UUID, error: str) -> int | None:
        """Note that a reaction raised; how often it has by now. None: it counts as done already."""
        attempts: int | None = await self._pool.fetchval(FAILED, event_id, error)
        return attempts

    async def succeeded(self, ids: Sequence[UUID]) -> None:
        """Forget that any of these had failed before."""
        await self._pool.execute("delete from reaction_failures where event_id = any($1::uuid[])", list(ids))

    async def bury(self, producer: str, one: Occurred, error: str, attempts: int) -> None:
        """Set it aside: it counts as done, and a person may replay it."""
        await self._pool.execute(
            BURY, one.id, producer, one.event, one.subject, one.version, bytes(one.body).decode(), one.trace, error,
            attempts,
        )  # fmt: skip

    async def letters(self, event_id: UUID | None = None) -> list[DeadLetter]:
        return [
            DeadLetter(
                occurred=occurred(row),
                producer=row["producer"],
                error=row["error"],
                attempts=row["attempts"],
                dead_ms=row["dead_ms"],
            )
            for row in await self._pool.fetch(LETTERS, event_id)
        ]

    async def exhume(self, event_id: UUID) -> None:
        """Let its effect be made after all."""
        await self._pool.execute("delete from inbox where event_id = $1", event_id)

    async def forget_letter(self, event_id: UUID) -> None:
        await self.succeeded([event_id])
        await self._pool.execute("delete from dead_letters where event_id = $1", event_id)

    async def reconciled(self, producer: str) -> str:
        """Up to where this producer's events were compared with the inbox."""
        after = await self._pool.fetchval("select after from reconciled where producer = $1", producer)
        return after or ""

    async def reconcile_to(self, producer: str, after: str) -> None:
        await self._pool.execute(RECONCILED, producer, after)

    async def forget(self) -> None:
        """Remove what no producer can ask about any more."""
        while await self._pool.fetch(FORGET, KEPT):
            pass
