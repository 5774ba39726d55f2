"""A picture while others act on it: deleted or collected on its way, left at work, claimed in any order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec import structs

from tests.harness.people import Person
from tests.harness.pictures import picture
from tests.harness.system import Whole
from tests.harness.waiting import until
from tidings.contracts.media import NotAPicture
from tidings.contracts.messages import MediaId, MessageChanged, MessageId
from tidings.contracts.users import UserChanged, UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import Unavailable
from tidings.platform.ids import uuid7
from tidings.platform.request import Request, Viewer, answering, reacting
from tidings.services.media.actions import upkeep, using
from tidings.services.media.holder import Media
from tidings.services.media.store import postgres as store
from tidings.services.media.store.postgres import PostgresMedia

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)
PART = 524_288
PAUSE = 5731


@pytest.fixture
async def database(tidings: Whole) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    opened = await asyncpg.connect(tidings.system.installation.dsns["media"])
    yield opened
    await opened.close()


def media(tidings: Whole) -> Media:
    assert tidings.system.process is not None
    held: Media = tidings.system.process.servings["media"].holder
    return held


@contextmanager
def asked() -> Iterator[None]:
    with answering(Request(Viewer(role="operator"), caller="media", deadline=time.monotonic() + 30)):
        yield


async def look(tidings: Whole) -> None:
    with asked():
        await upkeep.look(media(tidings))
    await asyncio.gather(*media(tidings).developing.values(), return_exceptions=True)


def folder(tidings: Whole, media_id: object) -> Path:
    return tidings.settings.data / "blobs" / "media" / str(media_id)


async def gone(tidings: Whole, media_id: object) -> None:
    """Nothing of it is left, or will be in a moment: the service looks by itself, too."""

    async def nothing() -> bool:
        return not [one for one in folder(tidings, media_id).rglob("*") if one.is_file()]

    await until(nothing, what="the deletion of its files")


async def overdue(database: Any, media_id: object) -> None:
    await database.execute(
        "update media set held_until = now() - interval '1 s' where id = $1", UUID(str(media_id))
    )


class Slow:
    """A file of two and a half parts that stops after the first two."""

    def __init__(self) -> None:
        self.sent, self.goes_on = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + bytes(2 * PART)
        self.sent.set()
        await self.goes_on.wait()
        yield bytes(PART // 2) + b"\r\n--b--\r\n"


async def begun(tidings: Whole, database: Any, owner: Person) -> tuple[MediaId, Slow, asyncio.Task[Any]]:
    """An upload that is half there."""
    slow = Slow()
    headers = {"content-type": "multipart/form-data; boundary=b"}
    sending = asyncio.create_task(owner.ask("POST", "/v1/media", data=slow.__aiter__(), headers=headers))
    await slow.sent.wait()

    async def found() -> Any:
        row = await database.fetchrow("select id from media where owner_id = $1", UUID(owner.id))
        return row and (folder(tidings, row[0]) / "parts" / "00001").exists() and row

    row = await until(found)
    return MediaId(row[0]), slow, sending


async def test_deleted_while_it_is_uploaded(tidings: Whole, database: Any) -> None:
    alice = await tidings.joins("Alice")
    media_id, slow, sending = await begun(tidings, database, alice)
    assert (await alice.delete(f"/v1/media/{media_id}")).status == 204
    slow.goes_on.set()
    answer = await sending
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    await look(tidings)
    await gone(tidings, media_id)


async def test_collected_while_it_is_uploaded(tidings: Whole, database: Any) -> None:
    alice = await tidings.joins("Alice")
    media_id, slow, sending = await begun(tidings, database, alice)
    await look(tidings)
    assert (folder(tidings, media_id) / "parts" / "00001").exists()  # it is held for as long as parts come

    async def collected() -> bool:
        # Again and again: the part that came last holds it anew when it is on the disk.
        await overdue(database, media_id)
        await look(tidings)
        return await database.fetchval("select state from media where id = $1", media_id) == "leaving"

    await until(collected)
    await gone(tidings, media_id)
    slow.goes_on.set()
    assert (await sending).status == 404
    await gone(tidings, media_id)


async def test_a_part_that_comes_after_the_deletion_is_taken_back(tidings: Whole, database: Any) -> None:
    alice, svc = await tidings.joins("Alice"), media(tidings)
    media_id, slow, sending = await begun(tidings, database, alice)
    put = svc.pictures.put_part

    async def late(media_id_: MediaId, number: int, content: bytes) -> None:
        assert (await alice.delete(f"/v1/media/{media_id}")).status == 204
        await look(tidings)
        await put(media_id_, number, content)

    svc.pictures.put_part = late  # type: ignore[method-assign]
    try:
        slow.goes_on.set()
        assert (await sending).status == 404
    finally:
        svc.pictures.put_part = put  # type: ignore[method-assign]
    await gone(tidings, media_id)


class Failing:
    """A darkroom in which something happens for so many times, and then nothing."""

    def __init__(self, darkroom: Any, error: Exception, times: int) -> None:
        self._darkroom, self._error, self._left = darkroom, error, times

    async def develop(self, source: Path, into: Path) -> Any:
        self._left -= 1
        if self._left >= 0:
            raise self._error
        return await self._darkroom.develop(source, into)


@contextmanager
def failing(tidings: Whole, error: Exception, *, times: int) -> Iterator[None]:
    svc = media(tidings)
    before = svc.darkroom
    svc.darkroom = Failing(before, error, times)  # type: ignore[assignment]
    try:
        yield
    finally:
        svc.darkroom = before


async def test_what_was_left_at_work_is_taken_over(tidings: Whole, database: Any) -> None:
    alice = await tidings.joins("Alice")
    with failing(tidings, Unavailable("the bucket is away", service="media"), times=1):
        answer = await alice.sends(picture(), alt="still here")
    assert (answer.status, answer.body["state"]) == (202, "processing")
    (row,) = await database.fetch("select id, state, parts from media where owner_id = $1", UUID(alice.id))
    assert (row["state"], row["parts"]) == ("processing", 1)
    assert (await alice.get(f"/v1/media/{row['id']}")).ok()["state"] == "processing"
    await look(tidings)
    assert (await alice.get(f"/v1/media/{row['id']}")).ok()["state"] == "processing"  # its time is not over
    await overdue(database, row["id"])
    await look(tidings)
    assert (await alice.get(f"/v1/media/{row['id']}")).ok()["state"] == "ready"
    assert (await alice.get(f"/v1/media/{row['id']}/full")).status == 200
    assert not (folder(tidings, row["id"]) / "parts").exists()


async def test_what_fails_again_and_again_is_refused(tidings: Whole, database: Any) -> None:
    alice = await tidings.joins("Alice")
    with failing(tidings, RuntimeError("a fault of ours"), times=20):
        assert (await alice.sends(picture())).status == 500
        (row,) = await database.fetch("select id from media where owner_id = $1", UUID(alice.id))
        for _ in range(upkeep.MOST_TRIES):
            await overdue(database, row["id"])
            await look(tidings)
    told = (await alice.get(f"/v1/media/{row['id']}")).ok()
    assert (told["state"], told["problem"]) == ("refused", "This picture could not be read.")
    await look(tidings)
    await gone(tidings, row["id"])


async def test_what_is_refused_leaves_nothing_and_is_told_of_for_an_hour(tidings: Whole, database: Any) -> None:
    alice = await tidings.joins("Alice")
    answer = await alice.sends(b"none of it", name="x.png")
    assert (answer.status, answer.body["code"]) == (415, "not_a_picture")
    (row,) = await database.fetch("select id, state, problem from media where owner_id = $1", UUID(alice.id))
    assert row["state"] == "refused" and row["problem"] == answer.body["detail"]
    await gone(tidings, row["id"])
    await overdue(database, row["id"])
    await look(tidings)
    assert (await alice.get(f"/v1/media/{row['id']}")).status == 404


async def test_nobody_collects_what_is_held_and_everybody_what_was_never_used(
    tidings: Whole, database: Any
) -> None:
    alice = await tidings.joins("Alice")
    held, unused = await alice.uploads(), await alice.uploads()
    for media_id in (held, unused):
        await overdue(database, media_id)
    with answering(Request(Viewer(UUID(alice.id), "member"), caller="messages", deadline=time.monotonic() + 9)):
        found = await media(tidings).store.own(UserId(UUID(alice.id)), [MediaId(UUID(held))])
        assert len(found) == 1
        await using.hold(media(tidings), Viewer(UUID(alice.id), "member"), own(held))
    # What the other service says shortens it in nothing, however late this one's word comes.
    with asked():
        body = UserChanged(user_id=UserId(UUID(alice.id)), version=99, avatar=UUID(held))
        await using.wear(media(tidings), body)
        await using.wear(media(tidings), structs.replace(body, version=100, avatar=None))
    assert await database.fetchval(
        "select posting_until > now() + interval '6 days' from media where id = $1", UUID(held)
    )
    await look(tidings)
    assert (await alice.get(f"/v1/media/{held}")).status == 200
    assert (await alice.get(f"/v1/media/{unused}")).status == 404
    assert folder(tidings, held).exists()
    await gone(tidings, unused)


def own(*ids: str) -> Any:
    from tidings.contracts.media import OwnMedia

    return OwnMedia(ids=[MediaId(UUID(one)) for one in ids])


async def test_nothing_is_collected_while_an_event_is_set_aside(tidings: Whole, database: Any) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    event_id = uuid4()
    await database.execute(
        "insert into dead_letters (event_id, producer, event, subject, version, body, error, attempts)"
        " values ($1, 'messages', 'messages.posted', $2, 1, '{}', 'no', 8)",
        event_id,
        uuid4(),
    )
    try:
        await overdue(database, media_id)
        await look(tidings)
        assert (await alice.get(f"/v1/media/{media_id}")).status == 200
    finally:
        await database.execute("delete from dead_letters where event_id = $1", event_id)
    await look(tidings)
    assert (await alice.get(f"/v1/media/{media_id}")).status == 404


@pytest.mark.parametrize("first", ["show", "unshow"])
async def test_a_message_and_its_end_may_be_heard_of_in_any_order(
    tidings: Whole, database: Any, first: str
) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    body = MessageChanged(
        message_id=MessageId(uuid7(now_ms())),
        author_id=UserId(UUID(alice.id)),
        version=1,
        media=[MediaId(UUID(media_id))],
    )
    steps = [using.show, using.unshow] if first == "show" else [using.unshow, using.show]
    for step in (*steps, using.show):
        with asked(), reacting(uuid4()):
            await step(media(tidings), body)
    assert not (await alice.get(f"/v1/media/{media_id}")).ok()["used"]
    assert await database.fetchval("select count(*) from shown_by where media_id = $1", UUID(media_id)) == 0


async def test_what_began_before_a_message_was_withdrawn_shows_nothing(
    tidings: Whole, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one statement: what it sees is from before the withdrawal, and the fence it holds from after."""
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    body = shows(alice, media_id)
    pause = f"WHERE (SELECT true FROM pg_advisory_xact_lock({PAUSE})) AND user_id"
    pausing = store._SHOW_AT_ONCE.replace("WHERE user_id", pause, 1)
    assert pausing != store._SHOW_AT_ONCE
    monkeypatch.setattr(store, "_SHOW_AT_ONCE", pausing)
    event = uuid4()

    async def show() -> None:
        with asked(), reacting(event):
            await using.show(media(tidings), body)

    await database.execute("select pg_advisory_lock($1)", PAUSE)
    showing = asyncio.create_task(show())
    await until(lambda: pausing_there(database))
    with asked(), reacting(uuid4()):
        await using.unshow(media(tidings), body)
    assert await pausing_there(database)
    await database.execute("select pg_advisory_unlock($1)", PAUSE)
    await showing
    assert not (await alice.get(f"/v1/media/{media_id}")).ok()["used"]
    assert await database.fetchval("select count(*) from shown_by where media_id = $1", UUID(media_id)) == 0
    assert await is_taken(database, event)


