"""A participant on PostgreSQL, by its own prepared transactions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic
from uuid import UUID

import asyncpg

from tidings.platform import logs
from tidings.platform.contract import Busy
from tidings.platform.storage.followers import wake_relay
from tidings.platform.storage.postgres import CONTENDED, LOST, Connection, Handle, handled
from tidings.platform.twophase.failpoints import Failpoints, NoFailpoints, passing
from tidings.platform.twophase.sessions import Sessions
from tidings.platform.twophase.transaction import BranchState, Prepared, branch_name, branch_prefix

log = logs.get_logger("twophase")

PREPARED_TAG: Final = "PREPARE TRANSACTION"
PATIENCE: Final = 1.5  # seconds for one commit or abort; less than a call's deadline
PAUSE: Final = 0.02
MARKER_WAIT_MS: Final = 200

_BRANCH: Final = "insert into twophase_branch (gid, state, subject) values ($1, 'committed', $2)"
_MARKER: Final = "insert into twophase_branch (gid, state, subject) values ($1, 'aborted', $2)"
_FENCE: Final = """
    update subject_fence set state = 'deleted', version = version + 1 where user_id = $1 returning version
"""
_STATE: Final = "select state from twophase_branch where gid = $1"
_IS_PREPARED: Final = "select from pg_prepared_xacts where gid = $1"
_PREPARED: Final = """
    select gid, prepared from pg_prepared_xacts
    where database = current_database() and starts_with(gid, $1)
        and prepared <= clock_timestamp() - make_interval(secs => $2)
    order by prepared
"""
_FORGET: Final = """
    delete from twophase_branch where gid = any (array(
        select gid from twophase_branch where created_at < now() - make_interval(days => $1) limit 1000
    ))
