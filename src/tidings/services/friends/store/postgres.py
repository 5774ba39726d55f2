"""Friendships at rest: one row per pair, both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Literal

from asyncpg import Record

from tidings.contracts.friends import Circle, ImportedFriendship, Relation
from tidings.contracts.users import UserId
from tidings.platform.settings import Settings
from tidings.platform.storage.postgres import Database, Write, rows_of
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.participant import Participant
from tidings.platform.twophase.postgres_participant import PostgresParticipant
from tidings.platform.twophase.sessions import Sessions
from tidings.services.friends.store.port import Entry, FriendsStore, Listing, Remove, Standing

State = Literal["friends", "requested", "asked"]

_CIRCLE: Final = """
    select
        asked.id,
        array(select friend_id from friendships where user_id = asked.id order by since_ms, friend_id) as friends,
        array(
            select m.muted_id from mutes m
            join friendships f on f.user_id = asked.id and f.friend_id = m.muted_id
            where m.muter_id = asked.id
        ) as muted,
        array(
            select blocked_id from blocks where blocker_id = asked.id
            union all select blocker_id from blocks where blocked_id = asked.id
        ) as blocked,
        coalesce((select version from subject_fence where user_id = asked.id), 0) as as_of
    from (select $1::uuid as id) as asked
"""
_CIRCLES: Final = _CIRCLE.replace("(select $1::uuid as id) as asked", "unnest($1::uuid[]) as asked(id)")

_RELATIONS: Final = """
    select friend_id, 'friend' from friendships where user_id = $1 and friend_id = any($2::uuid[])
    union all select blocked_id, 'blocked' from blocks where blocker_id = $1 and blocked_id = any($2::uuid[])
    union all select blocker_id, 'blocked' from blocks where blocked_id = $1 and blocker_id = any($2::uuid[])
    union all select muted_id, 'muted' from mutes where muter_id = $1 and muted_id = any($2::uuid[])
"""

_STANDING: Final = """
    select 'friends', since_ms from friendships where user_id = $1 and friend_id = $2
    union all select 'requested', since_ms from friend_requests where asker_id = $1 and asked_id = $2
    union all select 'asked', since_ms from friend_requests where asker_id = $2 and asked_id = $1
    union all select 'blocks', since_ms from blocks where blocker_id = $1 and blocked_id = $2
    union all select 'blocked_by', since_ms from blocks where blocker_id = $2 and blocked_id = $1
    union all select 'mutes', since_ms from mutes where muter_id = $1 and muted_id = $2
"""


def _page(table: str, owner: str, other: str) -> str:
    return (
        f"select since_ms, {other} from {table}"  # noqa: S608 the names are the five below
        f" where {owner} = $1 and (since_ms, {other}) < ($2, $3)"
        f" order by since_ms desc, {other} desc limit $4"
    )


_PAGES: Final[dict[Listing, str]] = {
    "friends": _page("friendships", "user_id", "friend_id"),
    "incoming": _page("friend_requests", "asked_id", "asker_id"),
    "outgoing": _page("friend_requests", "asker_id", "asked_id"),
    "blocks": _page("blocks", "blocker_id", "blocked_id"),
    "mutes": _page("mutes", "muter_id", "muted_id"),
}

_FRIENDS_SHOWN: Final = """
    select since_ms, friend_id from friendships
    where user_id = $1 and (since_ms, friend_id) < ($2, $3)
        and friend_id <> all (array(
            select blocked_id from blocks where blocker_id = $5
            union all select blocker_id from blocks where blocked_id = $5
        ))
    order by since_ms desc, friend_id desc limit $4
"""

_COUNTS: Final = """
    select person, (select count(*) from friendships where user_id = person) from unnest($1::uuid[]) as person
"""

_FRIENDS_AMONG: Final = """
    select count(*) from unnest($1::uuid[], $2::uuid[]) as pair (a, b)
    where exists (select from friendships where user_id = a and friend_id = b)
"""

_RAISE_VERSIONS: Final = """
    update subject_fence f set version = f.version + step
    from unnest($1::uuid[], $2::bigint[]) as rise (person, step)
    where f.user_id = person returning f.user_id, f.version
"""

_ADD_FRIENDSHIPS: Final = """
    with pair as (select * from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as pair (a, b, since_ms)),
    added as (
        insert into friendships (user_id, friend_id, since_ms)
        select a, b, since_ms from pair
        where not exists (select from blocks where blocker_id = a and blocked_id = b)
            and not exists (select from blocks where blocker_id = b and blocked_id = a)
        on conflict do nothing
        returning user_id, friend_id, since_ms
    ),
    other_way as (
        insert into friendships (user_id, friend_id, since_ms) select friend_id, user_id, since_ms from added
    )
    select user_id, friend_id, since_ms from added
"""

_ANSWER_REQUESTS: Final = """
    delete from friend_requests r using unnest($1::uuid[], $2::uuid[]) as pair (a, b)
    where r.asker_id = a and r.asked_id = b
