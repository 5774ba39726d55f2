"""What a write tells those who follow a database: what it did, what it may have done, and that it did nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import pytest

from tidings.contracts import friends
from tidings.contracts.users import UserId
from tidings.platform.contract import Unavailable
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.seen import Seen, seeing
from tidings.platform.storage.followers import Happened, follow
from tidings.platform.storage.foundation import FOUNDATION
from tidings.platform.storage.postgres import Database, Write

ADA, BOB = uuid4(), uuid4()
BLOCKED = friends.GraphChanged(user_id=UserId(ADA), other_id=UserId(BOB), by_id=UserId(ADA), version=2)
SLOW_COMMIT = """
create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return null; end $$;
create constraint trigger slowly after insert on outbox deferrable initially deferred
   for each row execute function slowly()
"""


@dataclass(eq=False)
class Follower:
    heard: list[tuple[str, list[UUID]]] = field(default_factory=list)

    async def committed(self, happened: Sequence[Happened]) -> None:
        self.heard.append(("committed", [one.subject for one in happened]))

    def in_doubt(self, happened: Sequence[Happened]) -> None:
        self.heard.append(("in doubt", [one.subject for one in happened]))

    async def settled(self) -> None:
        self.heard.append(("settled", []))


@dataclass(frozen=True)
class Ground:
    database: Database
    follower: Follower
    dsn: str

    async def blocks(self) -> None:
        async with self.database.write(Write) as write:
            write.announce(friends.blocked, subject=ADA, version=2, body=BLOCKED)


@pytest.fixture
async def ground(postgres: EmbeddedPostgres) -> AsyncIterator[Ground]:
    dsn = await postgres.provision("writes", "secret")
    owner = await asyncpg.connect(dsn)
    for statement in FOUNDATION:
        await owner.execute(statement)
    database = await Database.open(
        dsn, service="friends", readers=1, writers=1, lock_timeout_ms=1000, transaction_timeout_ms=300
    )
    follower = Follower()
    unfollow = follow(dsn, follower)
    try:
        with answering(Request(Viewer(role="stranger"), caller="edge", deadline=time.monotonic() + 10)):
            yield Ground(database, follower, dsn)
    finally:
        unfollow()
        await database.close()
        await owner.execute("drop table outbox, subject_fence, idempotency; drop function if exists slowly")
        await owner.close()


async def test_what_was_committed_is_told_and_credited_to_who_wrote_it(ground: Ground) -> None:
    with seeing(Seen()) as client:
        await ground.blocks()
    assert ground.follower.heard == [("committed", [ADA])]
    assert (client.versions("friends"), client.known().stamps) == ({ADA: 2}, {})


async def test_who_finds_nothing_to_do_sees_all_that_was_done_before(ground: Ground) -> None:
    """It may be a retry whose first answer was lost, with the token in it."""
    before = time.time_ns()
    with seeing(Seen()) as client:
        async with ground.database.write(Write):
            pass
    assert ground.follower.heard == [("settled", [])]
    assert client.known().stamps.get("friends", 0) >= before - 1


async def test_a_commit_whose_answer_is_lost_may_have_happened(ground: Ground) -> None:
    owner = await asyncpg.connect(ground.dsn)
    await owner.execute(SLOW_COMMIT)
    await owner.close()
    with seeing(Seen()) as client, pytest.raises(Unavailable):
        await ground.blocks()
    assert ground.follower.heard == [("in doubt", [ADA])]
    assert client.known().positions == ()


async def test_what_was_rolled_back_is_told_to_nobody(ground: Ground) -> None:
    with pytest.raises(ZeroDivisionError):
        async with ground.database.write(Write) as write:
            write.announce(friends.blocked, subject=ADA, version=2, body=BLOCKED)
            raise ZeroDivisionError
    assert ground.follower.heard == []


async def test_a_transaction_whose_error_was_hidden_is_no_write(ground: Ground) -> None:
    """COMMIT answers ROLLBACK there, without an error: only the tag tells."""
    with pytest.raises(RuntimeError, match="ROLLBACK"):
        async with ground.database.write(Write) as write:
            with suppress(asyncpg.DivisionByZeroError):
                await write.connection.fetch("select 1 / 0")
    assert ground.follower.heard == []
    await ground.blocks()  # on the same connection, which is as good as before
    assert ground.follower.heard == [("committed", [ADA])]
