"""How people spend their days: what they do next, by chance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from tests.consistency.history import Operation, pair
from tests.soak.desk import AWAY
from tests.soak.people import EMOJIS, Citizen, Gone, Town
from tests.twophase.oracle import Databases, Snapshot, snapshot

LONGEST = 400  # things that somebody does before they leave
SHORTEST, SLOWEST = 0.1, 2.0  # seconds
AT_EASE = 15  # events on their way


@dataclass(frozen=True, eq=False)
class Deletion:
    """One deletion for the oracle: `before` only where nobody else can have changed anything of theirs."""

    operation: Operation
    subject: UUID
    told: bool | None
    before: Snapshot | None = None


@dataclass(eq=False)
class Days:
    """Everybody's life, while `open`; a calm waits until nobody does anything.

    `pause` is how long they rest between two things, on average: it rises while much of what they did is still on
    its way, for this is to judge answers, not to find out how much a machine can carry.
    """

    town: Town
    dsns: dict[str, str]
    pause: float = SHORTEST
    deletions: list[Deletion] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def lives(self) -> None:
        """One after the other: sign up, do this and that, leave; until cancelled between two things."""
        while True:
            await self.open.wait()
            citizen = await self.town.welcomes()
            self.town.living[citizen.handle] = citizen
            with contextlib.suppress(Gone):
                for _ in range(self.town.chance.randrange(LONGEST // 4, LONGEST)):
                    await self._one_thing(citizen)
                    await asyncio.sleep(self.town.chance.uniform(0, 2 * self.pause))
                    await self.open.wait()
                if self.town.chance.random() < 0.8:
                    operation = await citizen.leaves()
                    subject = UUID(citizen.person.id)
                    self.deletions.append(Deletion(operation, subject, citizen.told))
            self.town.living.pop(citizen.handle, None)

    def slows_down(self, on_their_way: int) -> None:
        self.pause = min(SHORTEST * max(1.0, on_their_way / AT_EASE) ** 2, SLOWEST)

    async def _one_thing(self, me: Citizen) -> None:
        chance = self.town.chance
        act = chance.choices([one for one, _ in THINGS], [weight for _, weight in THINGS])[0]
        await act(me)

    async def comes_and_goes(self) -> None:
        """Pairs who know nobody else: what a deletion that was aborted left is compared byte for byte."""
        while True:
            await self.open.wait()
            leaving, staying = await self.town.welcomes(), await self.town.welcomes()
            with contextlib.suppress(Gone):
                await leaving.befriends(staying.handle)
                await staying.befriends(leaving.handle)
                for _ in range(self.town.chance.randrange(1, 4)):
                    said = await leaving.posts()
                    if said is not None:
                        await staying.replies(said)
                        await staying.reacts(said, EMOJIS[0])
                before = await self._as_it_was(leaving, staying)
                operation = await leaving.leaves()
                self.deletions.append(Deletion(operation, UUID(leaving.person.id), leaving.told, before))
                await staying.sees_timeline()
                await staying.sees_friends()
                if not leaving.told:  # whoever leaves now would change what is still there of the other
                    continue
                operation = await staying.leaves()
                self.deletions.append(Deletion(operation, UUID(staying.person.id), staying.told))

    async def _as_it_was(self, *people: Citizen) -> Snapshot | None:
        """None where a copy of a request may still change something, or the databases do not answer now."""
        names = {one.handle for one in people}
        history = self.town.witness.history
        recent = (one for one in reversed(history.operations[-20_000:]) if one.client in names)
        if any(one.may and (one.copies or one.outcome != "ok") for one in recent):
            return None
        try:
            async with asyncio.timeout(5):
                databases = await Databases.open(self.dsns)
                try:
                    return await snapshot(databases, UUID(people[0].person.id))
                finally:
                    await databases.close()
        except AWAY:
            return None


# Whom, and what about.


def _somebody(me: Citizen) -> str | None:
    """Somebody else; now and then somebody who has left."""
    town = me.town
    if town.left and town.chance.random() < 0.1:
        return town.chance.choice(list(town.left))
    others = [handle for handle in town.living if handle != me.handle]
    return town.chance.choice(others) if others else None


def _friend(me: Citizen) -> str | None:
    """Somebody who may be a friend, by what is known."""
    now = me.town.witness.history.clock()
    checker = me.town.witness.checker
    friends = [
        other
        for other in me.town.living
        if other != me.handle and "friends" in checker.possible(pair(me.handle, other), now, now)
    ]
    return me.town.chance.choice(friends) if friends else None


def _message(me: Citizen) -> str | None:
    """A message that they saw; now and then any that there is, for them or not."""
    chance, checker = me.town.chance, me.town.witness.checker
    pool = me.town.talk if not me.met or chance.random() < 0.2 else me.met
    name = chance.choice(list(pool)) if pool else None
    return name if name is not None and checker.id_of(name) is not None else None


def _own(me: Citizen) -> str | None:
    return me.town.chance.choice(me.wrote[-20:]) if me.wrote else None


Way = Callable[[Citizen], Awaitable[object]]


def _with(pick: Callable[[Citizen], str | None], act: Callable[[Citizen, str], Awaitable[object]]) -> Way:
    async def way(me: Citizen) -> None:
        found = pick(me)
        if found is not None:
            await act(me, found)

    return way


async def _answers_requests(me: Citizen) -> None:
    for asker in (await me.sees_requests())[:3]:
        if me.town.chance.random() < 0.85:
            await me.befriends(asker)
        else:
            await me.declines(asker)


async def _posts(me: Citizen) -> None:
    chance = me.town.chance
    friends = sorted({one for one in (_friend(me) for _ in range(2)) if one is not None})
    audience = chance.choices(["friends", "public", "only"], [7, 2, 1])[0]
    if audience == "only":
        audience = f"only {','.join(friends)}" if friends else "friends"
    mentions = tuple(friends[:1]) if chance.random() < 0.4 else ()
    await me.posts(audience, mentions)


async def _narrows(me: Citizen, name: str) -> None:
    friend = _friend(me)
    if friend is not None:
        await me.narrows(name, f"only {friend}")


async def _blocks(me: Citizen, other: str) -> None:
    """For a while: what is hidden has to be hidden at once, and shown again when it is over."""
    await me.blocks(other)
    await me.sees_timeline()
    await me.unblocks(other)


async def _reacts(me: Citizen, name: str) -> None:
    await me.reacts(name, me.town.chance.choice(EMOJIS))


async def _unreacts(me: Citizen, name: str) -> None:
    await me.unreacts(name, me.town.chance.choice(EMOJIS))


THINGS: list[tuple[Way, float]] = [
    (_with(_somebody, Citizen.befriends), 9),
    (_answers_requests, 8),
    (_with(_friend, Citizen.unfriends), 1.5),
    (_with(_somebody, _blocks), 0.8),
    (_posts, 12),
    (lambda me: me.uploads(), 0.7),
    (_with(_message, Citizen.replies), 5),
    (_with(_own, Citizen.edits_one), 3),
    (_with(_own, _narrows), 2),
    (_with(_own, Citizen.withdraws), 3),
    (_with(_message, _reacts), 5),
    (_with(_message, _unreacts), 2),
    (lambda me: me.sees_feed(), 12),
    (lambda me: me.sees_timeline(), 12),
    (_with(_message, Citizen.sees_item), 6),
    (_with(_message, Citizen.sees_replies), 4),
    (_with(_message, Citizen.sees_reactions), 2),
    (_with(_somebody, Citizen.sees_author), 3),
    (_with(_somebody, Citizen.sees_profile), 3),
    (_with(_somebody, Citizen.sees_how), 3),
    (lambda me: me.sees_friends(), 4),
    (lambda me: me.sees_notifications(), 5),
]