"""

Remove = Callable[[Handle, UUID, int], Awaitable[None]]


class _NotPrepared(Exception):
    """The statement ended without an error, and did not do what it says."""


class PostgresParticipant(Generic[Handle]):
    """`Participant`. `remove` makes the service's own changes: it is given the subject and their new version."""

    def __init__(
        self,
        sessions: Sessions,
        handle: type[Handle],
        remove: Remove[Handle],
        failpoints: Failpoints | None = None,
    ) -> None:
        self._service = sessions.service
        self._sessions = sessions
        self._settings = sessions.settings
        self._handle = handle
        self._remove = remove
        self._failpoints = failpoints or NoFailpoints()

    async def prepare(self, gid: str, subject: UUID) -> bool:
        """See `Participant`. A second one answers as the first: it finds the branch, or what became of it."""
        known = await self.branch(gid)
        if known == "absent":
            try:
                await self._attempt(gid, subject, f"{PREPARED_TAG} '{self._name(gid)}'")
                known = "prepared"
            except (asyncpg.UniqueViolationError, Busy):  # the same prepare is or was at work, or an abort
                known = await self.branch(gid)
            except (asyncpg.PostgresError, _NotPrepared) as error:  # no space, no slot left, ...
                log.warning("prepare_failed", gid=gid, service=self._service, error=repr(error))
        if known == "prepared":
            await passing(self._failpoints, "cp3", self._service)
        return known in ("prepared", "committed")

    async def commit(self, gid: str, subject: UUID | None) -> BranchState:
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            done = await self._end(f"COMMIT PREPARED '{self._name(gid)}'")
            if done == "busy":
                await asyncio.sleep(PAUSE)
                continue
            if done == "done":
                wake_relay(self._sessions.dsn)  # its outbox rows are there only now
                await passing(self._failpoints, "cp9", self._service)
                return "committed"
            state = await self._recorded(gid)
            if state == "aborted":
                log.error("damaged", gid=gid, service=self._service, state=state, wanted="committed")
            if state != "absent" or subject is None:
                return state
            await self._roll_forward(gid, subject)
        raise self._busy()

    async def abort(self, gid: str, subject: UUID | None) -> BranchState:
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            await passing(self._failpoints, "cp11", self._service)
            if await self._end(f"ROLLBACK PREPARED '{self._name(gid)}'") == "busy":
                await asyncio.sleep(PAUSE)
                continue
            await passing(self._failpoints, "cp11m", self._service)
            try:
                async with self._sessions.session() as connection:
                    try:
                        await connection.execute(f"SET lock_timeout = {MARKER_WAIT_MS}")
                        await connection.execute(_MARKER, gid, subject)
                    finally:
                        if not connection.is_closed():
                            await connection.execute("RESET lock_timeout")
                return "aborted"
            except asyncpg.UniqueViolationError:
                state = await self._recorded(gid)
                if state == "committed":
                    log.error("damaged", gid=gid, service=self._service, state=state, wanted="aborted")
                return state
            except Busy:  # a branch is open, or was prepared just now: roll back again
                continue
        raise self._busy()

    async def branch(self, gid: str) -> BranchState:
        async with self._sessions.session() as connection:
            if await connection.fetch(_IS_PREPARED, self._name(gid)):
                return "prepared"
            # By a later statement, which sees a branch that was committed in between.
            state: BranchState | None = await connection.fetchval(_STATE, gid)
        return state or "absent"

    async def prepared(self, *, older_than: float = 0.0) -> list[Prepared]:
        prefix = branch_prefix(self._service)
        async with self._sessions.session() as connection:
            rows = await connection.fetch(_PREPARED, prefix, older_than)
        return [Prepared(row[0].removeprefix(prefix), row[1]) for row in rows]

    async def forget(self) -> None:
        async with self._sessions.session() as connection:
            while await connection.execute(_FORGET, self._settings.twophase_kept_days) == "DELETE 1000":
                await asyncio.sleep(0)

    async def _attempt(self, gid: str, subject: UUID, end: str) -> None:
        """The branch as one transaction: its own row first, so that a marker stops it before it takes any lock."""
        limit = self._settings.twophase_lock_timeout_ms
        async with self._sessions.session() as connection:
            await connection.execute(
                f"BEGIN; SET LOCAL lock_timeout = {limit}; SET LOCAL transaction_timeout = {2 * limit}"
            )
            try:
                await connection.execute(_BRANCH, gid, subject)
                async with handled(connection, self._handle, service=self._service) as write:
                    await write.fence([subject])
                    version: int = await connection.fetchval(_FENCE, subject)
                    await self._remove(write, subject, version)
                await passing(self._failpoints, "cp2", self._service)
                tag = await connection.execute(end)
                # NOTE: in a failed transaction PREPARE answers ROLLBACK, and raises nothing.
                if tag not in (PREPARED_TAG, "COMMIT"):
                    raise _NotPrepared(tag)
            finally:
                await _leave(connection)

    async def _roll_forward(self, gid: str, subject: UUID) -> None:
        """The branch is gone although the decision is COMMIT: somebody rolled it back by hand. Deletion goes on."""
        log.error("branch_rolled_back_by_hand", gid=gid, service=self._service)
        try:
            await self._attempt(gid, subject, "COMMIT")
        except asyncpg.UniqueViolationError:
            log.info("rolled_forward_elsewhere", gid=gid, service=self._service)

    async def _end(self, statement: str) -> str:
        """`done`, `absent` when there is no such branch, or `busy` when another session is at it."""
        async with self._sessions.session() as connection:
            try:
                await connection.execute(statement)
            except asyncpg.UndefinedObjectError:
                return "absent"
            except asyncpg.ObjectNotInPrerequisiteStateError:
                return "busy"
        return "done"

    async def _recorded(self, gid: str) -> BranchState:
        async with self._sessions.session() as connection:
            state: BranchState | None = await connection.fetchval(_STATE, gid)
        return state or "absent"

    def _name(self, gid: str) -> str:
        return branch_name(self._service, gid)

    def _busy(self) -> Busy:
        return Busy("The branch is held by another session. Try again.", retry_after=1, service=self._service)


async def _leave(connection: Connection) -> None:
    if not connection.is_closed() and connection.is_in_transaction():
        try:
            await connection.execute("ROLLBACK")
        except (*LOST, *CONTENDED) as error:
            log.warning("not_rolled_back", error=repr(error))
