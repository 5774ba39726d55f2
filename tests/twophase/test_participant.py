"""A participant on PostgreSQL: duplicates, any order, and the traps of prepared transactions."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings
from tidings.platform.storage.foundation import FOUNDATION, TWOPHASE_PARTICIPANT
from tidings.platform.storage.postgres import Write, handled
from tidings.platform.twophase.participant import OrphanSweep
from tidings.platform.twophase.postgres_participant import PostgresParticipant
from tidings.platform.twophase.sessions import Sessions
from tidings.platform.twophase.transaction import new_gid

Doing = Callable[[Write, UUID, int], Awaitable[None]]


async def nothing(write: Write, subject: UUID, version: int) -> None:
    """A branch that changes the fence alone."""


@dataclass
class Branches:
    """A participant whose own changes a test chooses, and a look into its database."""

    database: asyncpg.Connection[asyncpg.Record]
    participant: PostgresParticipant[Write] = field(init=False)
    doing: Doing = nothing

    async def _remove(self, write: Write, subject: UUID, version: int) -> None:
        await self.doing(write, subject, version)

    async def prepared(self) -> int:
        count: int = await self.database.fetchval(
            "select count(*) from pg_prepared_xacts where database = current_database()"
        )
        return count

    async def fence(self, subject: UUID) -> tuple[str, int] | None:
        row = await self.database.fetchrow("select state, version from subject_fence where user_id = $1", subject)
        return None if row is None else (row[0], row[1])


@pytest.fixture(scope="module")
async def dsn(postgres: EmbeddedPostgres) -> str:
    made = await postgres.provision("friends_twophase", "a test's password")
    connection = await asyncpg.connect(made)
    for statement in (*FOUNDATION, *TWOPHASE_PARTICIPANT):
        await connection.execute(statement)
    await connection.close()
    return made


@pytest.fixture
async def branches(dsn: str) -> AsyncIterator[Branches]:
    settings = Settings(twophase_lock_timeout_ms=400, twophase_idle_timeout_ms=600)
    connection = await asyncpg.connect(dsn)
    async with Sessions.open("friends", dsn, settings) as sessions:
        one = Branches(connection)
        one.participant = PostgresParticipant(sessions, Write, one._remove)
        yield one
    assert await one.prepared() == 0
    await connection.close()


async def test_duplicates_and_late_messages_have_no_effect(branches: Branches) -> None:
    gid, subject, one = new_gid(), uuid4(), branches.participant
    assert await one.branch(gid) == "absent"
    assert await one.prepare(gid, subject)
    assert await one.prepare(gid, subject)
    assert (await one.branch(gid), await branches.prepared()) == ("prepared", 1)
    assert await branches.fence(subject) is None
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
    assert await branches.fence(subject) is None


async def test_after_an_abort_no_prepare_takes_a_lock(branches: Branches, dsn: str) -> None:
    gid, subject, one = new_gid(), uuid4(), branches.participant
    assert await one.abort(gid, subject) == "aborted"
    assert await one.abort(gid, subject) == "aborted"
    held = await asyncpg.connect(dsn)
    try:
        async with held.transaction():
            await held.execute("insert into subject_fence (user_id) values ($1)", subject)
            began = time.monotonic()
            assert not await one.prepare(gid, subject)
            assert time.monotonic() - began < 0.35  # it has waited for nothing
    finally:
        await held.close()
    assert await one.commit(gid, subject) == "aborted"


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


async def test_a_writer_who_came_first_is_never_overtaken(branches: Branches, dsn: str) -> None:
    """Also where nobody has written to or as that person yet: a lock on a row that is not there locks nothing."""
    gid, subject, other = new_gid(), uuid4(), await asyncpg.connect(dsn)
    try:
        async with other.transaction(), handled(other, Write, service="friends") as write:
            await write.fence([subject])
            voted = await branches.participant.prepare(gid, subject)
            assert not voted, "the branch was prepared past a writer who holds the fence"
    finally:
        await other.close()
    assert await branches.participant.prepare(gid, subject)
    assert await branches.participant.abort(gid, subject) == "aborted"


async def test_a_branch_that_stalls_is_ended_by_the_database(branches: Branches, dsn: str) -> None:
    subject, never = uuid4(), asyncio.Event()

    async def stalls(write: Write, of: UUID, version: int) -> None:
        await never.wait()

    branches.doing = stalls
    preparing = asyncio.create_task(branches.participant.prepare(new_gid(), subject))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await branches.database.execute("insert into subject_fence (user_id) values ($1)", subject)
    assert time.monotonic() - began < 3
    preparing.cancel()
    await asyncio.gather(preparing, return_exceptions=True)


async def test_a_failed_transaction_is_no_promise(branches: Branches) -> None:
    """PREPARE answers ROLLBACK there, without an error: only the tag tells."""

    async def hides_an_error(write: Write, subject: UUID, version: int) -> None:
        with suppress(asyncpg.DivisionByZeroError):
            await write.connection.execute("select 1 / 0")

    branches.doing = hides_an_error
    gid = new_gid()
    assert not await branches.participant.prepare(gid, uuid4())
    assert await branches.participant.branch(gid) == "absent"


async def test_a_notification_is_no_promise(branches: Branches) -> None:
    async def notifies(write: Write, subject: UUID, version: int) -> None:
        await write.connection.execute("notify somebody")

    branches.doing = notifies
    assert not await branches.participant.prepare(new_gid(), uuid4())


async def test_without_a_free_slot_it_votes_no(branches: Branches) -> None:
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
    await branches.database.execute(f"rollback prepared 'tidings:friends:{gid}'")
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
    await branches.database.execute(
        "update twophase_branch set created_at = now() - interval '8 days' where gid = $1", old
    )
    await branches.participant.forget()
    assert [await branches.participant.branch(gid) for gid in (old, new)] == ["absent", "aborted"]
