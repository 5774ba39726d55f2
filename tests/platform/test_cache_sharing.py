"""Several requests in one bulk call: who goes together, what each gets, and that nobody waits for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from tidings.platform.cache import sharing
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.kept import Kept, Piece
from tidings.platform.cache.sharing import AT_ONCE, BEFORE, BUSY, CROWD, LOOK, MOST_KEYS, WINDOW, Sharing
from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Call, Unavailable
from tidings.platform.request import Viewer
from tidings.platform.seen import Known, Position, Seen, seeing


@dataclass
class Producer:
    """Answers with the keys; while it is `held`, it waits."""

    asked: list[list[Hashable]] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    going: asyncio.Event = field(default_factory=asyncio.Event)
    sharing: Sharing[set[Hashable]] = field(default_factory=Sharing)

    async def ask(self, who: str, *keys: Hashable) -> tuple[set[Hashable], bool]:
        async def send(together: Sequence[Any]) -> set[Hashable]:
            self.asked.append(sorted(together))
            self.by.append(who)
            await self.going.wait()
            return set(together)

        return await self.sharing.ask(keys, send)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_requests_of_the_same_turn_go_together_in_the_first_ones_name() -> None:
    producer = Producer()
    producer.going.set()
    answers = await asyncio.gather(producer.ask("Ada", 1, 2), producer.ask("Bob", 2, 3), producer.ask("Cyd", 1))
    assert [own for _, own in answers] == [True, False, False]
    assert all(answer == {1, 2, 3} for answer, _ in answers)
    assert (producer.asked, producer.by) == ([[1, 2, 3]], ["Ada"])


async def test_who_comes_later_is_not_answered_by_what_was_sent_before() -> None:
    producer = Producer()
    first = asyncio.create_task(producer.ask("Ada", 1))
    await turn()
    assert producer.asked == [[1]]  # alone, at once
    second = asyncio.create_task(producer.ask("Bob", 1))
    await asyncio.sleep(20 * WINDOW)
    assert producer.asked == [[1], [1]]
    producer.going.set()
    assert [await first, await second] == [({1}, True), ({1}, True)]


async def busy(producer: Producer) -> list[asyncio.Task[tuple[set[Hashable], bool]]]:
    tasks = []
    for number in range(AT_ONCE):
        tasks.append(asyncio.create_task(producer.ask(f"busy {number}", -number)))
        await turn()
    return tasks


async def test_while_enough_are_under_way_keys_gather_until_one_of_them_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharing, "WINDOW", 60.0)
    producer = Producer()
    before = await busy(producer)
    later = [asyncio.create_task(producer.ask("Ada", 1))]
    await turn()
    later.append(asyncio.create_task(producer.ask("Bob", 2)))
    await turn()
    assert len(producer.asked) == AT_ONCE
    producer.going.set()
    await asyncio.gather(*before)
    assert [await one for one in later] == [({1, 2}, True), ({1, 2}, False)]


async def test_nobody_waits_longer_than_the_window() -> None:
    producer = Producer()
    before = await busy(producer)
    late = asyncio.create_task(producer.ask("Ada", 1))
    await asyncio.sleep(20 * WINDOW)
    assert producer.asked[AT_ONCE:] == [[1]]  # though none of the others has ended
    producer.going.set()
    await asyncio.gather(*before, late)


async def test_a_call_takes_no_more_than_so_many_keys() -> None:
    producer = Producer()
    producer.going.set()
    answers = await asyncio.gather(
        producer.ask("Ada", *range(MOST_KEYS)), producer.ask("Bob", -1), producer.ask("Cyd", -2)
    )
    assert [own for _, own in answers] == [True, True, False]
    assert [len(one) for one in producer.asked] == [MOST_KEYS, 2]


async def test_who_gives_up_gives_up_alone() -> None:
    producer = Producer()
    first, second = asyncio.create_task(producer.ask("Ada", 1)), asyncio.create_task(producer.ask("Bob", 2))
    await turn()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    producer.going.set()
    assert await second == ({1, 2}, False)


async def test_all_who_wait_hear_of_a_failure_and_the_next_ask_anew() -> None:
    sharing: Sharing[int] = Sharing()
    told: list[int] = []

    async def send(keys: Sequence[Hashable]) -> int:
        told.append(len(keys))
        if len(told) == 1:
            raise Unavailable("gone", service="people")
        return len(keys)

    failed = await asyncio.gather(sharing.ask([1], send), sharing.ask([2], send), return_exceptions=True)
    assert all(isinstance(one, Unavailable) for one in failed)
    assert await sharing.ask([1], send) == (1, True)
    assert told == [2, 1]


async def test_who_waits_when_everything_stops_is_stopped() -> None:
    producer = Producer()
    waiting = asyncio.create_task(producer.ask("Ada", 1))
    await turn()
    [under_way] = producer.sharing._under_way
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# A call that leads to others.


@dataclass
class Crowd:
    """Requests that are at work until they may end, after a call that was answered at once."""

    producer: Producer = field(default_factory=lambda: Producer(sharing=Sharing(leads=True)))
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def come(self, count: int) -> None:
        self.producer.going.set()
        self.tasks += [asyncio.create_task(self._request(number)) for number in range(count)]
        await turn()
        assert not any(task.done() for task in self.tasks)

    async def _request(self, number: int) -> None:
        await self.producer.ask(f"crowd {number}", -number)
        await self.may_end.wait()

    async def end(self) -> None:
        self.may_end.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a crowd waits until it is done, whatever it does."""
    monkeypatch.setattr(sharing, "PATIENCE", 60.0)
    monkeypatch.setattr(sharing, "BUSY", 0.0)


