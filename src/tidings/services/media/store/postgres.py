"""Pictures at rest: one row each, what shows it beside it, and the mark under which it leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from tidings.contracts.media import Used
from tidings.contracts.messages import MediaId, MessageId
from tidings.contracts.users import UserId
from tidings.platform.settings import Settings
from tidings.platform.storage.at_once import DONE, TAKEN
from tidings.platform.storage.handle import Saying
from tidings.platform.storage.postgres import Database, Write
from tidings.services.media.shapes import Developed, Due, Look, Row, Taken, Totals
from tidings.services.media.store.port import MediaStore

# A claim has come, so nobody need hold the picture for it; others of the same service may be on their way.
STRAGGLERS: Final = timedelta(minutes=10)
ROW: Final = (
    "id, owner_id, state, alt, width, height, animated, blurhash, bytes, problem, parts, tries, used, held_until"
)
_TAKEN: Final = """
    select coalesce(sum(bytes), 0)::bigint, count(*), count(*) filter (where state in ('uploading', 'processing'))
    from media where owner_id = $1 and state <> 'leaving'
"""
_BEGIN: Final = """
    insert into media (id, owner_id, state, held_until) values ($1, $2, 'uploading', clock_timestamp() + $3)
"""
_TOUCH: Final = """
    update media set held_until = clock_timestamp() + $3
    where id = $1 and owner_id = $2 and state = 'uploading' returning true
"""
_COMPLETE: Final = f"""
    update media set state = 'processing', alt = $3, parts = $4, held_until = clock_timestamp() + $5
    where id = $1 and owner_id = $2 and state = 'uploading' returning {ROW}
"""  # noqa: S608
_DEVELOP: Final = """
    update media set state = 'ready', width = $2, height = $3, animated = $4, blurhash = $5, bytes = $6,
        held_until = clock_timestamp() + $7
    where id = $1 and state = 'processing' returning true
"""
_REFUSE: Final = """
    update media set state = 'refused', problem = $2, held_until = clock_timestamp() + $3
    where id = $1 and state = 'processing' returning true
"""
_START: Final = """
    update media set held_until = clock_timestamp() + $2, tries = tries + 1
    where id = $1 and state = 'processing' returning true
"""
_TAKE_OVER: Final = f"""
    update media set held_until = clock_timestamp() + $1
    where state = 'processing' and held_until < clock_timestamp() and id = any(array(
        select id from media where state = 'processing' and held_until < clock_timestamp()
        order by held_until limit $2 for update skip locked))
    returning {ROW}
"""  # noqa: S608
_LOCK: Final = "select id from media where id = any($1::uuid[]) and owner_id = $2 and state = 'ready'"
_IN_ORDER: Final = "order by id for no key update"  # so that two writers never wait for each other
_HOLD: Final = f"""
    with locked as ({_LOCK} {_IN_ORDER})
    update media set
        posting_until = case when $4 then posting_until else greatest(posting_until, clock_timestamp() + $3) end,
        wearing_until = case when $4 then greatest(wearing_until, clock_timestamp() + $3) else wearing_until end
    where id = any(array(select id from locked)) returning {ROW}
"""  # noqa: S608
_SHOW: Final = f"""
    with locked as ({_LOCK} and not exists (select from gone_messages where message_id = $3) {_IN_ORDER}),
    shown as (
        insert into shown_by (media_id, message_id) select id, $3 from locked on conflict do nothing)
    update media set used = true, posting_until = least(posting_until, clock_timestamp() + $4)
    where id = any(array(select id from locked))
"""  # noqa: S608
# A message that is gone by now was gone when this began: its end raises its author's version.
_SHOW_AT_ONCE: Final = f"""{TAKEN}, locked as (
    select id from media where exists (select from taken) and id = any($3::uuid[]) and owner_id = $4
        and state = 'ready' and not exists (select from gone_messages where message_id = $5) {_IN_ORDER}
), shown as (
    insert into shown_by (media_id, message_id) select id, $5 from locked on conflict do nothing
), used as (
    update media set used = true, posting_until = least(posting_until, clock_timestamp() + $6)
    where id = any(array(select id from locked))
){DONE}"""  # noqa: S608
# Under the rows' locks, and under the fence of the owner, who alone may show them anywhere.
_RECKON: Final = """
    update media set
        posting_until = case when $3 then posting_until else least(posting_until, clock_timestamp() + $2) end,
        wearing_until = case when $3 then least(wearing_until, clock_timestamp() + $2) else wearing_until end,
        used =
        exists (select from shown_by s where s.media_id = media.id)
        or exists (select from avatars a where a.media_id = media.id)
    where id = any($1::uuid[]) and state = 'ready'
