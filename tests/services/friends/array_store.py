"""Friendships at rest, otherwise: one row per person, holding arrays. Storage can be rewritten unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from asyncpg import Record

from tidings.contracts import friends as contract
from tidings.contracts.friends import Circle, ImportedFriendship, Relation
from tidings.contracts.users import UserId
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.platform.storage.postgres import Database, Write
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.participant import Participant
from tidings.platform.twophase.postgres_participant import PostgresParticipant
from tidings.platform.twophase.sessions import Sessions
from tidings.services.friends import reactions, routes
from tidings.services.friends.service import open_friends
from tidings.services.friends.store.port import Entry, FriendsStore, Listing, Remove, Standing

LISTS: Final = ("friends", "outgoing", "incoming", "blocks", "blocked_by", "mutes")
COLUMNS: Final = [column for name in LISTS for column in (name, f"{name}_since")]
READ: Final = f"select user_id, {', '.join(COLUMNS)} from people where user_id = any($1::uuid[])"
SAVE: Final = (
    f"insert into people (user_id, {', '.join(COLUMNS)})"
    f" values ($1, {', '.join(f'${place}' for place in range(2, len(COLUMNS) + 2))})"
    f" on conflict (user_id) do update set {', '.join(f'{name} = excluded.{name}' for name in COLUMNS)}"
)

Shelf = dict[str, dict[UserId, int]]  # list -> who -> since when


def empty() -> Shelf:
    return {name: {} for name in LISTS}


def shelf_of(row: Record) -> Shelf:
    return {name: dict(zip(row[name], row[f"{name}_since"], strict=True)) for name in LISTS}


def standing_of(mine: Shelf, other: UserId) -> Standing:
    blocks, mutes = other in mine["blocks"], other in mine["mutes"]
    rest: dict[str, Any] = {"blocks": blocks, "blocked": blocks or other in mine["blocked_by"], "mutes": mutes}
    for name, state in (("friends", "friends"), ("outgoing", "requested"), ("incoming", "asked")):
        if other in mine[name]:
            return Standing(state=state, since_ms=mine[name][other], **rest)  # type: ignore[arg-type]
    return Standing(**rest)


def newest(listed: Mapping[UserId, int], before: Entry, limit: int) -> list[Entry]:
    order = sorted(((since, user_id) for user_id, since in listed.items()), reverse=True)
    older = [place for place in order if place < (before.since_ms, before.user_id)]
    return [Entry(since, user_id) for since, user_id in older[:limit]]


class ArrayWrite(Write):
    """A transaction on people's arrays. What changed is saved at once, person by person in key order."""

    async def raise_versions(self, by: Mapping[UserId, int]) -> dict[UserId, int]:
        rows = await self.connection.fetch(
            "update subject_fence f set version = f.version + step from unnest($1::uuid[], $2::bigint[])"
            " as rise (person, step) where f.user_id = person returning f.user_id, f.version",
            list(by),
            list(by.values()),
        )
        return {row[0]: row[1] for row in rows}

    async def standing(self, me: UserId, other: UserId) -> Standing:
        return standing_of((await self._shelves({me}))[me], other)

    async def counts(self, people: Iterable[UserId]) -> dict[UserId, int]:
        return {user_id: len(shelf["friends"]) for user_id, shelf in (await self._shelves(people)).items()}

    async def friends_among(self, pairs: Sequence[ImportedFriendship]) -> int:
        shelves = await self._shelves({pair.a for pair in pairs})
        return sum(pair.b in shelves[pair.a]["friends"] for pair in pairs)

    async def add_friendships(self, pairs: Sequence[ImportedFriendship]) -> list[ImportedFriendship]:
        shelves = await self._shelves({person for pair in pairs for person in (pair.a, pair.b)})
        added = []
        for pair in pairs:
            standing = standing_of(shelves[pair.a], pair.b)
            if standing.state == "friends" or standing.blocked:
                continue
            added.append(pair)
            for one, other in ((pair.a, pair.b), (pair.b, pair.a)):
                shelves[one]["friends"][other] = pair.since_ms
                shelves[one]["outgoing"].pop(other, None)
                shelves[one]["incoming"].pop(other, None)
        touched = {person for pair in added for person in (pair.a, pair.b)}
        await self._save({person: shelves[person] for person in touched})
        return added

    async def end_friendship(self, me: UserId, other: UserId) -> None:
        await self._drop((me, "friends", other), (other, "friends", me))

    async def add_request(self, asker: UserId, asked: UserId, since_ms: int) -> None:
        await self._add(since_ms, (asker, "outgoing", asked), (asked, "incoming", asker))

    async def drop_requests(self, me: UserId, other: UserId) -> None:
        for asker, asked in ((me, other), (other, me)):
            await self._drop((asker, "outgoing", asked), (asked, "incoming", asker))

    async def add_block(self, blocker: UserId, blocked: UserId, since_ms: int) -> None:
        await self._add(since_ms, (blocker, "blocks", blocked), (blocked, "blocked_by", blocker))

    async def drop_block(self, blocker: UserId, blocked: UserId) -> None:
        await self._drop((blocker, "blocks", blocked), (blocked, "blocked_by", blocker))

    async def add_mute(self, muter: UserId, muted: UserId, since_ms: int) -> None:
        await self._add(since_ms, (muter, "mutes", muted))

    async def drop_mute(self, muter: UserId, muted: UserId) -> None:
        await self._drop((muter, "mutes", muted))

    async def remove_person(self, user_id: UserId) -> list[UserId]:
        mine = (await self._shelves({user_id}))[user_id]
        muters = await self.connection.fetch("select user_id from people where $1 = any (mutes)", user_id)
        others = {other for listed in mine.values() for other in listed} | {row[0] for row in muters}
        shelves = await self._shelves(others)
        for shelf in shelves.values():
            for listed in shelf.values():
                listed.pop(user_id, None)
        await self._save({**shelves, user_id: empty()})
        return sorted(mine["friends"])

    async def _add(self, since_ms: int, *places: tuple[UserId, str, UserId]) -> None:
        shelves = await self._shelves({owner for owner, _, _ in places})
        for owner, name, other in places:
            shelves[owner][name][other] = since_ms
        await self._save(shelves)

    async def _drop(self, *places: tuple[UserId, str, UserId]) -> None:
        shelves = await self._shelves({owner for owner, _, _ in places})
        for owner, name, other in places:
            shelves[owner][name].pop(other, None)
        await self._save(shelves)

    async def _shelves(self, people: Iterable[UserId]) -> dict[UserId, Shelf]:
        wanted = list(people)
        rows = await self.connection.fetch(READ, wanted)
        return {user_id: empty() for user_id in wanted} | {row["user_id"]: shelf_of(row) for row in rows}

    async def _save(self, shelves: Mapping[UserId, Shelf]) -> None:
        await self.connection.executemany(
            SAVE,
            [
                (user_id, *(part for name in LISTS for part in (list(shelf[name]), list(shelf[name].values()))))
                for user_id, shelf in sorted(shelves.items())
            ],
        )


