"""Writers who wait for each other, and commits that are held open."""

from __future__ import annotations

import asyncio
import time

from tests.services.messages.neighbourhood import Neighbourhood, Person, refusal
from tests.services.messages.writing import a_document, holding_fence, request_of
from tidings.contracts.messages import Message, MessageId
from tidings.platform.clock import now_ms
from tidings.platform.contract import Busy
from tidings.platform.ids import bucket_of, uuid7


async def test_a_fence_that_is_held_makes_writers_busy_and_no_reader_wait(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await alice.posts()
    async with holding_fence(town, alice.id):
        for write in (alice.posts(), bob.replies(said), bob.reacts(said)):
            began = time.monotonic()
            refused = await refusal(write)
            assert isinstance(refused, Busy)
            assert refused.retry_after == 1
            assert time.monotonic() - began < 4  # not a route's deadline, on a machine in use
        assert (await bob.reads(said)).message == said
        assert (await bob.latest([alice])).authors[0].newest_id == said.id
    await alice.posts("again")


async def test_a_commit_held_open_is_skipped_by_no_page(town: Neighbourhood) -> None:
    alice, bob, carol = town.people(3)
    town.befriend(alice, bob, carol)
    held, go_on = asyncio.Event(), asyncio.Event()
    late = MessageId(uuid7(now_ms(), rand_a=bucket_of(bob.id)))

    async def hold_open() -> None:
        with request_of(bob.id):
            async with town.store.write() as messages:
                await messages.fence([bob.id])
                await messages.add(a_document(late, bob.id))
                held.set()
                await go_on.wait()

    holding = asyncio.create_task(hold_open())
    await held.wait()
    await asyncio.sleep(0.002)
    shown = await carol.posts("in between")
    page = await alice.page([bob, carol])
    assert [item.id for item in page.items] == [shown.id]
    go_on.set()
    await holding
    # A newer-than cursor goes back two seconds, and leaves out by id what it has shown.
    bound = MessageId(uuid7(page.read_at_ms - 2000, rand_a=0, rand_b=0))
    again = await alice.page([bob, carol], after=bound, seen=[shown.id])
    assert [item.id for item in again.items] == [late]


async def _reacts_in_the_end(who: Person, said: Message, emoji: str) -> None:
    """As a client does: sixteen in one line may take longer than a write waits, where a disk is slow."""
    for _ in range(10):
        try:
            return await who.reacts(said, emoji)
        except Busy:
            await asyncio.sleep(0.2)
    raise AssertionError("busy for too long")


async def test_reactions_at_once_are_all_counted(town: Neighbourhood) -> None:
    alice, *others = town.people(9)
    town.befriend(alice, *others)
    said = await alice.posts()
    both = [(other, emoji) for other in others for emoji in ("👍", "x")]
    await asyncio.gather(*(_reacts_in_the_end(other, said, emoji) for other, emoji in both))
    assert {one.emoji: one.count for one in (await alice.reads(said)).reactions} == {"👍": 8, "x": 8}


async def test_replies_and_withdrawal_at_once_leave_nothing_shown(town: Neighbourhood) -> None:
    alice, *others = town.people(7)
    town.befriend(alice, *others)
    for _ in range(5):
        said = await alice.posts()
        outcomes = await asyncio.gather(
            *(other.replies(said) for other in others[:3]),
            alice.withdraws(said),
            *(other.reacts(said) for other in others[3:]),
            return_exceptions=True,
        )
        faults = [one for one in outcomes if isinstance(one, BaseException) and not hasattr(one, "code")]
        assert faults == []
        if outcomes[3] is None:
            assert await alice.finds(said) == []
        else:
            assert isinstance(outcomes[3], Busy)
