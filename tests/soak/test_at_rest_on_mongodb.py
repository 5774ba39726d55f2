"""The same judges with messages in MongoDB: they find nothing wrong with what is right, and each kind of damage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from pymongo import DeleteMany, DeleteOne, InsertOne, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness.mongod import runs_mongod
from tests.harness.system import whole
from tests.harness.waiting import until
from tests.soak.people import Town
from tests.soak.village import Village, settled
from tests.soak.watch import Doubts, Events, Uptime
from tests.soak.witness import Witness
from tidings.platform.events.relay import LEASE
from tidings.platform.settings import Settings
from tidings.platform.storage.mongo import Row
from tidings.platform.storage.mongo_events import RELAY, opened
from tidings.platform.topology import EMBEDDED_MONGO
from tidings.system import chosen_topology

Rows = AsyncDatabase[Row]
Change = DeleteMany | DeleteOne | InsertOne[Row] | UpdateOne
AT_REST = ("document", "reaction", "latest", "tally", "withdrawn", "fence", "branch")  # nobody writes there then


@pytest.fixture(scope="module")
async def village() -> AsyncIterator[Village]:
    """One for all: what a test damages it makes good again."""
    runs_mongod()
    topology = chosen_topology(Settings(), apart=False).with_store("messages", EMBEDDED_MONGO)
    async with whole("near", topology=topology, repeat_safe_calls=False) as system:
        town = Town(system.client, Witness(), random.Random(1))
        async with settled(system, town) as one:

            async def all_is_erased() -> bool:
                return not await one.rest.desk.find("messages", "fence", {"unerased": True})

            await until(all_is_erased, within=30, what="the end of what Dora left")
            yield one


@pytest.fixture(scope="module")
async def rows(village: Village) -> AsyncIterator[Rows]:
    async with opened(village.dsns["messages"], "tests") as database:
        yield database


async def test_what_people_left_is_right(village: Village) -> None:
    await village.is_right()


def _said(village: Village) -> Row:
    return {"_id": village.id(village.said)}


def _once_more(village: Village, identifier: UUID, text: str) -> InsertOne[Row]:
    author = UUID(village.ada.person.id)
    nothing: Row = {"only": [], "mentions": [], "media": []}
    return InsertOne(
        {"_id": identifier, "author_id": author, "reply": False, "text": text, "audience": "friends", **nothing}
    )


def _shows(village: Village, media_id: str) -> UpdateOne:
    return UpdateOne(_said(village), {"$set": {"media": [{"media_id": UUID(media_id)}]}})


DAMAGE: list[tuple[str, str, str, Callable[[Village], Change]]] = [
    # invariant, its words, the collection, what is done to it
    ("I1", "messages has None", "branch", lambda one: DeleteOne({"subject": one.dora.subject})),
    ("I3", "is absent in the database", "document", lambda one: DeleteOne(_said(one))),
    ("I3", "is absent in the database, and can only be ['withdrawn']", "withdrawn", lambda _: DeleteMany({})),
    ("I3", "is 0 in the database", "document",
     lambda one: UpdateOne(_said(one), {"$set": {"text": f"{one.said}.0 hello"}})),
    ("I3", "is public in the database", "document",
     lambda one: UpdateOne(_said(one), {"$set": {"audience": "public"}})),
    ("I3", "is no in the database", "reaction", lambda _: DeleteMany({})),
    ("I4", "is open again", "fence",
     lambda one: UpdateOne({"_id": one.dora.subject}, {"$set": {"state": "live"}})),
    ("I4", "is standing in the database", "document",
     lambda one: _once_more(one, one.id(one.withdrawn), f"{one.withdrawn}.0 again")),
    ("I6", "is there 2 times", "document", lambda one: _once_more(one, uuid4(), f"{one.said}.1 hello")),
    ("I7", "not told of", "document",
     lambda one: UpdateOne(_said(one), {"$push": {"mentions": UUID(one.cleo.person.id)}})),
    ("I7", "told of nothing", "reaction", lambda _: DeleteMany({})),
    ("I7", "latest of", "latest",
     lambda one: UpdateOne({"_id": UUID(one.ada.person.id)}, {"$set": {"heads": "[]"}})),
    ("I7", "'', 2, 1)", "tally", lambda one: UpdateOne(_said(one), {"$inc": {"replies": 1}})),
    ("I7", "'+1', 0, 1)", "tally", lambda one: UpdateOne(_said(one), {"$unset": {"emoji": ""}})),
    ("I10", "which is None", "document", lambda one: _shows(one, "00000000-0000-7000-8000-000000000000")),
    ("I10", "media does not know it", "document", lambda one: _shows(one, one.cleo.pictures[0])),
]  # fmt: skip


@asynccontextmanager
async def made_good(rows: Rows) -> AsyncIterator[None]:
    """Afterwards all is as it was before the block."""
    before = {name: await rows[name].find().to_list() for name in AT_REST}
    try:
        yield
    finally:
        for name, kept in before.items():
            await rows[name].delete_many({})
            if kept:
                await rows[name].insert_many(kept)


@pytest.mark.parametrize(
    ("invariant", "words", "collection", "change"), DAMAGE, ids=[f"{one[0]} {one[1]}" for one in DAMAGE]
)
async def test_damage_is_found(
    village: Village, rows: Rows, invariant: str, words: str, collection: str, change: Callable[[Village], Change]
) -> None:
    async with made_good(rows):
        await rows[collection].bulk_write([change(village)])
        found = await village.found()
    assert any(name == invariant and words in what for name, what in found), found
    assert await village.found() == set()


async def test_what_nobody_publishes_waits(village: Village, rows: Rows) -> None:
    """Somebody else has the lease, and does nothing."""
    events = Events(village.rest.desk)
    taken = {"holder": uuid4(), "until": datetime.now(UTC) + timedelta(minutes=1)}
    await rows["relay_lease"].update_one({"_id": RELAY}, {"$set": taken})
    await asyncio.sleep(LEASE / 2 + 0.2)  # so long the relay does not ask for it
    assert await village.ada.posts() is not None
    waiting = await events.waiting()
    await rows["relay_lease"].delete_one({"_id": RELAY})
    (event,) = await rows["outbox"].find({"event": "messages.posted"}, sort=[("created_at", -1)], limit=1).to_list()
    assert waiting == {event["_id"]}

    async def nothing_waits() -> bool:
        return not await events.waiting()

    await until(nothing_waits, what="its publication")


async def test_an_event_waits_whose_effect_is_gone(village: Village, rows: Rows) -> None:
    (event,) = await rows["outbox"].find({"event": "messages.reacted"}).to_list()
    await village.run("notifications", "delete from inbox where event_id = $1", event["_id"])
    try:
        assert event["_id"] in await Events(village.rest.desk).waiting()
    finally:
        inserted = "insert into inbox (event_id) values ($1) on conflict do nothing"
        await village.run("notifications", inserted, event["_id"])


async def test_a_branch_that_is_prepared_is_in_doubt(village: Village, rows: Rows) -> None:
    desk, gid = village.rest.desk, "nobody's"
    doubts = Doubts(desk, Uptime(cast("Any", None), desk))
    async with made_good(rows):
        later = datetime.now(UTC) + timedelta(minutes=1)  # nobody sweeps it up meanwhile
        await rows["branch"].insert_one({"_id": gid, "state": "prepared", "subject": uuid4(), "prepared_at": later})
        assert gid in await doubts._look()
    assert gid not in await doubts._look()
