"""The relay on a real outbox and a real bus: a row is published once the bus has it on its disk, and not before."""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import msgspec
import nats
import nats.js.errors
import pytest
from msgspec import Raw
from nats.aio.msg import Msg

from tests.harness.waiting import until
from tidings.platform.contract import Event, Value
from tidings.platform.ending import ended
from tidings.platform.engines.nats import EmbeddedNats
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.events import relay as relay_module
from tidings.platform.events.audience import Audience
from tidings.platform.events.beat import Beat
from tidings.platform.events.bus import BusAddress, Heard, connected
from tidings.platform.events.neighbours import Neighbours
from tidings.platform.events.relay import BATCH, Relay
from tidings.platform.occurrence import Occurred
from tidings.platform.storage.events import open_events
from tidings.platform.storage.followers import wake_relay
from tidings.platform.storage.foundation import FOUNDATION, RELAYED
from tidings.platform.storage.outbox import FORGOTTEN, LAST_PUBLISHED, PUBLISHED_BETWEEN

USERS = [{"user": "relay", "password": "pw", "permissions": {"publish": [">"], "subscribe": [">"]}}]
ADD = """
insert into outbox (id, event, subject, version, body, created_at)
select id, event, $3, 1, '{}', now() + make_interval(secs => place)
from unnest($1::uuid[], $2::text[]) with ordinality as told(id, event, place)
"""


class Said(Value, frozen=True):
    """A body that may name somebody."""

    names: list[str] = []


EVENTS = (
    Event("one.said", Said, durable=("names",)),
    Event("one.hinted", Said, durable=False),
    Event("one.told", Said),
)


@dataclass(frozen=True)
class Telling:
    """A service that has things to tell, its relay, and somebody who listens."""

    database: asyncpg.Connection[asyncpg.Record]
    relay: Relay
    client: nats.aio.client.Client
    neighbours: Neighbours
    audience: Audience
    heard: list[Msg] = field(default_factory=list)

    async def happened(self, *events: str) -> list[UUID]:
        ids = [uuid4() for _ in events]
        await self.database.execute(ADD, ids, events, uuid4())
        return ids

    async def listens(self) -> None:
        async def note(message: Msg) -> None:
            self.heard.append(message)

        await self.client.subscribe("one.>", cb=note)
        await self.client.subscribe("tests.>", cb=note)
        await self.client.flush()

    async def told(self) -> list[str]:
        """The subjects of all that was heard."""
        await asyncio.sleep(0.1)
        return [one.subject for one in self.heard if one.subject != "tests._beat"]

    async def beats(self) -> list[int | None]:
        """What is said to have been told with each."""
        await asyncio.sleep(0.1)
        return [msgspec.json.decode(one.data, type=Beat).told for one in self.heard if one.subject == "tests._beat"]

    async def unpublished(self) -> list[UUID]:
        rows = await self.database.fetch("select id from outbox where published_at is null order by created_at")
        return [row[0] for row in rows]

    async def has(self, *reacting: Reacts) -> None:
        """They get what happens from now on; there is a stream, too."""
        await self.client.jetstream().add_stream(name="one", subjects=["one.>"])
        await self.listens()
        self.moves_in(*reacting)
        await self.relay.round()

    def moves_in(self, *reacting: Reacts) -> Callable[[], None]:
        """They get what happens from now on; how to end that for the last of them."""
        ends = [self.neighbours.enter(one.service, one.events, one) for one in reacting]
        return ends[-1]

    async def is_heard_by(self, *hearing: Hears) -> None:
        """They hear what is said in passing from now on, and so does the bus."""
        await self.client.jetstream().add_stream(name="one", subjects=["one.>"])
        await self.listens()
        for one in hearing:
            self.audience.enter(one.name, ["tests"], one)

    async def on_the_bus(self, stream: str) -> int:
        return (await self.client.jetstream().stream_info(stream)).state.messages


@dataclass
class Reacts:
    """A neighbour, which holds what it gets until it is let go."""

    service: str
    events: list[str] = field(default_factory=lambda: ["one.told"])
    does: bool = True
    got: list[UUID] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def react_here(self, one: Occurred) -> bool:
        self.got.append(one.id)
        await self.let_go.wait()
        return self.does


@dataclass
class Hears:
    """One of those who hear what the service says in passing."""

    name: str
    said: list[Occurred | Beat] = field(default_factory=list)

    def hears(self, producer: str, said: Occurred | Beat) -> None:
        assert producer == "tests"
        self.said.append(said)

    @property
    def events(self) -> list[str]:
        return [one.event for one in self.said if isinstance(one, Occurred)]

    @property
    def beats(self) -> list[int | None]:
        """What is said to have been told with each."""
        return [one.told for one in self.said if isinstance(one, Beat)]