"""
_WEAR: Final = """
    insert into avatars (user_id, media_id, version) values ($1, $2, $3)
    on conflict (user_id) do update set media_id = excluded.media_id, version = excluded.version
    where avatars.version < excluded.version returning true
"""
_MARK: Final = "state = 'leaving', alt = '', blurhash = '', problem = null, tries = 0, left_at = clock_timestamp()"
# The conditions are on the row itself, so they are looked at again when its lock is had.
_LEAVE_UNUSED: Final = f"""
    update media set {_MARK}
    where id = any(array(
        select id from media
        where not used and state in ('uploading', 'ready', 'refused')
            and greatest(held_until, posting_until, wearing_until) < clock_timestamp()
        order by held_until limit $1 for update skip locked))
    returning id
"""  # noqa: S608
_LOOK: Final = """
    select owner_id,
        array(select message_id from shown_by s where s.media_id = m.id order by message_id desc limit $2)
    from media m where id = $1 and state = 'ready'
"""
_DUE: Final = """
    select
        exists (select from media where state = 'processing' and held_until < clock_timestamp()),
        exists (select from media where parts > 0 and state in ('ready', 'refused')),
        exists (select from media where not used and state in ('uploading', 'ready', 'refused')
            and greatest(held_until, posting_until, wearing_until) < clock_timestamp()),
        exists (select from media where state = 'leaving'
            and left_at < clock_timestamp() - case when tries > 0 then $1::interval else interval '0' end)
"""
_LEAVING: Final = """
    select id, tries > 0 from media
    where state = 'leaving'
        and left_at < clock_timestamp() - case when tries > 0 then $1::interval else interval '0' end
    order by left_at limit $2
"""
_USAGE: Final = """
    select owner_id, count(*), sum(bytes)::bigint, count(*) filter (where not used)
    from media where state = 'ready' and owner_id > $1 group by owner_id order by owner_id limit $2
"""
_TOTALS: Final = """
    select count(*) filter (where state = 'ready'), coalesce(sum(bytes) filter (where state = 'ready'), 0)::bigint,
        count(*) filter (where state = 'leaving')
    from media
