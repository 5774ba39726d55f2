"""The coordinator's log in its own PostgreSQL database. Only what is committed here is ever told to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final
from uuid import UUID

from asyncpg import Record

from tidings.platform.request import writing
from tidings.platform.settings import Settings
from tidings.platform.storage.postgres import Connection, Handle
from tidings.platform.twophase.sessions import Sessions
from tidings.platform.twophase.transaction import Outcome, Transaction

_COLUMNS: Final = (
    "gid, subject, participants, outcome, begun_at, deadline, finished_at,"
    " coalesce(extract(epoch from clock_timestamp() - decided_at), 0)::float8 as decided_for"
)

_BEGIN: Final = """
    insert into twophase_log (gid, subject, participants, deadline, leased_until)
    values ($1, $2, $3, now() + make_interval(secs => $4), now() + make_interval(secs => $4))
"""
# NOTE: clock_timestamp(), since now() is when the transaction began, and it may have waited for locks.
# The one who began it has it leased until its deadline, and goes on after the decision.
_DECIDE: Final = """
    update twophase_log set outcome = 'COMMIT', decided_at = clock_timestamp()
    where gid = $1 and outcome is null and clock_timestamp() < deadline returning gid
"""
_SETTLE: Final = """
    update twophase_log set outcome = 'ABORT', decided_at = clock_timestamp()
    where gid = $1 and outcome is null returning gid
"""
_READ: Final = f"select {_COLUMNS} from twophase_log where gid = $1"  # noqa: S608
_OF_SUBJECT: Final = f"select {_COLUMNS} from twophase_log where subject = $1 and finished_at is null"  # noqa: S608
_UNFINISHED: Final = f"""
    select {_COLUMNS} from twophase_log where finished_at is null order by begun_at limit $1
"""  # noqa: S608
_COUNT: Final = """
    select count(*), coalesce(max(extract(epoch from clock_timestamp() - begun_at)), 0)::float8
    from twophase_log where finished_at is null
"""
# The compare-and-set is the second look at leased_until, at the row as it is when it is locked.
_LEASE: Final = f"""
    update twophase_log set leased_until = clock_timestamp() + make_interval(secs => $1)
    where finished_at is null and leased_until < clock_timestamp() and gid = any (array(
        select gid from twophase_log
        where finished_at is null and leased_until < clock_timestamp()
            and (outcome is not null or deadline < clock_timestamp())
        order by begun_at limit $2 for update skip locked
    ))
    returning {_COLUMNS}, leased_until
"""  # noqa: S608
_RELEASE: Final = """
    update twophase_log set leased_until = clock_timestamp() where gid = $1 and finished_at is null
"""
# Not waited for on the disk: where this is lost, recovery asks everybody once more, and they say the same.
_FINISH: Final = """
    with soon as (select set_config('synchronous_commit', 'off', true))
    update twophase_log set finished_at = clock_timestamp() from soon
    where gid = $1 and outcome = $2 and finished_at is null
"""
_FORGET: Final = """
    delete from twophase_log where gid = any (array(
        select gid from twophase_log where finished_at < now() - make_interval(days => $1) limit 1000
    ))
"""


async def begin(
    connection: Connection, gid: str, subject: UUID, participants: Sequence[str], *, seconds: float
) -> None:
    """Write the log row, in the caller's transaction, which holds the subject's row; nothing is sent before."""
    await connection.execute(_BEGIN, gid, subject, list(participants), seconds)


async def decide(connection: Connection, gid: str) -> bool:
    """Decide to commit, in the caller's transaction. False: too late, or decided already; then roll back."""
    return await connection.fetchval(_DECIDE, gid) is not None


async def unfinished_of(connection: Connection, subject: UUID) -> Transaction | None:
    """The subject's transaction that is not over, if there is one."""
    row = await connection.fetchrow(_OF_SUBJECT, subject)
    return None if row is None else _transaction(row)


class PostgresLog:
    """`Log`, and the coordinator's transactions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._settings = sessions.settings

    @classmethod
    @asynccontextmanager
    async def open(cls, service: str, dsn: str, settings: Settings) -> AsyncIterator[PostgresLog]:
        async with Sessions.open(service, dsn, settings) as sessions:
            yield cls(sessions)

    def write(self, handle: type[Handle]) -> AbstractAsyncContextManager[Handle]:
        """A transaction of the service's own on a coordinator's session."""
        return self._sessions.write(handle)

    async def settle(self, gid: str) -> Outcome:
        """Set ABORT unless the outcome is set; what it is then. Waits for whoever holds the row, however long.

        NOTE: a read before this could miss a COMMIT that is still on its way to the disk.
        """
        async with self._sessions.session() as connection:
            with writing(self._sessions.service):
                async with connection.transaction():
                    await connection.execute("SET LOCAL lock_timeout = 0")
                    hit = await connection.fetchval(_SETTLE, gid)
                if hit is not None:
                    return "ABORT"
                row = await connection.fetchrow(_READ, gid)
        if row is None or row["outcome"] is None:
            raise LookupError(f"transaction {gid} has no outcome after it was settled")
        outcome: Outcome = row["outcome"]
        return outcome

    async def read(self, gid: str) -> Transaction | None:
        """The row as the primary has it."""
        async with self._sessions.session() as connection:
            row = await connection.fetchrow(_READ, gid)
        return None if row is None else _transaction(row)

    async def unfinished(self, limit: int = 1000) -> list[Transaction]:
        """The oldest first."""
        async with self._sessions.session() as connection:
            return [_transaction(row) for row in await connection.fetch(_UNFINISHED, limit)]

    async def count_unfinished(self) -> tuple[int, float]:
        """How many, and how many seconds old the oldest is."""
        async with self._sessions.session() as connection:
            row = await connection.fetchrow(_COUNT)
        return (0, 0.0) if row is None else (row[0], row[1])

    async def lease(self, limit: int) -> list[Transaction]:
        """Take unfinished rows that nobody is at work on: the decided, and the undecided past their deadline."""
        async with self._sessions.session() as connection:
            rows = await connection.fetch(_LEASE, self._settings.twophase_lease, limit)
        return [_transaction(row) for row in rows]

    async def release(self, gid: str) -> None:
        """Let anybody take it up again."""
        async with self._sessions.session() as connection:
            await connection.execute(_RELEASE, gid)

    async def finish(self, gid: str, outcome: Outcome) -> None:
        """Every participant has acknowledged this outcome."""
        async with self._sessions.session() as connection:
            await connection.execute(_FINISH, gid, outcome)

    async def forget(self) -> None:
        """Remove what ended long ago."""
        async with self._sessions.session() as connection:
            while await connection.execute(_FORGET, self._settings.twophase_kept_days) == "DELETE 1000":
                await asyncio.sleep(0)


def _transaction(row: Record) -> Transaction:
    return Transaction(
        gid=row["gid"],
        subject=row["subject"],
        participants=tuple(row["participants"]),
        outcome=row["outcome"],
        begun_at=row["begun_at"],
        deadline=row["deadline"],
        decided_for=row["decided_for"],
        finished_at=row["finished_at"],
    )