@pytest.fixture
async def telling(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Telling]:
    monkeypatch.setattr(relay_module, "BEAT_EVERY", 60.0)  # it beats once, and looks for other reasons alone
    dsn = await postgres.provision("relay_tests", "a test's password")
    database = await asyncpg.connect(dsn)
    for statement in (*FOUNDATION, *RELAYED):
        await database.execute(statement)
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    server = EmbeddedNats(folder / "nats", users=USERS)
    await server.start()
    try:
        async with (
            open_events(dsn, "tests") as store,
            connected(BusAddress(server.address, "relay", "pw"), "tests") as bus,
        ):
            client = await nats.connect(server.address, user="relay", password="pw", allow_reconnect=False)
            near = Neighbours({"one.told": {"near", "nearer"}})
            audience = Audience({"tests": {"edge", "timeline"}})
            relay = Relay(
                "tests",
                store.outbox,
                bus,
                read_again_at=lambda: -math.inf,
                events=EVENTS,
                dsn=dsn,
                neighbours=near,
                audience=audience,
            )
            yield Telling(database, relay, client, near, audience)
            await ended(*relay._handing_over)
            await client.close()
    finally:
        await database.execute("drop table outbox, relay_lease, subject_fence, idempotency")
        await database.close()
        await server.stop()
        shutil.rmtree(folder)


async def test_what_the_bus_did_not_take_is_not_marked(telling: Telling) -> None:
    """Three events, and a stream for two of them: the third stays, and is carried when its stream is there."""
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    ids = await telling.happened("one.first", "two.second", "one.third")
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await telling.relay.round()
    assert await telling.unpublished() == [ids[1]]
    assert await telling.on_the_bus("one") == 2
    await telling.client.jetstream().add_stream(name="two", subjects=["two.>"])
    assert await telling.relay.round() == 1
    assert (await telling.unpublished(), await telling.on_the_bus("two")) == ([], 1)


async def test_what_comes_again_under_its_id_is_taken_once(telling: Telling) -> None:
    """The bus had it, and the relay died before it could mark it."""
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.happened("one.first")
    await telling.relay.round()
    await telling.database.execute("update outbox set published_at = null")
    assert await telling.relay.round() == 1
    assert (await telling.unpublished(), await telling.on_the_bus("one")) == ([], 1)


def row(event_id: UUID, event: str, body: bytes = b"{}") -> Occurred:
    return Occurred(event_id, event, uuid4(), 1, Raw(body))


async def test_what_it_is_handed_it_publishes_at_once_and_marks_when_it_looks(telling: Telling) -> None:
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.relay.round()
    await telling.listens()
    (first,) = await telling.happened("one.first")
    telling.relay.hand([row(first, "one.first")])
    assert await telling.relay.round() == 1
    assert (await telling.told(), await telling.unpublished()) == (["one.first"], [first])
    assert await telling.relay.round() == 0  # handed nothing: it looks
    assert (await telling.told(), await telling.unpublished()) == (["one.first"], [])