"""

_END_FRIENDSHIP: Final = "delete from friendships where user_id = $1 and friend_id = $2"
_ADD_REQUEST: Final = "insert into friend_requests (asker_id, asked_id, since_ms) values ($1, $2, $3)"
_DROP_REQUEST: Final = "delete from friend_requests where asker_id = $1 and asked_id = $2"
_ADD_BLOCK: Final = "insert into blocks (blocker_id, blocked_id, since_ms) values ($1, $2, $3)"
_DROP_BLOCK: Final = "delete from blocks where blocker_id = $1 and blocked_id = $2"
_ADD_MUTE: Final = "insert into mutes (muter_id, muted_id, since_ms) values ($1, $2, $3)"
_DROP_MUTE: Final = "delete from mutes where muter_id = $1 and muted_id = $2"

# In key order: two people who leave at the same time never wait for each other.
_REMOVE_FRIENDSHIPS: Final = """
    with friend as (select friend_id from friendships where user_id = $1),
    gone as (
        select f.user_id, f.friend_id
        from (
            select $1::uuid, friend_id from friend union all select friend_id, $1::uuid from friend
        ) as pair (a, b)
        join friendships f on f.user_id = a and f.friend_id = b
        order by f.user_id, f.friend_id for update of f
    )
    delete from friendships f using gone where f.user_id = gone.user_id and f.friend_id = gone.friend_id
    returning f.user_id, f.friend_id
