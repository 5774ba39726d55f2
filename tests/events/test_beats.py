"""Beats: what they promise, on the real bus; and what a listener does when they do not add up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest

from tests.harness.system import Whole
from tidings.contracts import messages, users
from tidings.contracts.users import ByIds, CardAsOf, UserId
from tidings.everything import SERVICES
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.kept import Kept, Piece
from tidings.platform.cache.shelf import Entry, Reading
from tidings.platform.events import listener as listener_module
from tidings.platform.events.audience import Audience, Said
from tidings.platform.events.beat import Beat, Removal, beat_subject, removal_subject
from tidings.platform.events.bus import Heard, connected
from tidings.platform.events.listener import Listener
from tidings.platform.occurrence import Occurred
from tidings.platform.request import Viewer
from tidings.platform.seen import Seen
from tidings.services.messages import kept as messages_kept

RENAMES = 40
FOLLOW = 3  # beats, one after the other


@dataclass
class Notes:
    """Hears what users says, as it comes."""

    said: list[Said] = field(default_factory=list)

    def hears(self, producer: str, said: Said) -> None:
        if producer == "users":
            self.said.append(said)

    async def over_the_bus(self, one: Heard) -> None:
        kind = Beat if one.subject == beat_subject("users") else Occurred
        self.hears("users", cast("Said", msgspec.json.decode(one.content, type=kind)))

    @asynccontextmanager
    async def of(self, tidings: Whole) -> AsyncIterator[None]:
        """Where all who hear users are in its process it says nothing on the bus, and they hear all the same."""
        process, installation = tidings.system.process, tidings.system.installation
        if process is not None and tidings.mode == "near":
            async with asyncio.timeout(10):
                while process._audience.of("users") is None:  # they are there a moment after the start
                    await asyncio.sleep(0.02)
            here = process._audience._here["users"]
            here["notes"] = self
            try:
                yield
            finally:
                del here["notes"]
            return
        async with connected(installation._bus_address("timeline"), "timeline") as bus:
            await bus.hear("users", self.over_the_bus)
            await bus.flush()
            yield


@pytest.mark.parametrize("tidings", ["near", "wire", "apart"], indirect=True)
async def test_a_beat_comes_after_every_event_of_what_was_committed_before_it(tidings: Whole) -> None:
    notes = Notes()
    async with notes.of(tidings):
        acknowledged: dict[tuple[UUID, int], int] = {}

        async def renames(name: str) -> None:
            person = await tidings.joins(name)
            for number in range(RENAMES):
                answer = await person.patch("/v1/users/me", {"name": f"{name} {number}"})
                version = int(answer.headers["etag"].strip('"').partition(".")[0])
                acknowledged[UUID(person.id), version] = time.time_ns()

        await asyncio.gather(*(renames(name) for name in ("Ada", "Bob", "Carol")))
        last = max(acknowledged.values())
        async with asyncio.timeout(10):
            while sum(one.at_ns > last for one in notes.said if isinstance(one, Beat)) <= FOLLOW:
                await asyncio.sleep(0.02)

    told: set[tuple[UUID, int]] = set()
    followed, since, before = 0, 0, None
    for said in notes.said:
        if isinstance(said, Occurred):
            told.add((said.subject, said.version))
            since += 1
            continue
        late = {change for change, at_ns in acknowledged.items() if at_ns < said.at_ns} - told
        assert not late, "a beat says that all is told, and something is not"
        if before is not None and said.relay == before.relay:
            assert said.number == before.number + 1
            assert said.told in (since, None)  # it is not sure where the bus was in trouble just before
            followed += said.told is not None
        before, since = said, 0
    assert told >= acknowledged.keys()
    assert followed >= FOLLOW


# A listener, told by hand.


def _keys(viewer: Viewer, ask: ByIds) -> Sequence[UUID]:
    return ask.ids


def _rest(ask: ByIds, missing: Sequence[Any]) -> ByIds:
    return ByIds(ids=list(missing))


def _pieces(viewer: Viewer, ask: ByIds, found: Any) -> list[Piece]:
    return []


def _whole(ask: ByIds, found: Any, as_of_ns: int) -> dict[Any, CardAsOf]:
    return dict(found)


@pytest.mark.parametrize("tidings", ["near", "wire"], indirect=True)
async def test_in_one_process_producers_have_their_whole_audience_there(tidings: Whole) -> None:
    """Unless every call is encoded, and so is all that is said."""
    process = tidings.system.process
    assert process is not None
    audience = process._audience
    if tidings.mode == "wire":
        assert {name: audience.of(name) for name in SERVICES} == dict.fromkeys(SERVICES)
        return
    async with asyncio.timeout(10):
        while any(audience.of(name) is None for name in SERVICES):
            await asyncio.sleep(0.02)
    there = {name: {one._name for one in audience.of(name) or ()} for name in SERVICES}  # type: ignore[attr-defined]
    assert there["users"] == {"edge", "timeline", "messages"}
    assert there["media"] == set()


@dataclass
class Ear:
    """A listener with one entry about Ada on its shelf, and a relay that is played."""

    relay: UUID = field(default_factory=uuid4)
    ada: UUID = field(default_factory=uuid4)
    answered: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = Kept(users.cards_as_of, keys=_keys, rest=_rest, pieces=_pieces, whole=_whole)
        self.keeper = Keeper("timeline", [kept], room=10_000)
        self.listener = Listener("timeline", ["users"], self.keeper)
        self.shelf = self.keeper.shelves["users"]
        self.shelf.listening()
        self.shelf.registered(time.monotonic() + 100)
        self.number = 0

    def puts(self) -> None:
        now = time.time_ns()
        assert self.shelf.fill("ada", Entry(self.ada, 1, "Ada", Reading(time.monotonic(), now, now), 10))

    def puts_another(self) -> Entry:
        now = time.time_ns()
        entry = Entry(uuid4(), 1, "Bob", Reading(time.monotonic(), now, now), 10)
        assert self.shelf.fill("bob", entry)
        return entry

    async def has_taken_in(self) -> None:
        """What was said here by now. The last thing may be under way when the queue is empty."""
        while not self.listener._waiting.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    @property
    def shows(self) -> bool:
        return "ada" in self.shelf.find(["ada"], Seen())[0]

    async def beats(self, told: int | None, *, skip: int = 0, relay: UUID | None = None) -> None:
        self.number += 1 + skip
        beat = Beat(relay or self.relay, self.number, time.time_ns(), told)
        await self.listener.heard(Heard(beat_subject("users"), msgspec.json.encode(beat), None))

    async def tells(self, subject: UUID, version: int) -> None:
        one = Occurred(id=uuid4(), event="users.changed", subject=subject, version=version, body=msgspec.Raw(b"{}"))
        await self.listener.heard(Heard(one.event, msgspec.json.encode(one), None))

    async def removes(self, subject: UUID, version: int) -> None:
        async def respond(content: bytes) -> None:
            self.answered.append(content)

        content = msgspec.json.encode(Removal([(subject, version)]))
        await self.listener.heard(Heard(removal_subject("users"), content, respond))


async def test_beats_that_add_up_keep_what_is_there() -> None:
    ear = Ear()
    await ear.beats(17)
    ear.puts()
    assert ear.shows
    await ear.tells(uuid4(), 9)
    await ear.tells(uuid4(), 9)
    await ear.beats(2)
    await ear.beats(0)
    assert ear.shows


@pytest.mark.parametrize("wrong", ["the first", "one more told", "a beat missed", "not sure", "another relay"])
async def test_what_does_not_add_up_was_missed(wrong: str) -> None:
    ear = Ear()
    if wrong != "the first":  # before it something may have been said, and lost
        await ear.beats(0)
    ear.puts()
    await ear.tells(uuid4(), 1)
    if wrong == "one more told":
        await ear.beats(2)
    elif wrong == "a beat missed":
        await ear.beats(1, skip=1)
    elif wrong == "the first":
        await ear.beats(1)
    elif wrong == "not sure":
        await ear.beats(None)
    else:
        await ear.beats(1, relay=uuid4())
    assert not ear.shows
    assert len(ear.shelf) == 0
    ear.puts()
    assert ear.shows  # it goes on from there


async def test_an_event_takes_away_what_it_makes_old() -> None:
    ear = Ear()
    await ear.beats(0)
    ear.puts()
    await ear.tells(ear.ada, 1)
    assert ear.shows
    await ear.tells(ear.ada, 2)
    assert not ear.shows


async def test_a_removal_is_confirmed_by_name_once_it_is_done() -> None:
    ear = Ear()
    await ear.beats(0)
    ear.puts()
    await ear.removes(ear.ada, 2)
    assert not ear.shows
    assert ear.answered == [ear.keeper.id.bytes]
    await ear.beats(0)  # a removal is no event
    assert ear.shelf.keeps


async def test_what_cannot_be_read_was_missed() -> None:
    ear = Ear()
    await ear.beats(0)
    ear.puts()
    await ear.listener.heard(Heard("users.changed", b"nonsense", None))
    assert not ear.shows
    assert not ear.shelf.keeps


async def test_who_hears_late_hears_in_order() -> None:
    kept = Kept(users.cards_as_of, keys=_keys, rest=_rest, pieces=_pieces, whole=_whole)
    listener = Listener("timeline", ["users"], Keeper("timeline", [kept], room=1), delay=0.1)
    got: list[bytes] = []

    async def note(one: Heard) -> None:
        got.append(one.content)

    listener.heard = note  # type: ignore[method-assign]
    began = time.monotonic()
    async with listener._taking_in():
        for number in range(5):
            await listener._queue(Heard("users.changed", bytes([number]), None))
        await asyncio.sleep(0.05)
        assert got == []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while len(got) < 5:
                    await asyncio.sleep(0.01)
    assert got == [bytes([number]) for number in range(5)]
    assert time.monotonic() - began < 2  # each waits its own time, not for one another


async def test_what_is_said_here_is_taken_in_in_order_and_not_waited_for() -> None:
    ear = Ear()
    await ear.beats(0)
    ear.puts()
    other = ear.puts_another()
    gaps = ear.shelf.gaps
    beat = Beat(ear.relay, ear.number + 1, time.time_ns(), 1)
    async with ear.listener._taking_in():
        ear.listener.hears("users", occurred(uuid4()))
        ear.listener.hears("users", beat)
        ear.listener.hears("users", occurred(ear.ada))
        assert ear.shows  # nobody was waited for
        await ear.has_taken_in()
        assert not ear.shows
        assert not other.gone
    assert ear.shelf.gaps == gaps  # it added up: in another order it would not
    assert ear.shelf.as_of_ns == beat.at_ns


async def test_who_fails_at_what_is_said_here_has_missed_it() -> None:
    ear = Ear()
    await ear.beats(0)
    ear.puts()
    async with ear.listener._taking_in():
        ear.listener.hears("users", cast("Said", None))
        await ear.has_taken_in()
        assert not ear.shelf.keeps
        assert ear.listener._back.is_set()  # it begins anew


async def test_what_is_said_here_is_heard_without_the_bus_from_the_next_beat_on() -> None:
    ear = Ear()
    await ear.beats(0)
    ear.puts()
    async with ear.listener._taking_in():
        ear.listener.gap()  # the bus was lost
        assert not ear.shelf.keeps
        for number in (2, 3):
            ear.listener.hears("users", Beat(ear.relay, number, time.time_ns(), 0))
        await ear.has_taken_in()
        assert ear.shelf.keeps
        assert not ear.shows
        ear.puts()
        ear.listener.hears("users", Beat(ear.relay, 4, time.time_ns(), 0))
        await ear.has_taken_in()
        assert ear.shows
        ear.listener.hears("users", occurred(ear.ada))
        await ear.has_taken_in()
        assert not ear.shows


async def test_who_is_told_more_than_it_can_take_in_has_missed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MOST_WAITING", 3)
    ear = Ear()
    await ear.beats(0)
    ear.puts()
    for _ in range(3):
        ear.listener.hears("users", occurred(uuid4()))
    assert (ear.listener._waiting.qsize(), ear.shelf.keeps) == (3, True)
    ear.listener.hears("users", occurred(uuid4()))
    assert (ear.listener._waiting.qsize(), ear.shelf.keeps) == (0, False)
    assert ear.listener._back.is_set()


async def test_who_cannot_go_on_taking_in_ends_and_begins_anew(
    tidings: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What escapes while it says that it missed something, say."""
    ear = Ear()
    audience = Audience({"users": {"timeline"}})
    ear.listener._audience = audience
    running = asyncio.create_task(ear.listener.run(tidings.system.installation._bus_address("timeline")))
    async with asyncio.timeout(10):
        while audience.of("users") is None:
            await asyncio.sleep(0.01)

    def fails() -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(ear.listener, "gap", fails)
    ear.listener.hears("users", cast("Said", None))
    await asyncio.wait({running}, timeout=10)
    assert running.done()
    assert isinstance(running.exception(), RuntimeError)
    assert audience.of("users") is None


