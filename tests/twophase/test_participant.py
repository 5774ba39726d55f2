"""A participant, on each engine: duplicates, any order, and the traps of prepared transactions."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.twophase.branches import Branches, MongoBranches, PostgresBranches, on_mongodb, on_postgres
from tidings.platform.contract import Busy
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.storage.mongo import MongoWrite
from tidings.platform.storage.postgres import Write
from tidings.platform.twophase.participant import OrphanSweep
from tidings.platform.twophase.transaction import new_gid

of_postgres = pytest.mark.parametrize("mongod_or_none", ["postgres"], indirect=True)
of_mongodb = pytest.mark.parametrize("mongod_or_none", ["mongodb"], indirect=True)


@pytest.fixture(params=["postgres", "mongodb"])
def mongod_or_none(request: pytest.FixtureRequest) -> EmbeddedMongod | None:
    return request.getfixturevalue("mongod") if request.param == "mongodb" else None


@pytest.fixture
async def branches(postgres: EmbeddedPostgres, mongod_or_none: EmbeddedMongod | None) -> AsyncIterator[Branches]:
    one: Branches
    if mongod_or_none is None:
        async with PostgresBranches.opened(await on_postgres(postgres)) as one:
            yield one
            assert await one.prepared() == 0
        return
    async with MongoBranches.opened(await on_mongodb(mongod_or_none)) as one:
        yield one
        assert await one.prepared() == 0


async def test_duplicates_and_late_messages_have_no_effect(branches: Branches) -> None:
    gid, subject, one = new_gid(), uuid4(), branches.participant
    assert await one.branch(gid) == "absent"
    assert await one.prepare(gid, subject)
    assert await one.prepare(gid, subject)
    assert (await one.branch(gid), await branches.prepared()) == ("prepared", 1)
    assert await branches.fence(subject) in (None, ("deleting", 0))
    assert await one.commit(gid, subject) == "committed"
    assert await branches.fence(subject) == ("deleted", 1)
    for _ in range(2):
        assert await one.commit(gid, subject) == "committed"
        assert await one.prepare(gid, subject)  # it was kept, long ago
    assert (await branches.prepared(), await branches.fence(subject)) == (0, ("deleted", 1))
    assert await one.abort(gid, subject) == "committed"  # damage, if it was ever decided so


async def test_prepares_that_meet_make_one_branch(branches: Branches) -> None:
    gid, subject = new_gid(), uuid4()
    votes = await asyncio.gather(*(branches.participant.prepare(gid, subject) for _ in range(3)))
    assert votes == [True, True, True]
    assert await branches.prepared() == 1
    assert await branches.participant.abort(gid, subject) == "aborted"
    assert await branches.fence(subject) in (None, ("live", 0))


async def test_after_an_abort_no_prepare_takes_a_lock(branches: Branches) -> None:
    gid, subject, one = new_gid(), uuid4(), branches.participant
    assert await one.abort(gid, subject) == "aborted"
    assert await one.abort(gid, subject) == "aborted"
    async with branches.writing(subject):
        began = time.monotonic()
        assert not await one.prepare(gid, subject)
        assert time.monotonic() - began < 0.9  # it has waited for nothing
    assert await one.commit(gid, subject) == "aborted"


@of_postgres
async def test_an_abort_waits_for_a_branch_that_is_open(branches: Branches) -> None:
    gid, subject, opened, go = new_gid(), uuid4(), asyncio.Event(), asyncio.Event()

    async def slow(write: Write, of: UUID, version: int) -> None:
        opened.set()
        await go.wait()

    branches.doing = slow
    preparing = asyncio.create_task(branches.participant.prepare(gid, subject))
    await opened.wait()
    aborting = asyncio.create_task(branches.participant.abort(gid, subject))
    await asyncio.sleep(0.1)
    assert not aborting.done()
    go.set()
    await preparing  # its vote comes too late, whatever it is
    assert await aborting == "aborted"
    assert (await branches.participant.branch(gid), await branches.prepared()) == ("aborted", 0)


async def test_a_writer_who_came_first_is_never_overtaken(branches: Branches) -> None:
    """Also where nobody has written to or as that person yet: a lock on a row that is not there locks nothing."""
    gid, subject = new_gid(), uuid4()
    async with branches.writing(subject):
        voted = await branches.participant.prepare(gid, subject)
        assert not voted, "the branch was prepared past a writer who holds the fence"
    assert await branches.participant.prepare(gid, subject)
    assert await branches.participant.abort(gid, subject) == "aborted"


@of_postgres
async def test_a_branch_that_stalls_is_ended_by_the_database(branches: PostgresBranches) -> None:
    subject, never = uuid4(), asyncio.Event()

    async def stalls(write: Write, of: UUID, version: int) -> None:
        await never.wait()

    branches.doing = stalls
    preparing = asyncio.create_task(branches.participant.prepare(new_gid(), subject))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await branches.database.execute("insert into subject_fence (user_id) values ($1)", subject)
    assert time.monotonic() - began < 6
    preparing.cancel()
    await asyncio.gather(preparing, return_exceptions=True)


@of_postgres
async def test_a_failed_transaction_is_no_promise(branches: PostgresBranches) -> None:
    """PREPARE answers ROLLBACK there, without an error: only the tag tells."""

    async def hides_an_error(write: Write, subject: UUID, version: int) -> None:
        with suppress(asyncpg.DivisionByZeroError):
            await write.connection.execute("select 1 / 0")

    branches.doing = hides_an_error
    gid = new_gid()
    assert not await branches.participant.prepare(gid, uuid4())
    assert await branches.participant.branch(gid) == "absent"


@of_postgres
async def test_a_notification_is_no_promise(branches: PostgresBranches) -> None:
    async def notifies(write: Write, subject: UUID, version: int) -> None:
        await write.connection.execute("notify somebody")

    branches.doing = notifies
    assert not await branches.participant.prepare(new_gid(), uuid4())


@of_postgres
async def test_without_a_free_slot_it_votes_no(branches: PostgresBranches) -> None:
    most = int(await branches.database.fetchval("show max_prepared_transactions"))
    mark = secrets.token_hex(4)
    taken: list[str] = []
    try:
        for number in range(most):
            await branches.database.execute("begin")
            await branches.database.execute(f"prepare transaction 'filler {mark} {number}'")
            taken.append(f"filler {mark} {number}")
        assert not await branches.participant.prepare(new_gid(), uuid4())
    finally:
        for name in taken:
            await branches.database.execute(f"rollback prepared '{name}'")
    assert await branches.participant.prepare(gid := new_gid(), uuid4())
    assert await branches.participant.abort(gid, None) == "aborted"


async def test_a_branch_that_is_gone_is_done_again(branches: Branches) -> None:
    gid, subject, one = new_gid(), uuid4(), branches.participant
    assert await one.prepare(gid, subject)
    await branches.removes_by_hand(gid)
    assert await one.commit(gid, None) == "absent"  # of whom?
    states = await asyncio.gather(*(one.commit(gid, subject) for _ in range(3)))
    assert states == ["committed"] * 3
    assert await branches.fence(subject) == ("deleted", 1)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ((True, "COMMIT"), "committed"),
        ((True, "ABORT"), "aborted"),
        ((False, None), "aborted"),
        ((True, None), None),
    ],
)
async def test_orphans_ask_what_became_of_them(branches: Branches, answer: Any, left: str | None) -> None:
    gid, asked = new_gid(), []

    async def ask(of: str) -> Any:
        asked.append(of)
        return answer

    sweep = OrphanSweep(branches.participant, ask, service="friends", after=0.3)
    assert await branches.participant.prepare(gid, uuid4())
    await sweep.look()
    assert asked == []  # too young
    await asyncio.sleep(0.35)
    await sweep.look()
    assert asked == [gid]
    assert await branches.participant.branch(gid) == (left or "prepared")
    if left is None:
        assert await branches.participant.abort(gid, None) == "aborted"


async def test_what_ended_long_ago_is_forgotten(branches: Branches) -> None:
    old, new = new_gid(), new_gid()
    for gid in (old, new):
        await branches.participant.abort(gid, None)
    await branches.ages(old, 8)
    await branches.participant.forget()
    assert [await branches.participant.branch(gid) for gid in (old, new)] == ["absent", "aborted"]


@of_mongodb
async def test_writers_are_busy_while_a_branch_is_open_and_go_on_when_it_is_dropped(
    branches: MongoBranches,
) -> None:
    """There is no lock that they could wait for: the fence itself says that it is being decided."""
    gid, subject = new_gid(), uuid4()

    async def writes() -> str:
        async with branches.database.transaction(MongoWrite, limit=5) as write:
            return (await write.fence([subject]))[subject].state

    async def tries() -> str:
        try:
            return await writes()
        except Busy:
            return "busy"

    assert await branches.participant.prepare(gid, subject)
    assert await tries() == "busy"
    assert await branches.participant.abort(gid, subject) == "aborted"
    assert await tries() == "live"


@of_mongodb
async def test_two_deletions_of_one_person_are_never_both_open(branches: MongoBranches) -> None:
    first, second, subject = new_gid(), new_gid(), uuid4()
    assert await branches.participant.prepare(first, subject)
    assert not await branches.participant.prepare(second, subject)
    assert await branches.participant.abort(second, subject) == "aborted"
    assert await branches.fence(subject) == ("deleting", 0)  # the first one's, still
    assert await branches.participant.commit(first, subject) == "committed"
    assert await branches.fence(subject) == ("deleted", 1)


@of_mongodb
async def test_what_a_branch_changes_is_changed_with_its_commit_and_once(branches: MongoBranches) -> None:
    changed: list[tuple[UUID, int]] = []

    async def notes(write: MongoWrite, subject: UUID, version: int) -> None:
        changed.append((subject, version))
        times = {"$inc": {"times": 1}}
        await write.collection("inbox").update_one({"_id": subject}, times, upsert=True, session=write.session)

    branches.doing = notes
    gid, subject = new_gid(), uuid4()
    assert await branches.participant.prepare(gid, subject)
    assert changed == []
    for _ in range(2):
        assert await branches.participant.commit(gid, None) == "committed"
    assert changed == [(subject, 1)]
    assert [row["times"] for row in await branches.database.find("inbox", {"_id": subject})] == [1]
