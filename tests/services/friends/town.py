"""People who use friends by itself, and the users that is played beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from tests.harness.lone import Lone
from tidings.contracts import friends as contract
from tidings.contracts.friends import (
    Circle,
    Friendship,
    FriendsOf,
    ImportedFriendship,
    ImportFriendships,
    Other,
    PageAsk,
    People,
    Relation,
    RequestsAsk,
)
from tidings.contracts.users import ByIds, Imported, UserCard, UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import Refusal, Route, Unavailable
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer

Answer = TypeVar("Answer")
Kind = TypeVar("Kind", bound=Refusal)


class Happened(NamedTuple):
    """An outbox row."""

    event: str
    subject: UUID
    version: int
    body: dict[str, Any]


class Town:
    """The running service; plays users, who know everybody but the gone."""

    lone: Lone
    dsn: str

    def __init__(self) -> None:
        self.gone: set[UUID] = set()
        self.users_down = False

    def people(self, count: int) -> list[Person]:
        return [Person(UserId(uuid7(now_ms())), self) for _ in range(count)]

    async def cards(self, viewer: Viewer, ask: ByIds) -> dict[UserId, UserCard]:
        if self.users_down:
            raise Unavailable("users is down.", service="users")
        return {
            one: UserCard(id=one, handle=f"p{one.hex[-6:]}", name="Somebody", avatar=f"/v1/avatars/{one}")
            for one in ask.ids
            if one not in self.gone
        }

    async def imports(self, *pairs: tuple[Person, Person], since_ms: int = 1_000_000) -> Imported:
        """Friendships by the operator, each a millisecond younger than the one before."""
        batch = [
            ImportedFriendship(a=one.id, b=other.id, since_ms=since_ms + place)
            for place, (one, other) in enumerate(pairs)
        ]
        return await self.lone.call(contract.import_friendships, ImportFriendships(friendships=batch))

    async def happened(self, *people: Person) -> list[Happened]:
        """The outbox rows about these, oldest first, read as the service's own role."""
        rows = await self._sql(
            "select event, subject, version, body from outbox where subject = any($1) order by version, subject",
            [one.id for one in people],
        )
        return [Happened(row[0], row[1], row[2], msgspec.json.decode(row[3])) for row in rows]

    async def versions(self, *people: Person) -> list[int]:
        """The versions of their fences; 0 where there is none."""
        rows = await self._sql(
            "select user_id, version from subject_fence where user_id = any($1)", [one.id for one in people]
        )
        found = {row[0]: row[1] for row in rows}
        return [found.get(one.id, 0) for one in people]

    async def delete(self, person: Person) -> None:
        """As the deletion's branch does it: the fence says so."""
        await self._sql(
            "insert into subject_fence (user_id, state) values ($1, 'deleted')"
            " on conflict (user_id) do update set state = 'deleted'",
            person.id,
        )

    async def _sql(self, statement: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()


@dataclass(eq=False)
class Person:
    """One member; the verbs are what they do."""

    id: UserId
    town: Town = field(repr=False)

    async def asks(self, other: Person) -> Friendship:
        return await self._do(contract.befriend, Other(user_id=other.id))

    async def befriends(self, *others: Person) -> None:
        for other in others:
            await self.asks(other)
            assert (await other.asks(self)).state == "friends"

    async def ends(self, other: Person) -> None:
        await self._do(contract.unfriend, Other(user_id=other.id))

    async def drops(self, other: Person) -> None:
        await self._do(contract.drop_request, Other(user_id=other.id))

    async def blocks(self, other: Person) -> None:
        await self._do(contract.block, Other(user_id=other.id))

    async def unblocks(self, other: Person) -> None:
        await self._do(contract.unblock, Other(user_id=other.id))

    async def mutes(self, other: Person) -> None:
        await self._do(contract.mute, Other(user_id=other.id))

    async def unmutes(self, other: Person) -> None:
        await self._do(contract.unmute, Other(user_id=other.id))

    async def stands_with(self, other: Person) -> Friendship:
        return await self._do(contract.get_friend, Other(user_id=other.id))

    async def friends(self, *, limit: int = 50, cursor: str | None = None) -> People:
        return await self._do(contract.list_friends, PageAsk(limit=limit, cursor=cursor))

    async def friends_of(self, owner: Person, *, limit: int = 50, cursor: str | None = None) -> People:
        return await self._do(contract.friends_of, FriendsOf(user_id=owner.id, limit=limit, cursor=cursor))

    async def incoming(self, *, limit: int = 50, cursor: str | None = None) -> People:
        return await self._do(contract.list_requests, RequestsAsk(limit=limit, cursor=cursor))

    async def outgoing(self, *, limit: int = 50, cursor: str | None = None) -> People:
        ask = RequestsAsk(direction="outgoing", limit=limit, cursor=cursor)
        return await self._do(contract.list_requests, ask)

    async def blocked(self, *, limit: int = 50, cursor: str | None = None) -> People:
        return await self._do(contract.list_blocks, PageAsk(limit=limit, cursor=cursor))

    async def muted(self, *, limit: int = 50, cursor: str | None = None) -> People:
        return await self._do(contract.list_mutes, PageAsk(limit=limit, cursor=cursor))

    async def circle(self) -> Circle:
        return (await self.town.lone.call(contract.circles, ByIds(ids=[self.id])))[self.id]

    async def relations(self, *others: Person) -> dict[UserId, Relation]:
        found = await self.town.lone.call(contract.relations, ByIds(ids=ids(others)), self.id)
        circle = await self.circle()
        for other in others:  # who keeps circles is told the same by them
            relation = found.get(other.id, Relation())
            assert (other.id in circle.friends, other.id in circle.blocked) == (relation.friend, relation.blocked)
        return found

    async def _do(self, route: Route[Any, Answer], ask: Any) -> Answer:
        return await self.town.lone.route(route, ask, self.id)


def ids(people: Iterable[Person]) -> list[UserId]:
    return [one.id for one in people]


def shown(people: People) -> list[UserId]:
    """The ids on a page, in its order."""
    return [person.user.id for person in people.people]


async def refusal(of: type[Kind], doing: Awaitable[Any]) -> Kind:
    """The refusal that it ends with; anything else fails."""
    try:
        answer = await doing
    except of as refused:
        return refused
    raise AssertionError(f"not refused with {of.__name__}, but answered {answer!r}")