"""
NOBODY: Final = UserId(UUID(int=0))


class PostgresWrite(Write):
    """One transaction on media."""

    async def taken(self, owner_id: UserId) -> Taken:
        row = await self.connection.fetchrow(_TAKEN, owner_id)
        assert row is not None
        return Taken(*row)

    async def begin(self, media_id: MediaId, owner_id: UserId, *, seconds: float) -> None:
        await self.connection.execute(_BEGIN, media_id, owner_id, timedelta(seconds=seconds))

    async def touch(self, media_id: MediaId, owner_id: UserId, *, seconds: float) -> bool:
        return bool(await self.connection.fetchval(_TOUCH, media_id, owner_id, timedelta(seconds=seconds)))

    async def complete(
        self, media_id: MediaId, owner_id: UserId, *, alt: str, parts: int, seconds: float
    ) -> Row | None:
        row = await self.connection.fetchrow(_COMPLETE, media_id, owner_id, alt, parts, timedelta(seconds=seconds))
        return Row(*row) if row else None

    async def develop(self, media_id: MediaId, made: Developed, *, seconds: float) -> bool:
        held = timedelta(seconds=seconds)
        return bool(
            await self.connection.fetchval(
                _DEVELOP, media_id, made.width, made.height, made.animated, made.blurhash, made.bytes, held
            )
        )

    async def refuse(self, media_id: MediaId, problem: str, *, seconds: float) -> bool:
        return bool(await self.connection.fetchval(_REFUSE, media_id, problem, timedelta(seconds=seconds)))

    async def start(self, media_id: MediaId, *, seconds: float) -> bool:
        return bool(await self.connection.fetchval(_START, media_id, timedelta(seconds=seconds)))

    async def not_tried(self, media_id: MediaId) -> None:
        await self.connection.execute(
            "update media set tries = greatest(tries - 1, 0) where id = $1 and state = 'processing'", media_id
        )

    async def take_over(self, *, seconds: float, limit: int) -> list[Row]:
        return [Row(*row) for row in await self.connection.fetch(_TAKE_OVER, timedelta(seconds=seconds), limit)]

    async def without_parts(self, media_ids: Collection[MediaId]) -> None:
        await self.connection.execute("update media set parts = 0 where id = any($1::uuid[])", list(media_ids))

    async def describe(self, media_id: MediaId, owner_id: UserId, alt: str) -> Row | None:
        query = f"update media set alt = $3 where id = $1 and owner_id = $2 and state = 'ready' returning {ROW}"  # noqa: S608
        row = await self.connection.fetchrow(query, media_id, owner_id, alt)
        return Row(*row) if row else None

    async def show(self, message_id: MessageId, ids: Collection[MediaId], author_id: UserId) -> None:
        await self.connection.execute(_SHOW, list(ids), author_id, message_id, STRAGGLERS)

    async def unshow(self, message_id: MessageId, author_id: UserId) -> None:
        await self.bump([author_id])
        await self.connection.execute(
            "insert into gone_messages (message_id) values ($1) on conflict do nothing", message_id
        )
        shown = await self.connection.fetch(
            "delete from shown_by where message_id = $1 returning media_id", message_id
        )
        await self._reckon([row[0] for row in shown], worn=False)

    async def wear(self, user_id: UserId, media_id: MediaId | None, version: int) -> bool:
        before = await self.connection.fetchval("select media_id from avatars where user_id = $1", user_id)
        locked = await self.connection.fetch(
            f"{_LOCK} {_IN_ORDER}", [one for one in (before, media_id) if one], user_id
        )
        if not await self.connection.fetchval(_WEAR, user_id, media_id, version):
            return False
        await self._reckon([row[0] for row in locked], worn=True)
        return True

    async def _reckon(self, ids: list[MediaId], *, worn: bool) -> None:
        """What is used by now. What one service says shortens no hold of the other: that may be silent for days."""
        if ids:
            await self.connection.execute(_RECKON, sorted(ids), STRAGGLERS, worn)

    async def leave(self, media_id: MediaId, owner_id: UserId) -> Literal["left", "used", "unknown"]:
        row = await self.connection.fetchrow(
            "select used from media where id = $1 and owner_id = $2 and state <> 'leaving' for update",
            media_id,
            owner_id,
        )
        if row is None:
            return "unknown"
        if row["used"]:
            return "used"
        await self.connection.execute(f"update media set {_MARK} where id = $1", media_id)  # noqa: S608
        return "left"

    async def leave_unused(self, limit: int) -> list[MediaId]:
        return [row[0] for row in await self.connection.fetch(_LEAVE_UNUSED, limit)]

    async def remove_person(self, person: UserId, *, answers: str) -> None:
        connection = self.connection
        await connection.execute("update subject_fence set state = 'deleted' where user_id = $1", person)
        await connection.execute(
            f"update media set {_MARK} where owner_id = $1 and state <> 'leaving'",  # noqa: S608
            person,
        )
        await connection.execute(
            "delete from shown_by where media_id in (select id from media where owner_id = $1)", person
        )
        await connection.execute("delete from avatars where user_id = $1", person)
        await connection.execute("delete from idempotency where scope = $1", answers)
        # Nobody can be told of it any more, and an error may quote what it met.
        await connection.execute("delete from dead_letters where subject = $1", person)

    async def emptied(self, media_ids: Collection[MediaId]) -> None:
        await self.connection.execute(
            "update media set tries = 1, parts = 0, left_at = clock_timestamp()"
            " where id = any($1::uuid[]) and state = 'leaving'",
            list(media_ids),
        )

    async def forget(self, media_ids: Collection[MediaId]) -> None:
        ids = list(media_ids)
        await self.connection.execute("delete from shown_by where media_id = any($1::uuid[])", ids)
        await self.connection.execute("delete from media where id = any($1::uuid[]) and state = 'leaving'", ids)

    async def forget_withdrawn(self, *, days: int) -> None:
        await self.connection.execute(
            "delete from gone_messages where at < clock_timestamp() - $1::interval", timedelta(days=days)
        )


class PostgresMedia:
    """The store on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ready(self) -> None:
        await self._database.ready()

    async def recall(self) -> None:
        await self._database.recall()

    async def own(self, owner_id: UserId, ids: Collection[MediaId]) -> dict[MediaId, Row]:
        query = (
            f"select {ROW} from media where id = any($1::uuid[]) and owner_id = $2"  # noqa: S608
            " and state in ('processing', 'ready', 'refused')"
        )
        rows = [Row(*row) for row in await self._database.fetch(query, list(ids), owner_id)]
        return {row.id: row for row in rows}

    async def look(self, media_id: MediaId, *, most: int) -> Look | None:
        rows = await self._database.fetch(_LOOK, media_id, most)
        return Look(*rows[0]) if rows else None

    async def newest(self, owner_id: UserId, *, before: MediaId | None, limit: int) -> list[Row]:
        query = (
            f"select {ROW} from media where owner_id = $1 and id < $2"  # noqa: S608
            " and state in ('processing', 'ready', 'refused') order by id desc limit $3"
        )
        last = before or MediaId(UUID(int=2**128 - 1))
        return [Row(*row) for row in await self._database.fetch(query, owner_id, last, limit)]

    async def after(self, owner_id: UserId, *, after: UUID, until: UUID, limit: int) -> list[Row]:
        query = (
            f"select {ROW} from media where owner_id = $1 and id > $2 and id < $3"  # noqa: S608
            " and state = 'ready' order by id limit $4"
        )
        return [Row(*row) for row in await self._database.fetch(query, owner_id, after, until, limit)]

    async def due(self, *, again_after: float) -> Due:
        return Due(*(await self._database.fetch(_DUE, timedelta(seconds=again_after)))[0])

    async def with_parts(self, limit: int) -> list[MediaId]:
        query = (
            "select id from media where parts > 0 and state in ('ready', 'refused') order by held_until limit $1"
        )
        return [row[0] for row in await self._database.fetch(query, limit)]

    async def leaving(self, *, again_after: float, limit: int) -> Mapping[MediaId, bool]:
        rows = await self._database.fetch(_LEAVING, timedelta(seconds=again_after), limit)
        return {row[0]: row[1] for row in rows}

    async def known(self, ids: Collection[MediaId]) -> set[MediaId]:
        rows = await self._database.fetch("select id from media where id = any($1::uuid[])", list(ids))
        return {row[0] for row in rows}

    async def usage(self, *, after: UserId | None, limit: int) -> list[Used]:
        rows = await self._database.fetch(_USAGE, after or NOBODY, limit)
        return [Used(user_id=row[0], pictures=row[1], bytes=row[2], unused=row[3]) for row in rows]

    async def totals(self) -> Totals:
        return Totals(*(await self._database.fetch(_TOTALS))[0])

    async def hold(self, ids: Collection[MediaId], owner_id: UserId, *, seconds: float, to_wear: bool) -> list[Row]:
        rows = await self._database.alone(_HOLD, list(ids), owner_id, timedelta(seconds=seconds), to_wear)
        return [Row(*row) for row in rows]

    async def show_at_once(self, message_id: MessageId, ids: Collection[MediaId], author_id: UserId) -> bool:
        own = (list(ids), author_id, message_id, STRAGGLERS)
        return await self._database.reacted_at_once(_SHOW_AT_ONCE, *own, fenced=[author_id], said=Saying())

    def write(self) -> AbstractAsyncContextManager[PostgresWrite]:
        return self._database.write(PostgresWrite)


@asynccontextmanager
async def open_postgres(dsn: str, settings: Settings) -> AsyncIterator[MediaStore]:
    """The store while the block lasts."""
    async with Database.serving("media", dsn, settings) as database:
        yield PostgresMedia(database)
