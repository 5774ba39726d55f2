"""A few people who befriended, wrote, reacted and left, and now rest: what is judged, and then damaged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from tests.harness.system import Whole
from tests.harness.waiting import until
from tests.soak.desk import Desk
from tests.soak.invariants import AtRest
from tests.soak.people import Citizen, Town
from tests.soak.watch import Events
from tests.soak.ways import Deletion


@dataclass(frozen=True)
class Village:
    """Ada and Ben are friends, Cleo asked Ben, and Dora has left; what was said, by name."""

    town: Town
    rest: AtRest
    dsns: dict[str, str]
    ada: Citizen
    ben: Citizen
    cleo: Citizen
    dora: Deletion
    said: str
    answer: str
    withdrawn: str

    def id(self, name: str) -> UUID:
        found = self.town.witness.checker.id_of(name)
        assert found is not None
        return UUID(found)

    async def found(self) -> set[tuple[str, str]]:
        violations = await self.rest.all([self.dora], self.dsns)
        unlike = {("I7", what) for what in await self.rest.projections()}
        return {(one.invariant, one.what) for one in violations} | unlike

    async def is_right(self) -> None:
        """Fails where a judge finds anything, or somebody is not shown all that is for them."""
        assert await self.found() == set()
        witness = self.town.witness
        for citizen in (self.ada, self.ben):
            witness.checker.knows_all(citizen.handle, witness.history.clock())
            await citizen.sees_feed()
            await citizen.sees_timeline()
            await citizen.sees_friends()
            await citizen.sees_notifications()
        assert witness.found == []

    async def run(self, service: str, sql: str, *values: Any) -> None:
        connection = await asyncpg.connect(self.dsns[service])
        try:
            await connection.execute(sql, *values)
        finally:
            await connection.close()


@asynccontextmanager
async def settled(system: Whole, town: Town) -> AsyncIterator[Village]:
    """New people in the one town: what was done to those before them stays."""
    dsns, blobs = system.system.installation.dsns, system.settings.data / "blobs" / "media"
    desk = Desk(dsns)
    ada, ben, cleo, dora = [await town.welcomes() for _ in range(4)]
    await ada.befriends(ben.handle)
    await ben.befriends(ada.handle)
    await dora.befriends(ben.handle)
    await ben.befriends(dora.handle)
    await cleo.befriends(ben.handle)
    await cleo.uploads()  # that nothing shows
    said, gone = await ada.posts(mentions=(ben.handle,)), await ada.posts()
    assert said is not None and gone is not None
    answer = await ben.replies(said)
    assert answer is not None
    await ben.reacts(said, "+1")
    await ada.edits_one(said)
    await ada.withdraws(gone)
    left = await dora.leaves()
    one = Village(
        town, AtRest(town, desk, blobs), dsns, ada, ben, cleo,
        Deletion(left, UUID(dora.person.id), dora.told), said, answer, gone,
    )  # fmt: skip
    events = Events(desk)

    async def nothing_waits() -> bool:
        return not await events.waiting()

    await until(nothing_waits, within=30, what="rest")
    assert town.witness.found == []
    assert dora.told is True
    yield one
    await desk.close()
