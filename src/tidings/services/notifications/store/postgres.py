"""Notifications at rest: one row for each person, kind, actor and target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec

from tidings.contracts.messages import MessageId
from tidings.contracts.notifications import NotificationsChanged, changed
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.settings import Settings
from tidings.platform.storage.at_once import TAKEN, TOLD
from tidings.platform.storage.handle import Saying
from tidings.platform.storage.postgres import Database, Write, rows_of
from tidings.services.notifications.shapes import Effect
from tidings.services.notifications.store.port import NotificationStore, Place, Row, Told, ToldPlace

_INTO: Final = "insert into notifications (user_id, kind, actor_id, target, group_id, version, stands, at_ms)"
_ROWS: Final = f"""
{_INTO} select effect.* from unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::bool[], $8::bigint[]) as effect
"""  # noqa: S608 - of constants
# A row that no longer stands stays: it is what makes a late, older event change nothing.
_IF_NEWER: Final = """
on conflict (user_id, kind, actor_id, target) do update
   set stands = excluded.stands, version = excluded.version, group_id = excluded.group_id,
       at_ms = case when notifications.stands then notifications.at_ms else excluded.at_ms end
 where notifications.version < excluded.version
returning user_id
"""
_PUT: Final = f"{_ROWS} {_IF_NEWER}"
_ADVANCE: Final = """
insert into message_versions (message_id, version) values ($1, $2)
on conflict (message_id) do update set version = excluded.version where message_versions.version < excluded.version
returning true
"""
_TELL: Final = f"""
with advanced as (
    insert into message_versions (message_id, version) values ($9, $10) on conflict do nothing returning true),
put as ({_ROWS} where exists (select from advanced) {_IF_NEWER})
update subject_fence set version = version + 1 where user_id in (select user_id from put)
returning user_id, version
"""  # noqa: S608 - of constants
_TELL_AT_ONCE: Final = f"""{TAKEN}, advanced as (
    insert into message_versions (message_id, version) select $16, $17 from taken on conflict do nothing
    returning message_id
), concerned as (
    {_INTO} select effect.* from advanced, unnest(
        $8::uuid[], $9::text[], $10::uuid[], $11::uuid[], $12::uuid[], $13::bigint[], $14::bool[], $15::bigint[]
    ) as effect {_IF_NEWER}
){TOLD}"""  # noqa: S608 - of constants
_DROP: Final = """
delete from notifications
 where target = $1 and ($3 or (kind = 'mention' and user_id <> all($2::uuid[])))
returning user_id
"""
_MARK: Final = """
insert into read_marks (user_id, read_ms) values ($1, $2)
on conflict (user_id) do update set read_ms = greatest(read_marks.read_ms, excluded.read_ms)
returning read_ms
"""
_PAGE: Final = """
select kind, group_id, max(at_ms) as at_ms,
       array_agg(actor_id order by at_ms desc, actor_id) as actors,
       array_agg(target order by at_ms desc, actor_id) as targets
  from notifications
 where user_id = $1 and stands and at_ms <= $2
 group by kind, group_id
having (max(at_ms), kind, group_id) < ($3, $4, $5)
 order by max(at_ms) desc, kind desc, group_id desc limit $6
"""
_TOLD: Final = """
select kind, actor_id, target, at_ms from notifications
 where user_id = $1 and stands and (kind, actor_id, target) > ($2, $3, $4)
 order by kind, actor_id, target limit $5
"""
_UNREAD: Final = """
select exists (
    select from notifications where user_id = $1 and stands
    and at_ms > coalesce((select read_ms from read_marks where user_id = $1), 0)
)
"""
_FIRST: Final = Place(2**62, 2**62, "~", UUID(int=2**128 - 1))


class PostgresWrite(Write):
    """One transaction on notifications."""

    async def put(self, effects: Collection[Effect]) -> set[UserId]:
        if not effects:
            return set()
        return {row["user_id"] for row in await self.connection.fetch(_PUT, *_columns(effects))}

    async def tell(self, effects: Collection[Effect], message_id: MessageId, version: int) -> dict[UUID, int]:
        if not effects:
            await self.advance_message(message_id, version)
            return {}
        rows = await self.connection.fetch(_TELL, *_columns(effects), message_id, version)
        return {row[0]: row[1] for row in rows}

    async def concerned(self, message_id: MessageId) -> set[UserId]:
        query = "select distinct user_id from notifications where target = $1"
        return {row["user_id"] for row in await self.connection.fetch(query, message_id)}

    async def advance_message(self, message_id: MessageId, version: int) -> bool:
        return bool(await self.connection.fetchval(_ADVANCE, message_id, version))

    async def drop_about(
        self, message_id: MessageId, *, keep_mentions: Collection[UserId], all_: bool
    ) -> set[UserId]:
        rows = await self.connection.fetch(_DROP, message_id, list(keep_mentions), all_)
        return {row["user_id"] for row in rows}

    async def mark_read(self, user_id: UserId, read_ms: int) -> int:
        return int(await self.connection.fetchval(_MARK, user_id, read_ms))

    async def remove_person(self, person: UserId) -> None:
        await self.connection.execute("update subject_fence set state = 'deleted' where user_id = $1", person)
        await self.connection.execute("delete from notifications where user_id = $1 or actor_id = $1", person)
        await self.connection.execute("delete from read_marks where user_id = $1", person)
        # Nobody can be told of it any more, and an error may quote what it met.
        await self.connection.execute("delete from dead_letters where subject = $1", person)


def _columns(effects: Collection[Effect]) -> tuple[list[Any], ...]:
    now = now_ms()
    return rows_of([(*msgspec.structs.astuple(effect), now) for effect in effects])


class PostgresNotifications:
    """The store on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ready(self) -> None:
        await self._database.ready()

    async def page(self, user_id: UserId, *, below: Place | None, now_ms: int, limit: int) -> list[Row]:
        place = below or _FIRST
        rows = await self._database.fetch(
            _PAGE, user_id, min(place.as_of_ms, now_ms), place.at_ms, place.kind, place.group_id, limit
        )
        return [Row(row["kind"], row["group_id"], row["at_ms"], row["actors"], row["targets"]) for row in rows]

    async def told(self, user_id: UserId, *, after: ToldPlace, limit: int) -> list[Told]:
        rows = await self._database.fetch(_TOLD, user_id, after.kind, after.actor_id, after.target, limit)
        return [Told(*row) for row in rows]

    async def unread(self, user_id: UserId) -> bool:
        return bool((await self._database.fetch(_UNREAD, user_id))[0][0])

    async def read_ms(self, user_id: UserId) -> int | None:
        rows = await self._database.fetch("select read_ms from read_marks where user_id = $1", user_id)
        return rows[0]["read_ms"] if rows else None

    async def tell_at_once(
        self, effects: Collection[Effect], message_id: MessageId, version: int, *, fenced: Collection[UserId]
    ) -> bool:
        said = Saying()
        for person in {effect.user_id for effect in effects}:
            body = NotificationsChanged(user_id=person, version=0)
            said.announce(changed, subject=person, version=0, body=body)
        return await self._database.reacted_at_once(
            _TELL_AT_ONCE, *_columns(effects), message_id, version, fenced=fenced, said=said
        )

    def write(self) -> AbstractAsyncContextManager[PostgresWrite]:
        return self._database.write(PostgresWrite)


@asynccontextmanager
async def open_postgres(dsn: str, settings: Settings) -> AsyncIterator[NotificationStore]:
    """The store while the block lasts."""
    async with Database.serving("notifications", dsn, settings) as database:
        yield PostgresNotifications(database)