def occurred(subject: UUID) -> Occurred:
    return Occurred(id=uuid4(), event="users.changed", subject=subject, version=2, body=msgspec.Raw(b"{}"))


async def test_of_whom_an_event_says_that_something_changed_is_read_again() -> None:
    author, other, reactor = (UserId(uuid4()) for _ in range(3))
    keeper = Keeper("messages", messages_kept.KEPT, room=1_000_000)
    listener = Listener("messages", ["messages"], keeper)
    shelf = keeper.shelves["messages"]
    shelf.listening()
    shelf.registered(time.monotonic() + 100)
    shelf.beat(time.time_ns())
    [pages] = [one for one in messages_kept.KEPT if one.call is messages.author_pages]
    found = {one: messages.AuthorPage(5, [], []) for one in (author, other)}
    ask = messages.AuthorPagesAsk([author, other], to_keep=True)
    now = time.time_ns()
    for piece in pages.pieces(Viewer(), ask, found):
        assert piece.until_ms is not None  # what an account's erasure counts down is not told
        assert 0 < piece.until_ms - now // 1_000_000 <= messages_kept.RECOUNTED + 1000
        reading = Reading(time.monotonic(), now, now)
        entry = Entry(piece.subject, piece.version, piece.value, reading, 10, piece.until_ms)
        assert shelf.fill(piece.key, entry, of=pages.call.name, counts=True)
    body = messages.ReactionChanged(messages.MessageId(uuid4()), author, reactor, 3)
    told = Occurred(uuid4(), messages.reacted.name, reactor, 3, msgspec.Raw(msgspec.json.encode(body)))
    await listener.heard(Heard(told.event, msgspec.json.encode(told), None))
    assert shelf.find([author.int, other.int], Seen(), pages.call.name)[2] == [author.int]
