"""Every event's effect is made, and made once: through duplicates, disorder, poison, and the loss of the bus."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.harness.people import Person
from tests.harness.system import Whole, whole
from tests.harness.waiting import until
from tidings.cli.operator import operator
from tidings.platform.contract import Nothing
from tidings.platform.events.bus import OPERATOR, TROUBLE, connected, consumers_of
from tidings.platform.events.consumer import Consumer
from tidings.platform.events.mailroom import letters_of, replay_of
from tidings.platform.events.relay import Relay
from tidings.platform.occurrence import DeadLetter, EventId
from tidings.platform.storage.outbox import occurred


@pytest.fixture(scope="module", params=[True, False], ids=["nearby", "bus"])
async def quick(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    """A system in one process that misses nothing for long, once with all events on the bus.

    Its writes may take their time where others use the disk: nothing here reads by a cursor, which counts on 1.5 s.
    """
    patience = {"reconcile_after": 1.0, "reconcile_every": 0.4, "transaction_timeout_ms": 8000}
    async with whole("near", events_nearby=request.param, **patience) as running:
        yield running


async def rows(system: Whole, service: str, query: str, *values: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(system.system.installation.dsns[service])
    try:
        return await connection.fetch(query, *values)
    finally:
        await connection.close()


async def state_of(system: Whole, person: Person) -> list[tuple[Any, ...]]:
    """The person's notifications at rest, in an order of their own."""
    found = await rows(
        system,
        "notifications",
        "select kind, actor_id, target, version, stands from notifications where user_id = $1::uuid"
        " order by kind, actor_id, target",
        person.id,
    )
    return [tuple(row) for row in found]


async def all_is_handled(system: Whole) -> bool:
    """Whether nothing waits in an outbox, and nothing is on its way to notifications."""
    installation = system.system.installation
    async with connected(installation._bus_address(OPERATOR), "tests") as bus:
        for producer, consumer in consumers_of(installation.kinds):
            if await rows(system, producer, "select 1 from outbox where published_at is null limit 1"):
                return False
            found = await bus._stream.consumer_info(producer, consumer)
            if found.num_pending or found.num_ack_pending:
                return False
    return True


async def mentions(system: Whole, person: Person) -> int:
    found = await rows(
        system, "notifications",
        "select count(*) from notifications where user_id = $1::uuid and kind = 'mention' and stands", person.id,
    )  # fmt: skip
    return int(found[0][0])


async def letters(system: Whole, person: Person) -> list[DeadLetter]:
    found = (await system.operator.call(letters_of("notifications"), Nothing())).letters
    return [one for one in found if str(one.occurred.subject) == person.id]


async def test_row_37_twice_and_shuffled_ends_alike(quick: Whole) -> None:
    """One person's whole history again, each event twice, in ten random orders."""
    alice, bob = [await quick.joins(name) for name in ("Alice", "Bob")]
    (await alice.put(f"/v1/friends/{bob.id}")).ok()
    (await alice.delete(f"/v1/friend-requests/{bob.id}")).ok()
    await bob.befriends(alice)
    message = await alice.posts("hello")
    (await bob.put(f"/v1/messages/{message['id']}/reactions/+1")).ok()
    (await bob.delete(f"/v1/messages/{message['id']}/reactions/+1")).ok()
    (await bob.put(f"/v1/messages/{message['id']}/reactions/heart")).ok()
    told = await bob.posts("see", mentions=[alice.id])
    (await bob.patch(f"/v1/messages/{told['id']}", {"mentions": []})).ok()
    (await bob.patch(f"/v1/messages/{told['id']}", {"mentions": [alice.id], "text": "see this"})).ok()
    gone = await bob.posts("gone", mentions=[alice.id])
    (await bob.delete(f"/v1/messages/{gone['id']}")).ok()
    last = await bob.posts("last", mentions=[alice.id])

    async def arrived() -> bool:
        found = await rows(
            quick, "notifications", "select 1 from message_versions where message_id = $1::uuid", last["id"]
        )
        return bool(found)

    await until(arrived)
    await until(lambda: all_is_handled(quick), what="the end of what the bus has")
    straight = [await state_of(quick, person) for person in (alice, bob)]
    assert sum(stands for *_, stands in straight[0]) == 3  # a heart and two mentions

    process = quick.system.process
    assert process is not None
    room = process.servings["notifications"].holder.mailroom
    history: list[tuple[str, Any]] = []
    for producer, consumer in room._consumers.items():
        found = await rows(
            quick, producer,
            "select id, event, subject, version, body::text as body, trace from outbox"
            " where subject = any($1::uuid[]) and event = any($2::text[])", [alice.id, bob.id], consumer.events,
        )  # fmt: skip
        history += [(producer, row) for row in found]
    assert len(history) > 12
    for seed in range(10):
        people = [alice.id, bob.id]
        authored = [told["id"], gone["id"], last["id"], message["id"]]
        ids = [row["id"] for _, row in history]
        # The inbox last: what the comparison with the producers makes meanwhile is made again, and not passed over.
        for forget, whose in (
            ("delete from notifications where user_id = any($1::uuid[])", people),
            ("delete from message_versions where message_id = any($1::uuid[])", authored),
            ("delete from inbox where event_id = any($1::uuid[])", ids),
        ):
            await rows(quick, "notifications", forget, whose)
        twice = [*history, *history]
        random.Random(seed).shuffle(twice)
        for producer, row in twice:
            consumer = room._consumers[producer]
            if quick.settings.events_nearby:
                assert await consumer.react_here(occurred(row))
            else:
                assert (await consumer.handle(occurred(row)))[0] == "done"
        assert [await state_of(quick, person) for person in (alice, bob)] == straight, seed