async def soon(answer: Awaitable[tuple[set[Hashable], bool]]) -> tuple[set[Hashable], bool]:
    return await asyncio.wait_for(answer, 5)


async def test_a_call_that_leads_goes_again_once_those_whom_it_answered_are_done(patient: None) -> None:
    crowd = Crowd()
    await crowd.come(CROWD)
    later = [asyncio.create_task(crowd.producer.ask("Ada", 1))]
    await asyncio.sleep(5 * WINDOW)
    later.append(asyncio.create_task(crowd.producer.ask("Bob", 2)))
    await turn()
    assert len(crowd.producer.asked) == 1
    await crowd.end()
    assert [await soon(one) for one in later] == [({1, 2}, True), ({1, 2}, False)]
    assert len(crowd.producer.asked) == 2


async def test_who_gave_up_is_done(patient: None) -> None:
    crowd = Crowd()
    await crowd.come(CROWD)
    late = asyncio.create_task(crowd.producer.ask("Ada", 1))
    await turn()
    crowd.tasks[0].cancel()
    assert await soon(late) == ({1}, True)
    await crowd.end()


async def test_a_few_are_not_waited_for(patient: None) -> None:
    crowd = Crowd()
    await crowd.come(CROWD - 1)
    assert await soon(crowd.producer.ask("Ada", 1)) == ({1}, True)
    await crowd.end()


async def test_a_call_that_leads_to_none_waits_for_nobody(patient: None) -> None:
    crowd = Crowd(Producer())
    await crowd.come(CROWD)
    assert await soon(crowd.producer.ask("Ada", 1)) == ({1}, True)
    await crowd.end()


async def test_who_asks_again_does_not_wait_for_itself(patient: None) -> None:
    crowd = Crowd()

    async def asks_twice(number: int) -> set[Hashable]:
        await crowd.producer.ask(f"first {number}", -number)
        await turn()
        answer, _ = await crowd.producer.ask(f"second {number}", number)
        return answer

    crowd.producer.going.set()
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(asks_twice(number) for number in range(1, CROWD + 1)))
    assert all(number in answer for number, answer in enumerate(answers, start=1))


async def test_who_asks_again_lets_those_go_who_wait_for_it(patient: None) -> None:
    crowd = Crowd()
    await crowd.come(CROWD - 1)
    ask_again = asyncio.Event()

    async def asks_twice() -> set[Hashable]:
        await crowd.producer.ask("first", 1)
        await ask_again.wait()
        return (await crowd.producer.ask("second", 2))[0]

    twice = asyncio.create_task(asks_twice())
    await turn()
    late = asyncio.create_task(crowd.producer.ask("Ada", 3))
    await turn()
    assert [3] not in crowd.producer.asked
    ask_again.set()
    assert await soon(late) == ({2, 3}, True)
    assert await twice == {2, 3}
    await crowd.end()


