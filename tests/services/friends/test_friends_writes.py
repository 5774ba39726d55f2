"""What every write promises: fences, versions, outbox rows in the same commit, and no deadlock."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import asyncpg
import pytest

from tests.services.friends.town import Happened, Person, Town, ids, refusal, shown
from tidings.contracts.friends import Relation
from tidings.platform.contract import NotFound, Refusal, Unavailable


async def test_each_change_raises_both_versions_and_tells_whose_act_it_was(town: Town) -> None:
    ada, ben = town.people(2)
    await ada.asks(ben)
    await ben.drops(ada)
    await ben.asks(ada)
    await ada.asks(ben)
    await ben.ends(ada)
    await ada.blocks(ben)
    await ada.unblocks(ben)
    expected = [
        ("friends.requested", ada),
        ("friends.request_withdrawn", ben),
        ("friends.requested", ben),
        ("friends.befriended", ada),
        ("friends.unfriended", ben),
        ("friends.blocked", ada),
        ("friends.unblocked", ada),
    ]
    for one, other in ((ada, ben), (ben, ada)):
        assert await town.happened(one) == [
            Happened(
                event,
                one.id,
                version,
                {
                    "user_id": str(one.id),
                    "other_id": str(other.id),
                    "by_id": str(by.id),
                    "version": version,
                },
            )
            for version, (event, by) in enumerate(expected, start=1)
        ]
    assert await town.versions(ada, ben) == [7, 7]


async def test_a_mute_is_announced_for_the_muter_alone(town: Town) -> None:
    ada, ben = town.people(2)
    await ada.mutes(ben)
    await ada.mutes(ben)
    await ada.unmutes(ben)
    assert [row.event for row in await town.happened(ada)] == ["friends.muted", "friends.unmuted"]
    assert await town.happened(ben) == []
    assert await town.versions(ada, ben) == [2, 0]


async def test_what_changes_nothing_announces_nothing(town: Town) -> None:
    ada, ben = town.people(2)
    await ada.blocks(ben)
    before = await town.happened(ada, ben)
    await ada.blocks(ben)
    for doing in (ada.asks(ben), ben.asks(ada), ada.ends(ben), ada.drops(ben), ben.unblocks(ada), ada.unmutes(ben)):
        await refusal(NotFound, doing)
    assert await town.happened(ada, ben) == before
    assert await town.versions(ada, ben) == [1, 1]


@pytest.mark.parametrize("deleted", ["the other", "oneself"])
async def test_nothing_is_written_past_the_fence_of_the_deleted(town: Town, deleted: str) -> None:
    ada, ben, cyd = town.people(3)
    await ada.befriends(cyd)
    await ada.mutes(cyd)
    await town.delete(ben if deleted == "the other" else ada)
    other = ben if deleted == "the other" else cyd
    before = await town.happened(ada, ben, cyd)
    doings = [ada.asks(other), other.asks(ada), ada.blocks(other), other.blocks(ada), ada.mutes(other)]
    doings += [other.mutes(ada), ada.ends(other), other.ends(ada), other.drops(ada), other.unblocks(ada)]
    for doing in doings:
        await refusal(NotFound, doing)
    assert await town.happened(ada, ben, cyd) == before


@pytest.mark.parametrize("times", range(5))
async def test_crossing_requests_make_one_friendship(town: Town, times: int) -> None:
    ada, ben = town.people(2)
    answers = await asyncio.gather(ada.asks(ben), ben.asks(ada))
    assert sorted(answer.state for answer in answers) == ["friends", "requested"]
    for one, other in ((ada, ben), (ben, ada)):
        assert (await one.circle()).friends == [other.id]
        assert shown(await one.incoming()) == shown(await one.outgoing()) == []
        assert [row.event for row in await town.happened(one)] == ["friends.requested", "friends.befriended"]


async def test_one_request_sent_many_times_at_once_is_one(town: Town) -> None:
    ada, ben = town.people(2)
    answers = await asyncio.gather(*(ada.asks(ben) for _ in range(8)))
    assert len({answer.since for answer in answers}) == 1
    assert await town.versions(ada, ben) == [1, 1]


async def test_a_block_and_an_acceptance_at_once_leave_a_block(town: Town) -> None:
    for _ in range(5):
        ada, ben = town.people(2)
        await ada.asks(ben)
        accepted, _blocked = await asyncio.gather(ben.asks(ada), ada.blocks(ben), return_exceptions=True)
        assert isinstance(accepted, NotFound) or not isinstance(accepted, BaseException)
        assert await ben.relations(ada) == {ada.id: Relation(blocked=True)}
        assert (await ada.circle()).friends == (await ben.circle()).friends == []


async def test_writes_in_opposite_order_never_deadlock(town: Town) -> None:
    people = town.people(4)
    chance = random.Random(11)

    async def busy(one: Person) -> None:
        for _ in range(12):
            other = chance.choice([person for person in people if person is not one])
            doing = chance.choice([one.asks, one.ends, one.drops, one.blocks, one.unblocks, one.mutes, one.unmutes])
            with suppress(NotFound):  # not Busy, which is what a deadlock becomes
                await doing(other)

    importing = (town.imports(*((a, b) for a in people for b in people if a.id < b.id)) for _ in range(3))
    await asyncio.gather(*(busy(one) for one in people for _ in range(2)), *importing)
    for one in people:
        for other in people:
            mine, theirs = await one.relations(other), await other.relations(one)
            assert (other.id in mine and mine[other.id].friend) == (one.id in theirs and theirs[one.id].friend)


async def test_the_last_place_is_taken_once(town: Town) -> None:
    ada, *others = town.people(5000 + 4)
    await town.imports(*((ada, other) for other in others[:4999]))
    late = others[4999:]
    for one in late:
        await one.asks(ada)
    answers = await asyncio.gather(*(ada.asks(one) for one in late), return_exceptions=True)
    assert sum(not isinstance(answer, Refusal) for answer in answers) == 1
    assert len((await ada.circle()).friends) == 5000


async def test_a_writer_waits_for_the_fence_and_readers_do_not(town: Town) -> None:
    ada, ben = town.people(2)
    await ada.befriends(ben)
    connection = await asyncpg.connect(town.dsn)
    try:
        holding = connection.transaction()
        await holding.start()
        await connection.execute("select from subject_fence where user_id = $1 for no key update", ben.id)
        waiting = asyncio.create_task(ada.ends(ben))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        assert ids([ben]) == (await ada.circle()).friends == shown(await ada.friends())
        await connection.execute("update subject_fence set state = 'deleted' where user_id = $1", ben.id)
        await holding.commit()
        await refusal(NotFound, waiting)
    finally:
        await connection.close()


async def test_nothing_remote_happens_while_the_transaction_is_open(town: Town) -> None:
    ada, ben = town.people(2)
    town.users_down = True
    await refusal(Unavailable, ada.asks(ben))
    assert await town.versions(ada, ben) == [0, 0]
    town.users_down = False
    town.lone.calls.clear()
    await ada.asks(ben)
    assert town.lone.calls == ["users/cards"]
    await ada.drops(ben)
    assert town.lone.calls == ["users/cards"]