"""


def _remove(table: str, one: str, other: str) -> str:
    return (
        f"with gone as (select {one}, {other} from {table} where {one} = $1 or {other} = $1"  # noqa: S608 three names
        f" order by {one}, {other} for update)"
        f" delete from {table} t using gone where t.{one} = gone.{one} and t.{other} = gone.{other}"
    )


_REMOVE: Final = (
    _remove("friend_requests", "asker_id", "asked_id"),
    _remove("blocks", "blocker_id", "blocked_id"),
    _remove("mutes", "muter_id", "muted_id"),
)


def _next_in(table: str, column: str) -> str:
    """Each value once, by a jump from one to the next: 5,000 friends of somebody cost as much as one."""
    return (
        f"(with recursive found as ("  # noqa: S608 names of ours
        f"(select {column} as person from {table} where {column} > $1 order by {column} limit 1) union all "
        f"select (select t.{column} from {table} t where t.{column} > found.person order by t.{column} limit 1)"
        " from found where found.person is not null"
        ") select person from found where person is not null limit $2)"
    )


_SIDES: Final = (
    ("friendships", "user_id"),  # both directions are there
    *(("friend_requests", "asker_id"), ("friend_requests", "asked_id")),
    *(("blocks", "blocker_id"), ("blocks", "blocked_id")),
    *(("mutes", "muter_id"), ("mutes", "muted_id")),
)
_EVERYBODY: Final = (
    "select distinct person from ("  # noqa: S608 names of ours
    + " union all ".join(_next_in(table, column) for table, column in _SIDES)
    + ") one order by person limit $2"
)

STATEMENTS: Final = (
    *(_CIRCLE, _CIRCLES, _RELATIONS, _STANDING, *_PAGES.values(), _FRIENDS_SHOWN, _COUNTS, _FRIENDS_AMONG),
    *(_RAISE_VERSIONS, _ADD_FRIENDSHIPS, _ANSWER_REQUESTS, _END_FRIENDSHIP, _ADD_REQUEST, _DROP_REQUEST),
    *(_ADD_BLOCK, _DROP_BLOCK, _ADD_MUTE, _DROP_MUTE, _REMOVE_FRIENDSHIPS, *_REMOVE, _EVERYBODY),
)


class PostgresWrite(Write):
    """A transaction on the graph."""

    async def raise_versions(self, by: Mapping[UserId, int]) -> dict[UserId, int]:
        rows = await self.connection.fetch(_RAISE_VERSIONS, list(by), list(by.values()))
        return {row[0]: row[1] for row in rows}

    async def standing(self, me: UserId, other: UserId) -> Standing:
        return _standing(await self.connection.fetch(_STANDING, me, other))

    async def counts(self, people: Iterable[UserId]) -> dict[UserId, int]:
        return {row[0]: row[1] for row in await self.connection.fetch(_COUNTS, list(people))}

    async def friends_among(self, pairs: Sequence[ImportedFriendship]) -> int:
        columns = [pair.a for pair in pairs], [pair.b for pair in pairs]
        count: int = await self.connection.fetchval(_FRIENDS_AMONG, *columns)
        return count

    async def add_friendships(self, pairs: Sequence[ImportedFriendship]) -> list[ImportedFriendship]:
        if not pairs:
            return []
        columns = rows_of([(pair.a, pair.b, pair.since_ms) for pair in pairs])
        rows = await self.connection.fetch(_ADD_FRIENDSHIPS, *columns)
        added = [ImportedFriendship(a=row[0], b=row[1], since_ms=row[2]) for row in rows]
        both = [(pair.a, pair.b) for pair in added] + [(pair.b, pair.a) for pair in added]
        if both:
            await self.connection.execute(_ANSWER_REQUESTS, *rows_of(both))
        return added

    async def end_friendship(self, me: UserId, other: UserId) -> None:
        await self._both_ways(_END_FRIENDSHIP, me, other)

    async def add_request(self, asker: UserId, asked: UserId, since_ms: int) -> None:
        await self.connection.execute(_ADD_REQUEST, asker, asked, since_ms)

    async def drop_requests(self, me: UserId, other: UserId) -> None:
        await self._both_ways(_DROP_REQUEST, me, other)

    async def add_block(self, blocker: UserId, blocked: UserId, since_ms: int) -> None:
        await self.connection.execute(_ADD_BLOCK, blocker, blocked, since_ms)

    async def drop_block(self, blocker: UserId, blocked: UserId) -> None:
        await self.connection.execute(_DROP_BLOCK, blocker, blocked)

    async def add_mute(self, muter: UserId, muted: UserId, since_ms: int) -> None:
        await self.connection.execute(_ADD_MUTE, muter, muted, since_ms)

    async def drop_mute(self, muter: UserId, muted: UserId) -> None:
        await self.connection.execute(_DROP_MUTE, muter, muted)

    async def remove_person(self, user_id: UserId) -> list[UserId]:
        rows = await self.connection.fetch(_REMOVE_FRIENDSHIPS, user_id)
        for statement in _REMOVE:
            await self.connection.execute(statement, user_id)
        return sorted(row[1] for row in rows if row[0] == user_id)

    async def _both_ways(self, statement: str, me: UserId, other: UserId) -> None:
        low, high = sorted((me, other))
        await self.connection.executemany(statement, [(low, high), (high, low)])


class PostgresFriends:
    """The graph in a PostgreSQL database of its own."""

    def __init__(self, database: Database, sessions: Sessions) -> None:
        self._database = database
        self._sessions = sessions

    async def ready(self) -> None:
        await self._database.ready()

    async def circles(self, people: Sequence[UserId]) -> dict[UserId, Circle]:
        # One is what is mostly asked for. Of a list PostgreSQL does not know how long it is, so it plans each anew.
        if len(people) == 1:
            rows = await self._database.fetch(_CIRCLE, people[0])
        else:
            rows = await self._database.fetch(_CIRCLES, people)
        return {row[0]: Circle(friends=row[1], muted=row[2], blocked=row[3], as_of=row[4]) for row in rows}

    async def relations(self, user_id: UserId, others: Collection[UserId]) -> dict[UserId, Relation]:
        found: dict[UserId, dict[str, bool]] = {}
        for other, what in await self._database.fetch(_RELATIONS, user_id, list(others)):
            found.setdefault(other, {})[what] = True
        return {other: Relation(**what) for other, what in found.items()}

    async def standing(self, me: UserId, other: UserId) -> Standing:
        return _standing(await self._database.fetch(_STANDING, me, other))

    async def page_before(self, listing: Listing, user_id: UserId, before: Entry, limit: int) -> list[Entry]:
        rows = await self._database.fetch(_PAGES[listing], user_id, before.since_ms, before.user_id, limit)
        return [Entry(row[0], row[1]) for row in rows]

    async def friends_shown(self, owner: UserId, viewer: UserId, before: Entry, limit: int) -> list[Entry]:
        rows = await self._database.fetch(_FRIENDS_SHOWN, owner, before.since_ms, before.user_id, limit, viewer)
        return [Entry(row[0], row[1]) for row in rows]

    async def everybody(self, after: UserId, limit: int) -> list[UserId]:
        return [row[0] for row in await self._database.fetch(_EVERYBODY, after, limit)]

    def write(self, *, timeout_ms: int | None = None) -> AbstractAsyncContextManager[PostgresWrite]:
        return self._database.write(PostgresWrite, timeout_ms=timeout_ms)

    def participant(self, remove: Remove, failpoints: Failpoints) -> Participant:
        return PostgresParticipant(self._sessions, PostgresWrite, remove, failpoints)


def _standing(rows: Iterable[Record]) -> Standing:
    since: dict[str, int] = {row[0]: row[1] for row in rows}
    states: tuple[State, ...] = ("friends", "requested", "asked")
    state = next((name for name in states if name in since), None)
    return Standing(
        state=state,
        since_ms=since[state] if state else 0,
        blocks="blocks" in since,
        blocked="blocks" in since or "blocked_by" in since,
        mutes="mutes" in since,
    )


@asynccontextmanager
async def open_postgres(dsn: str, settings: Settings) -> AsyncIterator[FriendsStore]:
    """Connect; disconnect when the block ends."""
    async with (
        Database.serving("friends", dsn, settings) as database,
        Sessions.open("friends", dsn, settings) as sessions,
    ):
        yield PostgresFriends(database, sessions)