async def test_who_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.2)
    monkeypatch.setattr(sharing, "BUSY", 0.0)
    crowd, began = Crowd(), time.monotonic()
    await crowd.come(CROWD)
    assert await soon(crowd.producer.ask("Ada", 1)) == ({1}, True)
    assert time.monotonic() - began >= 0.15
    await crowd.end()


class Worker:
    """Works for a share of the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
        self.share, self._worked, self._at = share, 0.0, time.monotonic()
        monkeypatch.setattr(sharing, "PATIENCE", 60.0)
        monkeypatch.setattr(sharing.time, "thread_time", self._thread_time)

    def _thread_time(self) -> float:
        now = time.monotonic()
        self._worked, self._at = self._worked + self.share * (now - self._at), now
        return self._worked


async def test_a_crowd_is_waited_for_while_there_is_much_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, crowd = Worker(monkeypatch, 1.5 * BUSY), Crowd()
    await crowd.come(CROWD)
    late = asyncio.create_task(crowd.producer.ask("Ada", 1))
    await asyncio.sleep(10 * LOOK)
    assert len(crowd.producer.asked) == 1
    worker.share *= 0.5  # hardly anything: those who are at work wait themselves
    assert await soon(late) == ({1}, True)
    await crowd.end()


async def test_nobody_begins_to_wait_where_there_was_little_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    Worker(monkeypatch, 0.9 * BUSY)
    crowd = Crowd()
    await crowd.come(CROWD)
    await asyncio.sleep(1.1 * BEFORE)
    late = asyncio.create_task(crowd.producer.ask("Ada", 1))
    await turn()
    assert crowd.producer.asked[1:] == [[1]]
    assert await soon(late) == ({1}, True)
    await crowd.end()


async def test_who_took_long_once_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream looks again and again whether its client is signed in."""
    monkeypatch.setattr(sharing, "PATIENCE", 0.05)
    monkeypatch.setattr(sharing, "BUSY", 0.0)
    producer, look = Producer(sharing=Sharing(leads=True)), asyncio.Semaphore(0)
    producer.going.set()
    looked = 0

    async def stream(number: int) -> None:
        nonlocal looked
        while True:
            await producer.ask(f"stream {number}", -number)
            looked += 1
            await look.acquire()

    streams = [asyncio.create_task(stream(number)) for number in range(CROWD)]
    async with asyncio.timeout(5):
        while len(producer.sharing._lasting) < CROWD:
            await asyncio.sleep(0.01)
    monkeypatch.setattr(sharing, "PATIENCE", 60.0)
    for _ in streams:
        look.release()
    await turn()
    assert looked == 2 * CROWD
    assert not any(getattr(one, "_callbacks", None) for one in streams)  # nothing gathers there
    assert await soon(producer.ask("Ada", 1)) == ({1}, True)
    for one in streams:
        one.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    assert not producer.sharing._at_work


async def test_nobody_waits_longer_than_their_patience_for_a_call_of_a_crowd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharing, "PATIENCE", 0.2)
    monkeypatch.setattr(sharing, "BUSY", 0.0)
    producer = Producer(sharing=Sharing(leads=True))
    slow = [asyncio.create_task(producer.ask(f"slow {number}", -number)) for number in range(CROWD)]
    await turn()
    late = asyncio.create_task(producer.ask("Ada", 1))
    async with asyncio.timeout(5):
        while len(producer.asked) == 1:
            await asyncio.sleep(0.01)
    assert producer.asked[1:] == [[1]]  # though the first has not been answered
    producer.going.set()
    await asyncio.gather(*slow, late)


async def test_once_there_is_no_crowd_nobody_waits_long_for_the_call_that_is_under_way(patient: None) -> None:
    crowd = Crowd()
    await crowd.come(CROWD)
    crowd.producer.going.clear()
    waiting = asyncio.create_task(crowd.producer.ask("Ada", 1))
    await turn()
    crowd.tasks.pop().cancel()
    await turn()
    assert crowd.producer.asked[1:] == [[1]]  # under way
    late = asyncio.create_task(crowd.producer.ask("Bob", 2))  # with Ada they are a crowd again
    await turn()
    crowd.tasks.pop().cancel()
    async with asyncio.timeout(5):
        while len(crowd.producer.asked) < 3:
            await asyncio.sleep(0.01)
    crowd.producer.going.set()
    assert [await soon(one) for one in (waiting, late)] == [({1}, True), ({2}, True)]
    await crowd.end()


