"""People of a lone users service, who do what people do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from tests.harness.lone import Lone, Mode, lone
from tidings.contracts import friends, media, messages, users
from tidings.contracts.messages import MediaId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import Nothing, Unauthenticated, Unavailable
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer
from tidings.platform.settings import Settings
from tidings.services.users.codes import digest

KIND = "tidings.services.users.service:users"
PASSWORD = "tulip forge ninety-three"
# Waiting writers are patient, for the sake of a busy machine: a deadlock shows as `Busy` all the same.
PATIENT: dict[str, Any] = {"lock_timeout_ms": 5000, "transaction_timeout_ms": 6000}
CHEAP: dict[str, Any] = {"argon2_memory_kib": 8, "argon2_time": 1}


@dataclass
class Town:
    """A running service, the neighbours that it asks, and a look into its database."""

    lone: Lone
    database: asyncpg.Connection[asyncpg.Record]
    blocks: set[frozenset[UUID]] = field(default_factory=set)
    pictures: set[tuple[UUID, MediaId]] = field(default_factory=set)  # that are ready, by their owner
    down: set[str] = field(default_factory=set)

    async def joins(self, handle: str, name: str = "", *, invite: str | None = None) -> Person:
        new = users.NewUser(handle=handle, name=name or handle.capitalize(), password=PASSWORD, invite=invite)
        profile = await self.lone.route(users.sign_up, users.SignUp(body=new))
        return Person(self, profile.id, handle)

    async def signs_in(self, handle: str, password: str = PASSWORD, label: str = "") -> users.NewToken:
        new = users.NewSession(handle=handle, password=password, label=label)
        return await self.lone.route(users.sign_in, users.SignIn(body=new))

    async def opens(self, link: users.OneTimeLink) -> users.NewToken:
        return await self.lone.route(users.sign_in, users.SignIn(body=users.NewSession(link=link.secret)))

    async def whois(self, token: str) -> users.SignedIn:
        [signed_in] = await self.lone.call(users.whois, users.TokenDigests(digests=[digest(token)]))
        if signed_in is None:
            raise Unauthenticated("This token opens nothing.")
        return signed_in

    async def cards(self, *ids: UserId) -> dict[UserId, users.UserCard]:
        return await self.lone.call(users.cards, users.ByIds(ids=list(ids)))

    async def makes_administrator(self, person: Person) -> None:
        await self.lone.call(users.make_administrator, users.ByHandle(handle=person.handle))
        person.role = "administrator"

    async def link(self, call: Any, person: Person) -> users.OneTimeLink:
        made: users.OneTimeLink = await self.lone.call(call, users.ByHandle(handle=person.handle))
        return made

    async def events(self, person: Person) -> list[str]:
        rows = await self.database.fetch(
            "select event, version from outbox where subject = $1 order by version", person.id
        )
        assert [row[1] for row in rows] == sorted({row[1] for row in rows})  # a version of its own for each
        return [row[0].removeprefix("users.") for row in rows]

    async def told(self, person: Person) -> list[tuple[str, UUID | None]]:
        """The events, each with the avatar that it tells."""
        rows = await self.database.fetch(
            "select event, body from outbox where subject = $1 order by version", person.id
        )
        bodies = [(row[0], msgspec.json.decode(row[1], type=users.UserChanged)) for row in rows]
        assert all(body.user_id == person.id for _, body in bodies)
        return [(event.removeprefix("users."), body.avatar) for event, body in bodies]

    async def hold(self, viewer: Viewer, ask: media.OwnMedia) -> dict[MediaId, media.Attachable]:
        """Played: a picture that is there is like any other."""
        if "media" in self.down:
            raise Unavailable("media is down.", service="media")
        ready = media.Attachable(width=4, height=3, alt="", blurhash="")
        return {one: ready for one in ask.ids if (viewer.known, one) in self.pictures}

    async def relations(self, viewer: Viewer, ask: users.ByIds) -> dict[UserId, friends.Relation]:
        """Played: who is blocked is whom the test put there."""
        pairs = {other: frozenset({viewer.known, other}) for other in ask.ids}
        return {other: friends.Relation(blocked=True) for other, pair in pairs.items() if pair in self.blocks}

    # Played: the participants of a deletion, who promise all that is asked.

    async def promises(self, viewer: Viewer, ask: users.Removal) -> users.Vote:
        return users.Vote(yes=True)

    async def commits(self, viewer: Viewer, ask: users.Removal) -> users.Branch:
        return users.Branch(state="committed")

    async def aborts(self, viewer: Viewer, ask: users.Removal) -> users.Branch:
        return users.Branch(state="aborted")


@dataclass
class Person:
    """Somebody who has joined."""

    town: Town
    id: UserId
    handle: str
    role: Any = "member"
    session: users.NewToken | None = None

    @property
    def viewer(self) -> Viewer:
        session_id = self.session.session_id if self.session else None
        return Viewer(user_id=self.id, role=self.role, session_id=session_id)

    async def signs_in(self, password: str = PASSWORD, label: str = "") -> users.NewToken:
        self.session = await self.town.signs_in(self.handle, password, label)
        return self.session

    async def does(self, route: Any, **ask: Any) -> Any:
        """The decoded answer of a route."""
        return await self.town.lone.route(route, route.ask(**ask), self.viewer)

    async def sees(self, other: Person) -> users.Profile:
        seen: users.Profile = await self.does(users.get_user, user_id=other.id)
        return seen

    async def finds(self, q: str, **rest: Any) -> list[str]:
        found: users.Users = await self.does(users.find_users, q=q, **rest)
        return [one.handle for one in found.users]

    def uploads(self) -> MediaId:
        """A picture that is ready."""
        media_id = MediaId(uuid7(now_ms()))
        self.town.pictures.add((self.id, media_id))
        return media_id

    async def changes(self, **profile: Any) -> users.Profile:
        body = users.ProfilePatch(**profile)
        changed: users.Profile = await self.does(users.patch_user, user_id=self.id, body=body)
        return changed

    async def leaves(self) -> None:
        await self.does(users.delete_user, user_id=self.id)

    async def suspends(self, other: Person) -> None:
        await self.does(users.suspend_user, user_id=other.id)

    async def invites(self) -> users.Invite:
        invite: users.Invite = await self.does(users.make_invite)
        return invite


NOTHING = Nothing()


@asynccontextmanager
async def town_on(
    postgres: EmbeddedPostgres, database: str, mode: Mode, *, signup: Any = "open", **more: Any
) -> AsyncIterator[Town]:
    """A service, and a connection of its own role to look into its database.

    Each mode has a database of its own: a handle is taken once.
    """
    settings = Settings(signup=signup, **{**CHEAP, **PATIENT, **more})
    async with lone(KIND, postgres, {}, mode=mode, database=f"{database}_{mode}", settings=settings) as service:
        connection = await asyncpg.connect(service.dsn)
        try:
            town = Town(service, connection)
            service.neighbours[friends.relations.name] = town.relations
            service.neighbours[media.hold.name] = town.hold
            for one in (friends, messages):
                service.neighbours[one.prepare_removal.name] = town.promises
                service.neighbours[one.commit_removal.name] = town.commits
                service.neighbours[one.abort_removal.name] = town.aborts
            yield town
        finally:
            await connection.close()
