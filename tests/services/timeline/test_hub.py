"""Who listens: welcomed with a circle that is read, while events go on."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from tidings.contracts.friends import Circle
from tidings.contracts.users import UserId
from tidings.services.timeline.hub import Hub

ADA, BOB = UserId(uuid4()), UserId(uuid4())


class Reads:
    """Reads of Ada's circle that are answered when a test says so, with what was true when they began."""

    def __init__(self) -> None:
        self.friends: list[UserId] = [BOB]
        self.asked: list[asyncio.Future[Circle]] = []

    async def circle(self) -> Circle:
        begun = Circle(friends=list(self.friends), muted=[], as_of=1)
        answer: asyncio.Future[Circle] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        await answer
        return begun

    async def answered(self, number: int) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(self.asked) > number, "was not read again"
        self.asked[number].set_result(Circle(friends=[], muted=[], as_of=1))


async def hears_of_bob(hub: Hub) -> bool:
    before = (await hub.heard(ADA, None, 0)).last
    hub.changed_by(BOB, "timeline")
    return bool((await hub.heard(ADA, before, 0)).changed)


async def test_of_two_welcomes_at_once_neither_brings_back_who_parted() -> None:
    hub, reads = Hub(), Reads()
    quick, slow = (asyncio.create_task(hub.welcome(ADA, reads.circle)) for _ in range(2))
    while len(reads.asked) < 2:
        await asyncio.sleep(0)
    reads.friends.clear()
    hub.parted(ADA, BOB)
    await reads.answered(0)
    await reads.answered(2)
    await quick
    assert not await hears_of_bob(hub)
    await reads.answered(1)
    await reads.answered(3)
    await slow
    assert not await hears_of_bob(hub)


async def test_a_circle_that_was_read_while_events_were_lost_is_read_again() -> None:
    hub, reads = Hub(), Reads()
    welcome = asyncio.create_task(hub.welcome(ADA, reads.circle))
    while not reads.asked:
        await asyncio.sleep(0)
    reads.friends.clear()  # and the event is lost
    hub.missed()
    await reads.answered(0)
    await reads.answered(1)
    await welcome
    assert not await hears_of_bob(hub)


async def test_who_waits_at_a_place_that_is_replaced_looks_again() -> None:
    hub, reads = Hub(), Reads()
    for number in range(2):
        welcome = asyncio.create_task(hub.welcome(ADA, reads.circle))
        await reads.answered(number)
        await welcome
        if number == 0:
            last = (await hub.heard(ADA, None, 0)).last
            waiting = asyncio.create_task(hub.heard(ADA, last, 5.0))
            await asyncio.sleep(0)
    async with asyncio.timeout(1):
        assert (await waiting).resync


async def test_who_was_welcomed_before_events_were_lost_looks_again() -> None:
    """Between the two something else is awaited."""
    hub, reads = Hub(), Reads()
    welcome = asyncio.create_task(hub.welcome(ADA, reads.circle))
    await reads.answered(0)
    await welcome
    hub.missed()
    for last in (None, "0"):
        assert (await hub.heard(ADA, last, 5.0)).resync


async def test_that_somebody_listens_is_said_again_in_time_and_no_oftener() -> None:
    hub, reads = Hub(), Reads()

    async def welcomed() -> None:
        welcome = asyncio.create_task(hub.welcome(ADA, reads.circle))
        await reads.answered(len(reads.asked))
        await welcome

    await welcomed()
    assert hub.is_to_be_marked(ADA, every=60)
    assert not hub.is_to_be_marked(ADA, every=60)
    assert hub.is_to_be_marked(ADA, every=0)
    hub.missed()
    await welcomed()  # at a place of which nothing was said yet
    assert hub.is_to_be_marked(ADA, every=60)