async def test_nothing_is_sent_for_those_who_gave_up_while_they_waited_for_a_crowd(patient: None) -> None:
    crowd = Crowd()
    await crowd.come(CROWD)
    waiting = [asyncio.create_task(crowd.producer.ask(name, 1)) for name in ("Ada", "Bob")]
    await turn()
    for task in (*waiting, *crowd.tasks):  # as when all stops
        task.cancel()
    await asyncio.gather(*waiting, *crowd.tasks, return_exceptions=True)
    await turn()
    assert len(crowd.producer.asked) == 1
    assert not crowd.producer.sharing._under_way
    assert await soon(crowd.producer.ask("Cyd", 2)) == ({2}, True)


# By way of a keeper.

Names = dict[UUID, tuple[str, int]]  # with versions
names_of: Call[list[UUID], Names] = Call("people/names", list, dict, safe=True, callers={"page"})


@dataclass
class People:
    """Names; a secret is for Ada alone."""

    names: Names
    room: int = 0
    asked: list[tuple[str, list[UUID], bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = Kept(
            names_of,
            keys=lambda viewer, ask: ask,
            rest=list,
            pieces=lambda viewer, ask, found: [
                Piece(one, named, one, named[1], keep="secret" not in named[0]) for one, named in found.items()
            ],
            whole=lambda ask, found, as_of_ns: {one: found[one] for one in ask if one in found},
        )
        self.keeper = Keeper("page", [kept], room=self.room)
        for shelf in self.keeper.shelves.values():
            shelf.listening()
            shelf.registered(time.monotonic() + 1000)
            shelf.beat(time.time_ns() + 3_600_000_000_000)

    async def read(self, who: str, *ids: UUID) -> Names:
        async def bring(ask: list[UUID], *, for_others: bool = False) -> tuple[Names, int]:
            self.asked.append((who, sorted(ask), for_others))
            await asyncio.sleep(0)
            return {one: self._for(who, one) for one in ask if one in self.names}, stamp_ns()

        kept = self.keeper.keeps(names_of)
        assert kept is not None
        return await self.keeper.begin(kept, Viewer(user_id=uuid4(), role="member"), list(ids), bring)

    def _for(self, who: str, one: UUID) -> tuple[str, int]:
        name, version = self.names[one]
        return (f"{name} of {who}" if name == "secret" else name), version


@pytest.mark.parametrize("room", [0, 100_000])
async def test_each_gets_what_it_asked_for_of_one_call(room: int) -> None:
    ada, bob, cyd, nobody = (uuid4() for _ in range(4))
    people = People({ada: ("Ada", 1), bob: ("Bob", 1), cyd: ("Cyd", 1)}, room)
    first, second = await asyncio.gather(people.read("x", ada, bob), people.read("y", cyd, nobody, bob))
    assert first == {ada: ("Ada", 1), bob: ("Bob", 1)}
    assert second == {cyd: ("Cyd", 1), bob: ("Bob", 1)}
    assert people.asked == [("x", sorted([ada, bob, cyd, nobody]), True)]


@pytest.mark.parametrize("room", [0, 100_000])
async def test_what_is_for_one_asker_alone_is_shared_with_nobody(room: int) -> None:
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("secret", 1), bob: ("Bob", 1)}, room)
    first, second = await asyncio.gather(people.read("x", ada, bob), people.read("y", ada, bob))
    assert first == {ada: ("secret of x", 1), bob: ("Bob", 1)}
    assert second == {ada: ("secret of y", 1), bob: ("Bob", 1)}
    assert people.asked == [("x", sorted([ada, bob]), True), ("y", [ada], False)]


async def test_one_who_knows_of_a_newer_version_alone_asks_again() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})

    async def knows() -> Names:
        with seeing(Seen(Known((Position("people", ada, 2, time.time_ns()),), {}))):
            return await people.read("y", ada)

    async def changes() -> None:
        while not people.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        people.names[ada] = ("Augusta", 2)

    first, second, _ = await asyncio.gather(people.read("x", ada), knows(), changes())
    assert first == {ada: ("Ada", 1)}
    assert second == {ada: ("Augusta", 2)}
    assert [who for who, _, _ in people.asked] == ["x", "y"]