async def test_row_37_an_event_that_comes_again_changes_nothing(quick: Whole) -> None:
    """One whose effect would show each time: a version that rises, and an event of its own."""
    alice, bob = [await quick.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    (await alice.delete("/v1/users/me")).ok()

    async def effects() -> list[int]:
        query = "select version from outbox where event = 'friends.unfriended' and subject = $1::uuid"
        return [row["version"] for row in await rows(quick, "friends", query, bob.id)]

    await until(effects, what="what the deletion means for Bob")
    (happened,) = await rows(
        quick, "friends",
        "select id, event, subject, version, body::text as body, trace from outbox"
        " where event = 'friends.person_removed' and subject = $1::uuid", alice.id,
    )  # fmt: skip
    process = quick.system.process
    assert process is not None
    consumer = process.servings["friends"].holder.mailroom._consumers["friends"]
    for _ in range(3):
        assert await consumer.handle(occurred(happened)) == ("done", 0.0)
        assert await consumer.react_here(occurred(happened))
    assert await effects() == [3]  # asked, accepted, ended


async def test_row_37_a_poison_event_is_set_aside_and_the_others_go_on(quick: Whole) -> None:
    alice, bob = [await quick.joins(name) for name in ("Alice", "Bob")]
    await bob.befriends(alice)
    poison = uuid.uuid4()
    await rows(
        quick,
        "messages",
        "insert into outbox (id, event, subject, version, body)"
        " values ($1, 'messages.posted', $2::uuid, 1, $3::jsonb)",
        poison,
        bob.id,
        json.dumps({"message_id": "no id at all"}),
    )
    await bob.posts("after it", mentions=[alice.id])

    async def told() -> bool:
        return await mentions(quick, alice) == 1

    await until(told, what="what came after the poison")

    async def buried() -> list[DeadLetter]:
        return await letters(quick, bob)

    (letter,) = await until(buried, within=60, what="the dead letter")
    assert letter.occurred.id == poison
    assert letter.attempts == 8
    assert "ValidationError" in letter.error
    async with operator(quick.settings) as reached:
        replayed = await reached.call(replay_of("notifications"), EventId(id=poison))
        assert not replayed.done
        assert replayed.error is not None
    # Once its cause is mended (here: the event itself), a replay makes its effect, once.
    message = await bob.posts("for the replay")
    mended = {"message_id": message["id"], "author_id": bob.id, "version": 99, "mentions": [alice.id]}
    await rows(quick, "notifications", "update dead_letters set body = $1::jsonb", json.dumps(mended))
    async with operator(quick.settings) as reached:
        assert (await reached.call(replay_of("notifications"), EventId(id=poison))).done
    assert await letters(quick, bob) == []
    assert await mentions(quick, alice) == 2
    # What still has it as it was, on its way or in the producer's record, does not set it aside once more.
    process = quick.system.process
    assert process is not None
    consumer = process.servings["notifications"].holder.mailroom._consumers["messages"]
    for _ in range(8):
        assert await consumer.handle(letter.occurred) == ("dead", 0.0)
    assert await letters(quick, bob) == []


async def test_what_the_bus_lost_is_made_good_once(quick: Whole) -> None:
    """The whole data of the bus is deleted twice while people post; each post has its effect, and has it once."""
    alice, bob = [await quick.joins(name) for name in ("Alice", "Bob")]
    await bob.befriends(alice)
    bus = quick.system.installation.bus
    assert bus is not None
    posted: list[str] = []

    async def post() -> None:
        for number in range(60):
            posted.append((await bob.posts(f"{number}", mentions=[alice.id]))["id"])
            await asyncio.sleep(0.02)

    posting = asyncio.create_task(post())
    await asyncio.sleep(0.3)
    assert bus.pid is not None
    os.kill(bus.pid, signal.SIGKILL)
    shutil.rmtree(bus.data / "store")
    await asyncio.sleep(0.5)
    shutil.rmtree(bus.data / "store", ignore_errors=True)  # under the running server, if it is back
    await posting

    async def all_told() -> bool:
        return await mentions(quick, alice) == len(posted)

    await until(all_told, within=60, what="60 mentions")
    await asyncio.sleep(1.5)  # whoever would make one twice, has by now
    assert await mentions(quick, alice) == len(posted)
    inbox = await rows(quick, "notifications", "select count(*), count(distinct event_id) from inbox")
    assert inbox[0][0] == inbox[0][1]
    assert await letters(quick, bob) == []

    # A server whose data was deleted while it ran may take nothing any more: others have one that does.
    os.kill(bus.pid, signal.SIGKILL)

    async def works() -> bool:
        try:
            return await all_is_handled(quick)
        except TROUBLE:
            return False

    await bob.posts("and on", mentions=[alice.id])
    await until(works, within=60, what="a bus that takes what waits")


async def test_a_database_that_is_away_costs_no_event(quick: Whole) -> None:
    """The consumer's database refuses everything for a while: nothing is lost, counted or set aside."""
    alice, bob = [await quick.joins(name) for name in ("Alice", "Bob")]
    await bob.befriends(alice)
    engine = quick.system.installation.engine
    assert engine is not None
    async with engine._superuser() as admin:
        await admin.execute("alter database notifications allow_connections false")
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'notifications'"
        )
        try:
            for number in range(5):
                await bob.posts(f"{number}", mentions=[alice.id])
            await asyncio.sleep(3)  # at the backoff here, eight attempts would be over
        finally:
            await admin.execute("alter database notifications allow_connections true")

    async def all_told() -> bool:
        return await mentions(quick, alice) == 5

    await until(all_told, within=60, what="5 mentions")
    assert await letters(quick, bob) == []
    assert await rows(quick, "notifications", "select 1 from reaction_failures") == []


