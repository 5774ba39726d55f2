"""The coordinator's log: decided once, never after the deadline, and taken up by one at a time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.chaos.proxy import Proxy, Trouble
from tidings.platform.contract import Busy, Unavailable
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings
from tidings.platform.storage.foundation import FOUNDATION, TWOPHASE_COORDINATOR
from tidings.platform.storage.postgres import Write
from tidings.platform.twophase.coordinator import Coordinator
from tidings.platform.twophase.postgres_log import PostgresLog, begin, decide, unfinished_of
from tidings.platform.twophase.recovery import Recovery
from tidings.platform.twophase.transaction import BranchState, new_gid

SETTINGS = Settings(twophase_idle_timeout_ms=500, twophase_lock_timeout_ms=200, twophase_lease=1.0)


class Peers:
    """Participants that a test plays; they count what they are told."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        self.away = False

    async def prepare(self, gid: str, subject: UUID, *, seconds: float) -> bool:
        self.told[f"prepare {gid}"] += 1
        return True

    async def commit(self, gid: str, subject: UUID) -> BranchState:
        return await self._tell("commit", gid, "committed")

    async def abort(self, gid: str, subject: UUID) -> BranchState:
        return await self._tell("abort", gid, "aborted")

    async def _tell(self, what: str, gid: str, state: BranchState) -> BranchState:
        if self.away:
            raise Unavailable("away", service="friends")
        self.told[f"{what} {gid}"] += 1
        await asyncio.sleep(0.05)
        return state


@pytest.fixture(scope="module")
async def dsn(postgres: EmbeddedPostgres) -> str:
    made = await postgres.provision("users_twophase", "a test's password")
    connection = await asyncpg.connect(made)
    for statement in (*FOUNDATION, *TWOPHASE_COORDINATOR):
        await connection.execute(statement)
    await connection.close()
    return made


@pytest.fixture
async def log(dsn: str) -> AsyncIterator[PostgresLog]:
    async with PostgresLog.open("users", dsn, SETTINGS) as opened:
        yield opened
        async with opened.write(Write) as write:
            await write.connection.execute("truncate twophase_log")


async def begun(log: PostgresLog, *, seconds: float = 5.0, subject: UUID | None = None) -> str:
    gid = new_gid()
    async with log.write(Write) as write:
        await begin(write.connection, gid, subject or uuid4(), ["friends"], seconds=seconds)
    return gid


async def decided(log: PostgresLog, gid: str) -> bool:
    async with log.write(Write) as write:
        return await decide(write.connection, gid)


async def test_a_subject_has_one_unfinished_transaction(log: PostgresLog) -> None:
    subject = uuid4()
    gid = await begun(log, subject=subject)
    with pytest.raises(asyncpg.UniqueViolationError):
        await begun(log, subject=subject)
    async with log.write(Write) as write:
        row = await unfinished_of(write.connection, subject)
    assert row is not None and (row.gid, row.outcome) == (gid, None)
    await log.settle(gid)
    await log.finish(gid, "ABORT")
    await begun(log, subject=subject)


async def test_the_outcome_is_set_once(log: PostgresLog) -> None:
    committed, aborted = await begun(log), await begun(log)
    assert await decided(log, committed)
    assert await log.settle(aborted) == "ABORT"
    for _ in range(2):
        assert await log.settle(committed) == "COMMIT"
        assert not await decided(log, aborted)
        assert not await decided(log, committed)
    await log.finish(aborted, "COMMIT")  # not its outcome
    row = await log.read(aborted)
    assert row is not None and row.finished_at is None


async def test_no_commit_is_decided_after_the_deadline(log: PostgresLog, dsn: str) -> None:
    """Also not by a transaction that began before it, and waited."""
    gid = await begun(log, seconds=0.3)
    async with log.write(Write) as write:
        await write.connection.execute("select 1")
        await asyncio.sleep(0.4)
        assert not await decide(write.connection, gid)


