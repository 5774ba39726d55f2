"""The outbox at rest: what happened and was not yet told, the lease of the one who tells it, and what was told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from tidings.platform.occurrence import Occurred, OccurredAsk, OccurredPage

KEPT: Final = timedelta(days=7)
BEGINNING: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

LEASE: Final = """
insert into relay_lease (name, holder, until) values ('relay', $1, clock_timestamp() + $2::interval)
on conflict (name) do update set holder = excluded.holder, until = excluded.until
 where relay_lease.holder = $1 or relay_lease.until < clock_timestamp()
returning true
"""
RELEASE: Final = "delete from relay_lease where name = 'relay' and holder = $1"
# A plain read of all that was committed: nothing here may be passed over because somebody else holds its row, and
# no id is a bound, since sequences and clocks commit out of order.
UNPUBLISHED: Final = """
select id, event, subject, version, body, trace from outbox where published_at is null order by created_at limit $1
"""
# Nobody waits for the disk: a mark that a crash takes back lets the event be published once more.
MARK: Final = """
with lazily as (select set_config('synchronous_commit', 'off', true))
update outbox set published_at = clock_timestamp() from lazily where id = any($1::uuid[]) and published_at is null
"""
BACKLOG: Final = """
select count(*) as waiting, coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float as oldest
  from outbox where published_at is null
"""
FORGOTTEN: Final = 1000  # at once
FORGET: Final = """
delete from outbox where ctid = any(array(
    select ctid from outbox where published_at < clock_timestamp() - $1::interval limit $2)) returning true
"""
LAST_PUBLISHED: Final = """
select published_at, id from outbox where published_at < clock_timestamp() - $1::interval
 order by published_at desc, id desc limit 1
"""
# The last condition follows from the others, but the planner does not see that, and the index is of those alone.
PUBLISHED_BETWEEN: Final = """
select id, event, subject, version, body, trace, published_at from outbox
 where event = any($1::text[]) and (published_at, id) > ($2::timestamptz, $3::uuid)
   and (published_at, id) <= ($4::timestamptz, $5::uuid) and published_at is not null
 order by published_at, id limit $6
"""


class PostgresOutbox:
    """`Outbox`, on a few connections of its own."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def lease(self, holder: UUID, seconds: float) -> bool:
        """Become or stay the one who publishes; False while somebody else is."""
        return bool(await self._pool.fetchval(LEASE, holder, timedelta(seconds=seconds)))

    async def vouch(self, holder: UUID) -> bool:
        """A PostgreSQL that answers is the only one."""
        return True

    async def release(self, holder: UUID) -> None:
        await self._pool.execute(RELEASE, holder)

    async def unpublished(self, limit: int) -> list[Occurred]:
        """The oldest that neither the bus has acknowledged nor all who react."""
        return [occurred(row) for row in await self._pool.fetch(UNPUBLISHED, limit)]

    async def published(self, ids: Sequence[UUID]) -> None:
        """The bus has acknowledged these, or all who react are done."""
        await self._pool.execute(MARK, list(ids))

    async def page(self, ask: OccurredAsk) -> OccurredPage:
        """What was published, in that order, after a place in it."""
        place = parse_place(ask.after)
        # Read first: all that lies before it is there when what lies before it is read.
        row = await self._pool.fetchrow(LAST_PUBLISHED, timedelta(seconds=ask.older_than))
        last = BEGINNING if row is None else (row["published_at"], row["id"])
        if last <= place:
            return OccurredPage(occurred=[], after=ask.after)
        rows = await self._pool.fetch(PUBLISHED_BETWEEN, ask.events, *place, *last, ask.limit)
        if len(rows) == ask.limit:
            last = rows[-1]["published_at"], rows[-1]["id"]
        return OccurredPage(occurred=[occurred(row) for row in rows], after=place_of(*last))

    async def backlog(self) -> tuple[int, float]:
        """How many wait, and how old the oldest is in seconds."""
        row = await self._pool.fetchrow(BACKLOG)
        return (0, 0.0) if row is None else (row["waiting"], row["oldest"])

    async def forget(self) -> bool:
        """Remove some of what was published so long ago that nobody asks for it; whether there may be more."""
        return len(await self._pool.fetch(FORGET, KEPT, FORGOTTEN)) == FORGOTTEN


def occurred(row: asyncpg.Record) -> Occurred:
    return Occurred(
        id=row["id"],
        event=row["event"],
        subject=row["subject"],
        version=row["version"],
        body=msgspec.Raw(row["body"].encode()),
        trace=row["trace"],
    )


def place_of(published_at: datetime, event_id: UUID) -> str:
    """A place in the order of publication, for `OccurredAsk.after`."""
    return f"{published_at.isoformat()} {event_id}"


def parse_place(place: str) -> tuple[datetime, UUID]:
    when, _, event_id = place.partition(" ")
    return (datetime.fromisoformat(when), UUID(event_id)) if place else BEGINNING