@pytest.mark.parametrize("reacting", ["_deliver", "react_here"])
async def test_what_nobody_foresaw_does_not_end_the_work(reacting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of a kind that no handler names, in the consumer and in the relay: both begin again."""
    fell: list[str] = []

    def falls_once(owner: type[Any], name: str) -> None:
        real = getattr(owner, name)

        async def fall(self: Any, *values: Any) -> Any:
            if name not in fell:
                fell.append(name)
                raise LookupError("nobody foresaw this")
            return await real(self, *values)

        monkeypatch.setattr(owner, name, fall)

    async with whole(
        "near", events_nearby=reacting == "react_here"
    ) as patient:  # so patient that no comparison with the producers makes it good
        alice, bob = [await patient.joins(name) for name in ("Alice", "Bob")]
        await bob.befriends(alice)
        falls_once(Consumer, reacting)
        falls_once(Relay, "round")
        await bob.posts("all the same", mentions=[alice.id])

        async def told() -> bool:
            return await mentions(patient, alice) == 1

        await until(told, within=30, what="what was said meanwhile")
    assert sorted(fell) == sorted([reacting, "round"])


async def test_somebody_elses_lock_costs_no_event(quick: Whole) -> None:
    """A fence that another writer holds makes the reaction wait. It did not fail, so nothing is counted."""
    alice, bob = [await quick.joins(name) for name in ("Alice", "Bob")]
    await bob.befriends(alice)
    await bob.posts("so that there is a fence", mentions=[alice.id])

    async def told(times: int) -> bool:
        return await mentions(quick, alice) == times

    await until(lambda: told(1), what="the first mention")
    other = await asyncpg.connect(quick.system.installation.dsns["notifications"])
    try:
        async with other.transaction():
            await other.execute("select from subject_fence where user_id = $1::uuid for no key update", alice.id)
            await bob.posts("meanwhile", mentions=[alice.id])
            told_of = await rows(quick, "messages", "select id from outbox where subject = $1::uuid", bob.id)
            ids = [row["id"] for row in told_of]
            for _ in range(30):
                await asyncio.sleep(0.1)
                failures = "select error from reaction_failures where event_id = any($1::uuid[])"
                assert await rows(quick, "notifications", failures, ids) == []
            assert await mentions(quick, alice) == 1
    finally:
        await other.close()
    await until(lambda: told(2), what="the second mention")
    assert await letters(quick, bob) == []