class ArrayFriends:
    """The graph as people's arrays."""

    def __init__(self, database: Database, sessions: Sessions) -> None:
        self._database = database
        self._sessions = sessions

    async def ready(self) -> None:
        await self._database.ready()

    async def circles(self, people: Sequence[UserId]) -> dict[UserId, Circle]:
        return {one: await self._circle(one) for one in people}

    async def _circle(self, user_id: UserId) -> Circle:
        # Read first: what comes after is as new as it says, or newer.
        versions = await self._database.fetch("select version from subject_fence where user_id = $1", user_id)
        mine = await self._shelf(user_id)
        oldest_first = sorted(mine["friends"], key=lambda friend: (mine["friends"][friend], friend))
        muted = [friend for friend in mine["mutes"] if friend in mine["friends"]]
        blocked = [*mine["blocks"], *mine["blocked_by"]]
        return Circle(friends=oldest_first, muted=muted, blocked=blocked, as_of=versions[0][0] if versions else 0)

    async def relations(self, user_id: UserId, others: Collection[UserId]) -> dict[UserId, Relation]:
        mine = await self._shelf(user_id)
        found = {}
        for other in others:
            standing = standing_of(mine, other)
            relation = Relation(friend=standing.state == "friends", blocked=standing.blocked, muted=standing.mutes)
            if relation != Relation():
                found[other] = relation
        return found

    async def standing(self, me: UserId, other: UserId) -> Standing:
        return standing_of(await self._shelf(me), other)

    async def page_before(self, listing: Listing, user_id: UserId, before: Entry, limit: int) -> list[Entry]:
        return newest((await self._shelf(user_id))[listing], before, limit)

    async def friends_shown(self, owner: UserId, viewer: UserId, before: Entry, limit: int) -> list[Entry]:
        theirs, mine = await self._shelf(owner), await self._shelf(viewer)
        hidden = mine["blocks"].keys() | mine["blocked_by"].keys()
        shown = {friend: since for friend, since in theirs["friends"].items() if friend not in hidden}
        return newest(shown, before, limit)

    async def everybody(self, after: UserId, limit: int) -> list[UserId]:
        sides = " union all ".join(f"select unnest({name}) from people" for name in LISTS)
        muters = "select user_id from people where cardinality(mutes) > 0"
        some = f"({sides} union all {muters}) some (one)"
        return [
            row[0]
            for row in await self._database.fetch(
                f"select distinct one from {some} where one > $1 order by one limit $2",
                after,
                limit,
            )
        ]

    def write(self, *, timeout_ms: int | None = None) -> AbstractAsyncContextManager[ArrayWrite]:
        return self._database.write(ArrayWrite, timeout_ms=timeout_ms)

    def participant(self, remove: Remove, failpoints: Failpoints) -> Participant:
        return PostgresParticipant(self._sessions, ArrayWrite, remove, failpoints)

    async def _shelf(self, user_id: UserId) -> Shelf:
        rows = await self._database.fetch(READ, [user_id])
        return shelf_of(rows[0]) if rows else empty()


@asynccontextmanager
async def open_arrays(dsn: str, settings: Settings) -> AsyncIterator[FriendsStore]:
    """Connect; disconnect when the block ends."""
    async with (
        Database.serving("friends", dsn, settings) as database,
        Sessions.open("friends", dsn, settings) as sessions,
    ):
        yield ArrayFriends(database, sessions)


array_friends = ServiceKind.of(
    contract,
    routes,
    partial(open_friends, open_store=open_arrays),
    Path(__file__).parent / "array_migrations",
    reactions,
)