async def pausing_there(database: Any) -> bool:
    query = "select count(*) from pg_locks where locktype = 'advisory' and objid = $1 and not granted"
    return bool(await database.fetchval(query, PAUSE))


async def is_taken(database: Any, event: UUID) -> bool:
    return bool(await database.fetch("select from inbox where event_id = $1", event))


def shows(author: Person, media_id: str) -> MessageChanged:
    message_id = MessageId(uuid7(now_ms()))
    person, shown = UserId(UUID(author.id)), MediaId(UUID(media_id))
    return MessageChanged(message_id=message_id, author_id=person, version=1, media=[shown])


@pytest.mark.parametrize("way", ["none", "held", "deleted", "missing", "taken"])
async def test_a_message_shows_its_pictures_in_one_statement_if_nothing_stands_in_its_way(
    tidings: Whole, database: Any, way: str
) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    body, event, author = shows(alice, media_id), uuid4(), UUID(alice.id)

    async def at_once() -> bool:
        with asked(), reacting(event):
            return await media(tidings).store.show_at_once(body.message_id, body.media, UserId(author))

    if way == "taken":
        await database.execute("insert into inbox (event_id) values ($1)", event)
    change = database.transaction()
    await change.start()
    if way == "held":
        await database.execute("select from subject_fence where user_id = $1 for share", author)
        async with asyncio.timeout(1):  # nobody is waited for
            assert not await at_once()
    await change.rollback()
    if way == "deleted":
        await database.execute("update subject_fence set state = 'deleted' where user_id = $1", author)
    if way == "missing":
        await database.execute("delete from subject_fence where user_id = $1", author)
    if way != "held":
        assert await at_once() == (way == "none")
    if way == "deleted":
        await database.execute("update subject_fence set state = 'live' where user_id = $1", author)
    assert (await alice.get(f"/v1/media/{media_id}")).ok()["used"] == (way == "none")
    shown = await database.fetch("select message_id from shown_by where media_id = $1", UUID(media_id))
    assert [row[0] for row in shown] == ([body.message_id] if way == "none" else [])
    assert await is_taken(database, event) == (way in {"none", "taken"})


