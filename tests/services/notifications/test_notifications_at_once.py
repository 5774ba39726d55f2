"""What a message means to people, in one statement, and what sends it the long way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from tests.harness.lone import OPERATOR, in_process
from tests.services.notifications.happenings import Happenings
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.contract import Unavailable
from tidings.platform.occurrence import Occurred
from tidings.platform.request import Request, answering, reacting
from tidings.platform.storage import postgres
from tidings.platform.storage.followers import on_announced
from tidings.platform.storage.outbox import occurred
from tidings.services.notifications import rules
from tidings.services.notifications.shapes import Effect
from tidings.services.notifications.store.postgres import PostgresNotifications

SOON = 0.2  # seconds; less than a writer waits for a row

pytestmark = in_process  # of the store, which the contract does not show


class Telling:
    """The store, one who says something, and two whom it concerns."""

    def __init__(self, happenings: Happenings) -> None:
        store = happenings.lone.holder.store
        assert isinstance(store, PostgresNotifications)
        self.store = store
        self.author, *self.told = sorted(happenings.person() for _ in range(3))
        self.message = happenings.message()

    @property
    def people(self) -> list[UserId]:
        return [self.author, *self.told]

    @property
    def effects(self) -> list[Effect]:
        message = self.message
        return [Effect(one, "mention", self.author, message, message, 7, stands=True) for one in self.told]

    def about(self, message: MessageId) -> Telling:
        """The same people, and another message."""
        other = copy(self)
        other.message = message
        return other

    async def at_once(self, event: UUID, *, message: MessageId | None = None) -> bool:
        request = Request(OPERATOR, caller="messages", deadline=time.monotonic() + 5)
        with answering(request), reacting(event):
            return await self.store.tell_at_once(
                self.effects, message or self.message, 7, fenced=rules.people_in(self.effects)
            )

    async def rows(self, query: str, *values: Any) -> list[asyncpg.Record]:
        return await self.store._database.writers.fetch(query, *values)

    async def fences(self, *people: UserId, state: str = "live") -> None:
        await self.rows("insert into subject_fence (user_id, state) select unnest($1::uuid[]), $2", people, state)

    async def versions(self) -> list[int]:
        query = "select version from subject_fence where user_id = any($1) order by user_id"
        return [row[0] for row in await self.rows(query, self.people)]

    async def stands(self) -> list[UserId]:
        query = "select user_id from notifications where target = $1 and stands order by user_id"
        return [row[0] for row in await self.rows(query, self.message)]

    async def said(self) -> list[Occurred]:
        query = (
            "select id, event, subject, version, body::text as body, trace from outbox"
            " where subject = any($1::uuid[]) order by subject, version"
        )
        return [occurred(row) for row in await self.rows(query, self.people)]

    async def is_taken(self, event: UUID) -> bool:
        return bool(await self.rows("select from inbox where event_id = $1", event))

    @asynccontextmanager
    async def held(self, person: UserId) -> AsyncIterator[None]:
        """By another writer."""
        async with self.store._database.writers.acquire() as connection, connection.transaction():
            await connection.execute("select from subject_fence where user_id = $1 for share", person)
            yield


@pytest.fixture
def telling(happenings: Happenings) -> Telling:
    return Telling(happenings)


def plainly(one: Occurred) -> tuple[object, ...]:
    return one.id, one.event, one.subject, one.version, one.trace, msgspec.json.decode(one.body)


async def test_it_is_all_there_with_its_event_and_what_it_says(telling: Telling) -> None:
    event, handed = uuid4(), list[Occurred]()
    await telling.fences(*telling.people)
    stop = on_announced(telling.store._database._dsn, handed.extend)
    try:
        assert await telling.at_once(event)
    finally:
        stop()
    assert await telling.is_taken(event)
    assert await telling.stands() == telling.told
    assert await telling.versions() == [0, 1, 1]
    said = await telling.said()
    assert [(one.event, one.subject, one.version) for one in said] == [
        ("notifications.changed", one, 1) for one in telling.told
    ]
    assert msgspec.json.decode(said[0].body) == {"user_id": str(telling.told[0]), "version": 1}
    assert sorted(map(plainly, handed), key=str) == sorted(map(plainly, said), key=str)


@pytest.mark.parametrize("way", ["no fence", "author held", "one of them held", "author deleted", "one deleted"])
async def test_what_stands_in_its_way_leaves_nothing_behind(telling: Telling, way: str) -> None:
    event, (author, one, other) = uuid4(), telling.people
    whose = author if way.startswith("author") else other
    await telling.fences(author, one)
    if way != "no fence":
        gone = whose if "deleted" in way else None
        await telling.rows("delete from subject_fence where user_id = any($1)", [gone] if gone else [])
        await telling.fences(*([other] if gone != other else []))
        await telling.fences(*([gone] if gone else []), state="deleted")
    before = await telling.versions()
    if "held" in way:
        async with telling.held(whose), asyncio.timeout(SOON):
            assert not await telling.at_once(event)  # nobody is waited for
    else:
        assert not await telling.at_once(event)
    assert (await telling.versions(), await telling.stands(), await telling.said()) == (before, [], [])
    assert not await telling.is_taken(event)


async def test_an_event_that_was_taken_says_nothing_again(telling: Telling) -> None:
    event = uuid4()
    await telling.fences(*telling.people)
    assert await telling.at_once(event)
    before = (await telling.versions(), len(await telling.said()))
    telling.message = MessageId(uuid4())
    assert not await telling.at_once(event)
    assert ((await telling.versions(), len(await telling.said())), await telling.stands()) == (before, [])


async def test_where_a_later_state_came_first_the_event_is_taken_alone(telling: Telling) -> None:
    event = uuid4()
    await telling.fences(*telling.people)
    await telling.rows("insert into message_versions (message_id, version) values ($1, 8)", telling.message)
    assert await telling.at_once(event)
    assert await telling.is_taken(event)
    assert (await telling.versions(), await telling.stands(), await telling.said()) == ([0, 0, 0], [], [])


async def test_who_knows_it_in_a_newer_state_hears_nothing_and_the_others_do(telling: Telling) -> None:
    await telling.fences(*telling.people)
    assert await telling.at_once(uuid4())
    (first, _) = telling.told
    await telling.rows("update notifications set version = 6 where user_id = $1", first)
    assert await telling.at_once(uuid4(), message=MessageId(uuid4()))
    assert await telling.versions() == [0, 2, 1]
    assert [(one.subject, one.version) for one in await telling.said()] == sorted(
        [(first, 1), (first, 2), (telling.told[1], 1)]
    )


async def test_the_same_event_at_the_same_time_takes_effect_once(telling: Telling) -> None:
    event = uuid4()
    await telling.fences(*telling.people)
    outcomes = await asyncio.gather(*(telling.at_once(event) for _ in range(6)))
    assert sum(outcomes) == 1
    assert await telling.versions() == [0, 1, 1]


async def test_events_at_the_same_time_have_each_a_version(telling: Telling) -> None:
    await telling.fences(*telling.people)
    taken = 0
    for _ in range(10):
        messages = [MessageId(uuid4()) for _ in range(3)]
        outcomes = await asyncio.gather(*(other.at_once(uuid4()) for other in map(telling.about, messages)))
        taken += sum(outcomes)
    assert taken >= 10
    assert await telling.versions() == [0, taken, taken]
    expected = [(one, version) for one in telling.told for version in range(1, taken + 1)]
    assert [(one.subject, one.version) for one in await telling.said()] == expected


async def test_whoever_takes_the_same_event_is_waited_for_but_not_for_long(telling: Telling) -> None:
    event = uuid4()
    await telling.fences(*telling.people)
    async with telling.store._database.writers.acquire() as connection, connection.transaction():
        await connection.execute("insert into inbox (event_id) values ($1)", event)
        assert not await telling.at_once(event)
    assert (await telling.versions(), await telling.stands()) == ([0, 0, 0], [])


async def test_a_statement_whose_answer_is_lost_wakes_the_relay(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been committed: what it announced must not wait for the relay's next look."""
    woken: list[str] = []

    class Lost:
        async def fetch(self, *_: Any) -> Sequence[asyncpg.Record]:
            raise asyncpg.ConnectionDoesNotExistError("gone")

    monkeypatch.setattr(postgres, "wake_relay", woken.append)
    monkeypatch.setattr(telling.store._database, "writers", Lost())
    with pytest.raises(Unavailable):
        await telling.at_once(uuid4())
    assert woken == [telling.store._database._dsn]


async def test_without_an_event_nothing_is_written_so(telling: Telling) -> None:
    with pytest.raises(RuntimeError, match="is written by `write`"):
        await telling.store.tell_at_once(telling.effects, telling.message, 7, fenced=telling.people)