async def test_what_it_is_handed_while_it_reads_it_does_not_publish_twice(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.listens()
    (first,) = await telling.happened("one.first")
    outbox = telling.relay._outbox

    async def meanwhile(limit: int) -> list[Occurred]:
        found = await unpublished(limit)
        telling.relay.hand([row(first, "one.first"), row(UUID(int=2), "one.second")])
        return found

    unpublished = outbox.unpublished
    monkeypatch.setattr(outbox, "unpublished", meanwhile)
    assert await telling.relay.round() == 1
    assert await telling.relay.round() == 1
    assert await telling.told() == ["one.first", "one.second"]


async def test_it_is_handed_what_is_committed_to_its_own_database(telling: Telling) -> None:
    running = asyncio.create_task(telling.relay.run())
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.listens()

    async def has_begun() -> bool:
        return telling.relay._beats > 0

    async def has_told() -> bool:
        return any(one.subject != "tests._beat" for one in telling.heard)

    await until(has_begun, what="its first beat")
    for dsn, event in (("another", "one.first"), (telling.relay._dsn, "one.second")):
        wake_relay(dsn, [row(uuid4(), event)])
    await until(has_told, what="an event")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await telling.told() == ["one.second"]


async def test_what_it_was_handed_and_the_bus_did_not_take_it_finds_when_it_looks(telling: Telling) -> None:
    await telling.relay.round()
    (first,) = await telling.happened("one.first")
    telling.relay.hand([row(first, "one.first")])
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await telling.relay.round()
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    telling.relay.hand([row(uuid4(), "one.second")])
    assert await telling.relay.round() == 1
    assert (await telling.unpublished(), await telling.on_the_bus("one")) == ([], 1)


@pytest.mark.parametrize("handed", [0, 1, BATCH + 1])
async def test_it_looks_where_nobody_says_what_it_was_and_where_it_is_much_or_others_tell_too(
    telling: Telling, handed: int
) -> None:
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.relay.round()
    await telling.happened("one.first")
    telling.relay.hand([row(uuid4(), "one.second")])
    telling.relay._alone = handed != 1
    telling.relay.hand([row(uuid4(), "one.third") for _ in range(handed)])
    await telling.listens()
    assert await telling.relay.round() == 1
    assert await telling.told() == ["one.first"]


@pytest.mark.parametrize(
    ("event", "body", "subject", "kept"),
    [
        ("one.said", b'{"names":["Ada"]}', "one.said", 1),
        ("one.said", b'{"names":[]}', "tests._event", 0),
        ("one.said", b'{"names":7}', "one.said", 1),  # somebody has to set it aside
        ("one.hinted", b'{"names":["Ada"]}', "tests._event", 0),
        ("one.told", b"{}", "one.told", 1),
    ],
)
async def test_what_is_not_durable_is_said_in_passing(
    telling: Telling, event: str, body: bytes, subject: str, kept: int
) -> None:
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.listens()
    await telling.relay.round()
    (first,) = await telling.happened(event)
    telling.relay.hand([row(first, event, body)])
    assert await telling.relay.round() == 1
    assert (await telling.told(), await telling.on_the_bus("one")) == ([subject], kept)
    await telling.relay.round()
    assert await telling.unpublished() == []


async def test_what_concerns_neighbours_alone_is_handed_over_and_marked_when_they_are_done(
    telling: Telling,
) -> None:
    near, nearer = Reacts("near"), Reacts("nearer")
    await telling.has(near, nearer)
    (first,) = await telling.happened("one.told")
    assert await telling.relay.round() == 1
    near.let_go.set()
    telling.relay.hand([row(first, "one.told")])
    assert await telling.relay.round() == 0  # it is on its way, and not told again, whoever finds it
    assert (await telling.told(), await telling.unpublished()) == (["tests._event"], [first])
    nearer.let_go.set()
    assert await telling.told() == ["tests._event"]
    assert await telling.relay.round() == 0
    assert (await telling.unpublished(), await telling.on_the_bus("one")) == ([], 0)
    assert (near.got, nearer.got) == ([first], [first])


async def test_what_neighbours_have_just_done_is_not_told_again(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, nearer = Reacts("near"), Reacts("nearer")
    await telling.has(near, nearer)
    await telling.happened("one.told")
    assert await telling.relay.round() == 1
    outbox = telling.relay._outbox

    async def meanwhile(limit: int) -> list[Occurred]:
        found = await unpublished(limit)
        near.let_go.set()
        nearer.let_go.set()
        while telling.relay._under_way:
            await asyncio.sleep(0)
        return found

    unpublished = outbox.unpublished
    monkeypatch.setattr(outbox, "unpublished", meanwhile)
    assert await telling.relay.round() == 0
    assert await telling.told() == ["tests._event"]


async def test_what_a_neighbour_fails_at_the_bus_gets(telling: Telling) -> None:
    near, nearer = Reacts("near"), Reacts("nearer", does=False)
    await telling.has(near, nearer)
    passing: list[str] = []

    async def heard(one: Heard) -> None:
        passing.append(one.subject)

    for subject in ("one", "tests"):
        await telling.relay._bus.hear(subject, heard)
    await telling.happened("one.told")
    await telling.relay.round()
    near.let_go.set()
    nearer.let_go.set()
    assert await telling.told() == ["tests._event", "one.told"]
    assert [one for one in passing if one != "tests._beat"] == ["tests._event"]  # it was said: not again, and late
    await telling.relay.round()
    assert (await telling.unpublished(), await telling.on_the_bus("one")) == ([], 1)


async def test_what_neither_a_neighbour_nor_the_bus_does_is_tried_again_and_told_once(telling: Telling) -> None:
    near, nearer = Reacts("near"), Reacts("nearer", does=False)
    await telling.has(near, nearer)
    await telling.client.jetstream().delete_stream("one")
    (first,) = await telling.happened("one.told")
    await telling.relay.round()
    near.let_go.set()
    nearer.let_go.set()

    async def was_refused() -> bool:
        return "one.told" in await telling.told()

    async def is_over() -> bool:
        return not telling.relay._under_way

    await until(was_refused, what="what the bus does not take")
    assert await telling.relay.round() == 0
    assert await telling.unpublished() == [first]
    nearer.does = True
    await until(is_over, what="the end of it")
    await telling.relay.round()
    assert await telling.unpublished() == []
    assert len(near.got) > 1
    assert (await telling.told()).count("tests._event") == 1


async def test_what_somebody_else_reacts_to_goes_over_the_bus(telling: Telling) -> None:
    near = Reacts("near")
    await telling.has(near)
    leave = telling.moves_in(Reacts("nearer"))
    leave()
    await telling.happened("one.told")
    await telling.relay.round()
    assert (await telling.told(), await telling.on_the_bus("one"), near.got) == (["one.told"], 1, [])


async def test_what_is_too_much_for_neighbours_the_bus_keeps(telling: Telling) -> None:
    near, nearer = Reacts("near"), Reacts("nearer")
    await telling.has(near, nearer)
    ids = await telling.happened(*["one.told"] * (BATCH + 2))
    assert await telling.relay.round() == BATCH
    assert await telling.relay.round() == 2
    assert (near.got, await telling.on_the_bus("one")) == (ids[:BATCH], 2)
    assert await telling.unpublished() == ids[:BATCH]


async def test_whoever_listens_can_count_what_is_handed_over(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bus gets in the end is not told again, and does not count."""
    near, nearer = Reacts("near"), Reacts("nearer", does=False)
    await telling.has(near, nearer)
    monkeypatch.setattr(relay_module, "BEAT_EVERY", 0.0)
    await telling.happened("one.told", "one.hinted")
    await telling.relay.round()
    near.let_go.set()
    nearer.let_go.set()
    await telling.told()
    await telling.relay.round()
    await telling.relay.round()
    assert await telling.beats() == [0, 2, 0, 0]


async def test_where_all_who_hear_it_are_here_the_bus_hears_nothing(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of what neighbours are handed; each has all that is said, in order, and can count it."""
    edge, timeline, near, nearer = Hears("edge"), Hears("timeline"), Reacts("near"), Reacts("nearer")
    await telling.is_heard_by(edge, timeline)
    telling.moves_in(near, nearer)
    monkeypatch.setattr(relay_module, "BEAT_EVERY", 0.0)
    await telling.happened("one.hinted", "one.told", "one.hinted")
    await telling.relay.round()
    near.let_go.set()
    nearer.let_go.set()
    await telling.relay.round()
    for one in (edge, timeline):
        assert one.events == ["one.hinted", "one.told", "one.hinted"]
        assert one.beats == [3, 0]
        assert isinstance(one.said[-1], Beat)
    assert (await telling.told(), await telling.beats(), await telling.on_the_bus("one")) == ([], [], 0)


async def test_what_others_react_to_the_bus_keeps_and_those_who_are_here_hear_once(telling: Telling) -> None:
    edge, timeline = Hears("edge"), Hears("timeline")
    await telling.is_heard_by(edge, timeline)
    passing: list[str] = []

    async def heard(one: Heard) -> None:
        passing.append(one.subject)

    await telling.relay._bus.hear("one", heard)
    await telling.happened("one.told")
    await telling.relay.round()
    assert (await telling.told(), await telling.on_the_bus("one")) == (["one.told"], 1)
    assert (edge.events, timeline.events, passing) == (["one.told"], ["one.told"], [])


async def test_what_the_bus_does_not_take_those_who_are_here_hear_once(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, timeline = Hears("edge"), Hears("timeline")
    for one in (edge, timeline):
        telling.audience.enter(one.name, ["tests"], one)
    monkeypatch.setattr(relay_module, "BEAT_EVERY", 0.0)
    (first,) = await telling.happened("one.told")
    for _ in range(2):
        with pytest.raises(nats.js.errors.NoStreamResponseError):
            await telling.relay.round()
    assert (edge.events, edge.beats) == (["one.told"], [])  # not before the bus has it
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.relay.round()
    assert (edge.events, edge.beats, await telling.on_the_bus("one")) == (["one.told"], [1], 1)
    await telling.database.execute("update outbox set published_at = null where id = $1", first)
    await telling.relay.round()
    assert edge.events == ["one.told", "one.told"]  # it happened again, as far as the outbox knows


async def test_who_gets_the_lease_back_says_what_still_waits(telling: Telling) -> None:
    """Somebody else may have been at it, and not have told those who are here."""
    edge, timeline = Hears("edge"), Hears("timeline")
    for one in (edge, timeline):
        telling.audience.enter(one.name, ["tests"], one)
    await telling.happened("one.told")
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await telling.relay.round()
    assert edge.events == ["one.told"]
    await telling.database.execute("update relay_lease set holder = $1, until = now() + interval '1 min'", uuid4())
    telling.relay._leased_until = 0.0
    assert await telling.relay.round() == 0
    await telling.database.execute("delete from relay_lease")
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    assert await telling.relay.round() == 1
    assert edge.events == ["one.told", "one.told"]


@pytest.mark.parametrize("missing", ["absent", "left"])
async def test_what_somebody_else_hears_is_said_on_the_bus(telling: Telling, missing: str) -> None:
    edge = Hears("edge")
    await telling.is_heard_by(edge)
    if missing == "left":
        telling.audience.enter("timeline", ["tests"], Hears("timeline"))()
    await telling.happened("one.hinted")
    await telling.relay.round()
    assert (await telling.told(), await telling.beats(), edge.said) == (["tests._event"], [1], [])


async def test_nobody_who_is_not_expected_is_told(telling: Telling) -> None:
    edge, stranger = Hears("edge"), Hears("stranger")
    await telling.is_heard_by(edge, stranger)
    await telling.happened("one.hinted")
    await telling.relay.round()
    assert (await telling.told(), edge.said, stranger.said) == (["tests._event"], [], [])


async def test_beats_come_often_for_those_who_have_seen_something(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BEAT_OFTEN", 0.0)
    await telling.listens()
    await telling.relay.round()
    await telling.relay.round()
    assert await telling.beats() == [0]
    read_again_at = time.monotonic()
    telling.relay._read_again_at = lambda: read_again_at
    await telling.relay.round()
    await telling.relay.round()
    assert await telling.beats() == [0, 0, 0]
    read_again_at -= relay_module.READ_LATELY
    await telling.relay.round()
    assert await telling.beats() == [0, 0, 0]


async def test_what_is_on_its_way_to_neighbours_ends_and_begins_again_with_the_relay(
    telling: Telling,
) -> None:
    near, nearer = Reacts("near"), Reacts("nearer")
    await telling.has(near, nearer)
    running = asyncio.create_task(telling.relay.run())
    (first,) = await telling.happened("one.told")

    async def has_begun() -> bool:
        return bool(near.got)

    await until(has_begun, what="what is handed over")
    await ended(running)
    assert (telling.relay._under_way, await telling.unpublished()) == ({}, [first])

    async def is_marked() -> bool:
        return not await telling.unpublished()

    near.let_go.set()
    nearer.let_go.set()
    running = asyncio.create_task(telling.relay.run())  # as after a fault
    await until(is_marked, what="what was under way")
    await ended(running)
    assert near.got == nearer.got == [first, first]


async def test_what_nobody_asks_for_any_more_goes_a_part_each_round(telling: Telling) -> None:
    """However much it is, beats do not wait for all of it."""
    await telling.happened(*["one.told"] * (2 * FORGOTTEN + 1), "one.kept")
    age = "update outbox set published_at = now() - make_interval(days => $1) where (event = 'one.told') = $2"
    await telling.database.execute(age, 8, True)
    await telling.database.execute(age, 6, False)
    telling.relay._forget_at = 0.0
    left = []
    for _ in range(4):
        await telling.relay.round()
        left.append(await telling.database.fetchval("select count(*) from outbox"))
    assert left == [FORGOTTEN + 2, 2, 1, 1]
    assert telling.relay._forget_at > time.monotonic()


def test_an_event_is_durable_by_what_its_body_has() -> None:
    with pytest.raises(TypeError, match=r"one.said is durable by .*'title'.*, which Said does not have"):
        Event("one.said", Said, durable=("names", "title"))


async def test_what_was_published_is_found_by_its_index(telling: Telling) -> None:
    """Else each comparison would read a week's record."""
    await telling.database.execute("set enable_seqscan = off; set enable_bitmapscan = off")
    await telling.database.execute("set plan_cache_mode = force_generic_plan")
    await telling.database.execute(f"prepare last as {LAST_PUBLISHED}")
    await telling.database.execute(f"prepare between_two as {PUBLISHED_BETWEEN}")
    nobody = "'00000000-0000-0000-0000-000000000000'"
    last, between = [
        "\n".join(row[0] for row in await telling.database.fetch(f"explain execute {asked}"))
        for asked in ("last('1 minute')", f"between_two('{{a}}', now(), {nobody}, now(), {nobody}, 10)")
    ]
    for plan in (last, between):
        assert "using outbox_published" in plan
        assert "Sort" not in plan
    assert "Index Cond: ((ROW(published_at, id) >" in between