async def test_a_claim_of_anothers_picture_claims_nothing(tidings: Whole, database: Any) -> None:
    alice, mallory = await tidings.joins("Alice"), await tidings.joins("Mallory")
    media_id = await alice.uploads()
    message_id = MessageId(uuid7(now_ms()))
    author = UserId(UUID(mallory.id))
    with asked(), reacting(uuid4()):
        await using.show(
            media(tidings),
            MessageChanged(message_id=message_id, author_id=author, version=1, media=[MediaId(UUID(media_id))]),
        )
    assert not (await alice.get(f"/v1/media/{media_id}")).ok()["used"]


async def test_a_hold_and_the_collector_never_both_win(tidings: Whole, database: Any) -> None:
    """Row by row: whoever has the lock first decides, and the other sees it."""
    alice, store = await tidings.joins("Alice"), media(tidings).store
    assert isinstance(store, PostgresMedia)
    owner = UserId(UUID(alice.id))
    both = held_alone = left_alone = 0
    for _ in range(60):
        media_id = MediaId(uuid7(now_ms()))
        await database.execute(
            "insert into media (id, owner_id, state, held_until) values ($1, $2, 'ready', now() - interval '1 s')",
            media_id,
            owner,
        )

        async def hold(wanted: MediaId = media_id) -> bool:
            with asked():
                return bool(await store.hold([wanted], owner, seconds=60, to_wear=False))

        async def collect(wanted: MediaId = media_id) -> bool:
            with asked():
                async with store.write() as write:
                    return wanted in await write.leave_unused(100)

        held, left = await asyncio.gather(hold(), collect())
        both += held and left
        held_alone += held and not left
        left_alone += left and not held
        state = await database.fetchval("select state from media where id = $1", media_id)
        assert state == ("leaving" if left else "ready")
    assert not both
    assert held_alone + left_alone == 60


async def test_refusals_of_a_darkroom_reach_the_person(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    with failing(tidings, NotAPicture("This is a letter."), times=1):
        answer = await alice.sends(picture())
    assert (answer.status, answer.body["detail"]) == (415, "This is a letter.")
