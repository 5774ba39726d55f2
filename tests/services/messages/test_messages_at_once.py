"""A post in one statement, and what sends it the long way."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from tests.services.messages.neighbourhood import Neighbourhood, Person, refusal
from tests.services.messages.writing import events_of, holding_fence, request_of, set_fence, writers
from tidings.contracts import messages as contract
from tidings.contracts.messages import MessageChanged, MessageId
from tidings.platform.clock import now_ms
from tidings.platform.contract import Busy, Reply, Unauthenticated
from tidings.platform.ids import bucket_of, ms_of, uuid7
from tidings.platform.occurrence import Occurred
from tidings.platform.storage.followers import on_announced
from tidings.platform.storage.handle import Saying
from tidings.platform.storage.outbox import occurred
from tidings.services.messages import present
from tidings.services.messages.store.port import Document

SOON = 0.2  # seconds; less than a writer waits for a row

pytestmark = pytest.mark.parametrize("mongod_or_none", ["postgres"], indirect=True)


def said_by(author: Person, ms: int, text: str = "hello") -> Document:
    return Document(
        id=MessageId(uuid7(ms, rand_a=bucket_of(author.id))),
        author_id=author.id,
        text=text,
        media=[],
        place=None,
        mentions=[],
        tags=[],
        audience="friends",
        only=[],
    )


def later() -> int:
    """A millisecond in which nothing was said yet: two posts may be made within one."""
    return now_ms() + 1


async def at_once(town: Neighbourhood, document: Document) -> bool:
    body = MessageChanged(message_id=document.id, author_id=document.author_id, version=0)
    row = present.latest_row(document.author_id, [document])
    answer = Reply(present.message(document, with_place=True), version=1)
    with request_of(document.author_id):
        written: bool = await town.store.post_at_once(
            document, row, kept=present.KEPT, body=body, tells=(), route=contract.post, answer=answer
        )
    return written


async def fence_of(town: Neighbourhood, author: Person) -> tuple[Any, ...]:
    query = "SELECT state, version, last_ms FROM subject_fence WHERE user_id = $1"
    return tuple(await writers(town).fetchrow(query, author.id) or ())


async def test_it_is_all_there_with_its_event_and_its_version(town: Neighbourhood) -> None:
    alice = town.somebody()
    await alice.posts("the first makes the fence")
    document = said_by(alice, later(), "at once")
    assert await at_once(town, document)
    assert await fence_of(town, alice) == ("live", 2, document.created_ms)
    assert [one.newest_id for one in (await alice.latest([alice])).authors] == [document.id]
    assert (await alice.reads(document.id)).message.text == "at once"
    name, version, body = (await events_of(town, alice.id))[-1]
    assert (name, version) == ("messages.posted", 2)
    assert '"version": 2' in body and str(document.id) in body


@pytest.mark.parametrize("way", ["no fence", "held", "deleted", "later id"])
async def test_what_stands_in_its_way_leaves_nothing_behind(town: Neighbourhood, way: str) -> None:
    alice = town.somebody()
    document = said_by(alice, now_ms())
    if way != "no fence":
        await set_fence(
            town,
            alice.id,
            "deleted" if way == "deleted" else "live",
            last_ms=document.created_ms if way == "later id" else 0,
        )
    before = await fence_of(town, alice)
    if way == "held":
        async with holding_fence(town, alice.id):
            async with asyncio.timeout(SOON):
                assert not await at_once(town, document)  # nobody is waited for
    else:
        assert not await at_once(town, document)
    assert await fence_of(town, alice) == before
    assert await events_of(town, alice.id) == []
    assert await town.store.by_ids([document.id]) == {}
    assert await town.store.latest([alice.id], bodies=1) == {}


async def test_the_long_way_says_why_not(town: Neighbourhood) -> None:
    gone, other = town.people(2)
    await set_fence(town, gone.id, "deleted")
    assert isinstance(await refusal(gone.posts()), Unauthenticated)
    await set_fence(town, other.id, "live", last_ms=now_ms() + 50)
    said = await other.posts()  # ids of one author only rise, whatever the clock says
    assert ms_of(said.id) > now_ms() - 1000
    assert (await fence_of(town, other))[2] == ms_of(said.id)


async def test_posts_at_the_same_time_have_each_a_version_and_a_place(town: Neighbourhood) -> None:
    alice = town.somebody()
    await alice.posts("0")
    outcomes = await asyncio.gather(*(alice.posts(str(number)) for number in range(1, 13)), return_exceptions=True)
    said = [one for one in outcomes if not isinstance(one, BaseException)]
    assert all(isinstance(one, Busy) for one in outcomes if isinstance(one, BaseException))
    assert [version for _, version, _ in await events_of(town, alice.id)] == list(range(1, len(said) + 2))
    newest = sorted((one.id for one in said), reverse=True)[: present.KEPT]
    [row] = (await town.store.latest([alice.id], bodies=present.KEPT)).values()
    assert [head.id for head in row.heads] == newest
    assert not row.complete


async def test_the_same_key_at_the_same_time_is_one_message(town: Neighbourhood) -> None:
    alice = town.somebody()
    await alice.posts()
    key = uuid4().hex
    outcomes = await asyncio.gather(*(alice.posts("once", key=key) for _ in range(6)), return_exceptions=True)
    told = {one.id for one in outcomes if not isinstance(one, BaseException)}
    assert len(told) == 1
    assert {(await alice.posts("once", key=key)).id} == told
    assert len(await events_of(town, alice.id)) == 2


async def test_a_key_that_was_used_before_brings_the_first_answer(town: Neighbourhood) -> None:
    alice = town.somebody()
    await alice.posts()
    key = uuid4().hex
    first = await alice.posts("once", key=key)
    rows = await writers(town).fetch("SELECT status FROM idempotency WHERE key = $1", key)
    assert [row[0] for row in rows] == [201]
    assert await alice.posts("once", key=key) == first
    assert [version for _, version, _ in await events_of(town, alice.id)] == [1, 2]


async def test_what_takes_away_is_not_written_so(town: Neighbourhood) -> None:
    alice = town.somebody()
    said = Saying()
    body = MessageChanged(message_id=MessageId(uuid4()), author_id=alice.id, version=0)
    said.announce(contract.withdrawn, subject=alice.id, version=0, body=body)
    with request_of(alice.id), pytest.raises(RuntimeError, match="is written by `write`"):
        await town.store._database.at_once("", subject=alice.id, minted_ms=1, said=said)


async def test_a_statement_whose_answer_is_lost_wakes_the_relay(
    town: Neighbourhood, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been committed: what it announced must not wait for the relay's next look."""
    from tidings.platform.storage import postgres

    woken: list[str] = []
    monkeypatch.setattr(postgres, "wake_relay", woken.append)

    class Lost:
        async def fetchval(self, *_: Any) -> None:
            raise asyncpg.ConnectionDoesNotExistError("gone")

    monkeypatch.setattr(town.store._database, "writers", Lost())
    alice = town.somebody()
    refused = await refusal(at_once(town, said_by(alice, now_ms())))
    assert refused.service == "messages"
    assert woken == [town.store._database._dsn]


async def test_what_the_relay_is_handed_is_what_the_outbox_has(town: Neighbourhood) -> None:
    handed: list[Occurred] = []
    alice = town.somebody()
    await alice.posts("the first makes the fence")
    stop = on_announced(town.store._database._dsn, handed.extend)
    try:
        assert await at_once(town, said_by(alice, later()))
    finally:
        stop()
    rows = await town.store._database.fetch(
        "select id, event, subject, version, body::text as body, trace from outbox where subject = $1", alice.id
    )

    def told(one: Occurred) -> tuple[object, ...]:
        return one.id, one.event, one.subject, one.version, one.trace, msgspec.json.decode(one.body)

    [one] = handed
    assert told(one) in [told(occurred(row)) for row in rows]
    assert one.version == msgspec.json.decode(one.body)["version"] == 2