async def test_settling_waits_for_a_decision_that_is_on_its_way(log: PostgresLog, dsn: str) -> None:
    gid = await begun(log)
    deciding = await asyncpg.connect(dsn)
    transaction = deciding.transaction()
    await transaction.start()
    assert await decide(deciding, gid)
    settling = asyncio.create_task(log.settle(gid))
    await asyncio.sleep(0.6)  # past any lock time-out
    assert not settling.done()
    await transaction.commit()
    assert await settling == "COMMIT"
    await deciding.close()


async def test_a_coordinator_that_stalls_in_its_decision_loses_it(log: PostgresLog) -> None:
    gid = await begun(log)
    with pytest.raises((Unavailable, Busy)):
        async with log.write(Write) as write:
            assert await decide(write.connection, gid)
            await asyncio.sleep(0.9)
    assert await log.settle(gid) == "ABORT"


async def test_two_recoverers_share_the_work_and_do_no_harm(log: PostgresLog, dsn: str) -> None:
    peers = Peers()
    gids = [await begun(log) for _ in range(6)]
    for gid in gids[:3]:
        assert await decided(log, gid)
    async with log.write(Write) as write:  # whoever began them is gone
        await write.connection.execute(
            "update twophase_log set deadline = now() - interval '1 s', leased_until = now() - interval '1 s'"
        )
    async with AsyncExitStack() as stack:
        recoveries = []
        for _ in range(2):
            other = await stack.enter_async_context(PostgresLog.open("users", dsn, SETTINGS))
            recoveries.append(Recovery(Coordinator(other, {"friends": peers}, deadline=3.0), service="users"))
        await asyncio.gather(*(recovery.look() for recovery in recoveries))
    assert await log.count_unfinished() == (0, 0.0)
    assert peers.told == Counter(
        {**{f"commit {gid}": 1 for gid in gids[:3]}, **{f"abort {gid}": 1 for gid in gids[3:]}}
    )


async def test_what_one_has_taken_up_nobody_else_takes(log: PostgresLog) -> None:
    """Until its lease is over: then whoever took it is thought to be gone."""
    gid = await begun(log, seconds=1.0)
    assert await log.lease(16) == []  # the one who began it is still at work
    await asyncio.sleep(1.1)
    assert [row.gid for row in await log.lease(16)] == [gid]
    assert await log.lease(16) == []
    await asyncio.sleep(SETTINGS.twophase_lease + 0.1)
    assert [row.gid for row in await log.lease(16)] == [gid]


async def test_an_answer_to_the_decision_that_is_lost_is_looked_up(log: PostgresLog) -> None:
    """cp6: it was decided, and nobody heard so. What is in the log is what happens, and no other thing."""
    peers = Peers()
    coordinator = Coordinator(log, {"friends": peers}, deadline=3.0)
    gid = await begun(log)

    async def decides_unheard(of: str) -> bool:
        assert await decided(log, of)
        raise Unavailable("the answer is lost", service="users")

    coordinator.start(gid, uuid4(), decides_unheard)
    ended = await coordinator.wait(gid, seconds=5.0)
    assert (ended.outcome, ended.finished) == ("COMMIT", True)
    assert peers.told == Counter({f"prepare {gid}": 1, f"commit {gid}": 1})


async def test_without_every_vote_nothing_is_decided(log: PostgresLog) -> None:
    class Refusing(Peers):
        async def prepare(self, gid: str, subject: UUID, *, seconds: float) -> bool:
            return False

    coordinator = Coordinator(log, {"friends": Refusing(), "messages": Peers()}, deadline=3.0)
    gid = await begun(log)
    coordinator.start(gid, uuid4(), lambda of: decided(log, of))
    ended = await coordinator.wait(gid, seconds=5.0)
    assert (ended.outcome, ended.finished) == ("ABORT", True)


async def test_recovery_tries_again_what_nobody_acknowledged(log: PostgresLog) -> None:
    peers = Peers()
    peers.away = True
    gid = await begun(log, seconds=0.05)
    await asyncio.sleep(0.1)
    recovery = Recovery(Coordinator(log, {"friends": peers}, deadline=3.0), service="users")
    await recovery.look()
    row = await log.read(gid)
    assert row is not None and (row.outcome, row.finished_at) == ("ABORT", None)
    peers.away = False
    await recovery.look()
    row = await log.read(gid)
    assert row is not None and row.finished_at is not None


async def test_a_participant_that_did_the_opposite_stays_in_sight(log: PostgresLog) -> None:
    class Opposite(Peers):
        async def commit(self, gid: str, subject: UUID) -> BranchState:
            return "aborted"

    gid = await begun(log)
    assert await decided(log, gid)
    coordinator = Coordinator(log, {"friends": Opposite()}, deadline=3.0)
    row = await log.read(gid)
    assert row is not None
    assert not await coordinator.resume(row)
    assert [one.gid for one in await log.unfinished()] == [gid]


async def test_nothing_is_sent_before_the_log_row_is_durable_and_a_client_may_leave(log: PostgresLog) -> None:
    peers = Peers()
    coordinator = Coordinator(log, {"friends": peers}, deadline=3.0)
    gid = await begun(log)
    coordinator.start(gid, uuid4(), lambda of: decided(log, of))
    early = await coordinator.wait(gid, seconds=0.0)  # the client does not wait
    assert not early.finished
    ended = await coordinator.wait(gid, seconds=5.0)
    assert (ended.outcome, ended.finished) == ("COMMIT", True)
    assert peers.told == Counter({f"prepare {gid}": 1, f"commit {gid}": 1})


async def test_what_ended_long_ago_is_forgotten(log: PostgresLog) -> None:
    old, new = await begun(log), await begun(log)
    for gid in (old, new):
        await log.settle(gid)
        await log.finish(gid, "ABORT")
    async with log.write(Write) as write:
        await write.connection.execute(
            "update twophase_log set finished_at = now() - interval '8 days' where gid = $1", old
        )
    await log.forget()
    assert await log.read(old) is None
    assert await log.read(new) is not None


@pytest.fixture
async def cut_off(dsn: str, postgres: EmbeddedPostgres) -> AsyncIterator[tuple[PostgresLog, Proxy]]:
    """A coordinator's log that is reached by a proxy."""
    settings = Settings(twophase_idle_timeout_ms=500, twophase_lock_timeout_ms=200, twophase_deadline=1.0)
    with tempfile.TemporaryDirectory(prefix="tidings-log-") as name:
        socket = ".s.PGSQL.5432"
        proxy = Proxy("database", Path(name) / socket, postgres.socket / socket, str)
        await proxy.start()
        through = urlsplit(dsn)._replace(query=f"host={quote(name)}&port=5432").geturl()
        async with PostgresLog.open("users", through, settings) as opened:
            yield opened, proxy
        await proxy.stop()


async def test_a_session_that_is_cut_off_within_a_statement_holds_no_row_for_long(
    log: PostgresLog, cut_off: tuple[PostgresLog, Proxy]
) -> None:
    """asyncpg parses first, and binds when it has an answer: in between the session is not idle, but active."""
    cut, proxy = cut_off
    gid, subject = await begun(log), uuid4()
    proxy.disturb(Trouble("swallow", ways=("there",), needle=gid.encode(), once=True))

    async def decides() -> None:
        async with cut.write(Write) as write:
            await write.connection.execute("insert into subject_fence (user_id) values ($1)", subject)
            await decide(write.connection, gid)

    deciding = asyncio.create_task(decides())
    async with asyncio.timeout(5):
        while not any(trouble.parts for trouble in proxy.troubles):
            await asyncio.sleep(0.01)
    began = time.monotonic()
    while True:
        try:
            async with log.write(Write) as write:
                await write.connection.execute("insert into subject_fence (user_id) values ($1)", subject)
            break
        except Busy:
            assert time.monotonic() - began < 5, "the row is held for ever"
    with pytest.raises(Unavailable):
        await deciding
