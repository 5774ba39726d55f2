"""A participant on MongoDB, which has no prepared transactions: a branch is an intent, written with the fence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Generic
from uuid import UUID

from tidings.platform import logs
from tidings.platform.contract import Busy
from tidings.platform.jitter import jittered
from tidings.platform.storage.followers import wake_relay
from tidings.platform.storage.handle import Fence
from tidings.platform.storage.mongo import DELETED, DELETING, LIVE, Handle, MongoDatabase, Row, keyed
from tidings.platform.twophase.failpoints import Failpoints, NoFailpoints, passing
from tidings.platform.twophase.transaction import BranchState, Prepared

log = logs.get_logger("twophase")

PATIENCE: Final = 1.5  # seconds for one commit or abort; less than a call's deadline
PAUSE: Final = 0.02

Remove = Callable[[Handle, UUID, int], Awaitable[None]]
Step = Callable[[Handle, str, UUID | None, Fence | None], Awaitable[BranchState]]


class MongoParticipant(Generic[Handle]):
    """`Participant`. A branch holds no lock: its fence says `deleting`, and writers wait for the end of that.

    `remove` makes the service's own changes when the branch commits: it is given the subject and their new version.
    """

    def __init__(
        self,
        database: MongoDatabase,
        handle: type[Handle],
        remove: Remove[Handle],
        failpoints: Failpoints | None = None,
    ) -> None:
        self._service = database.service
        self._database = database
        self._handle = handle
        self._remove = remove
        self._failpoints = failpoints or NoFailpoints()

    async def prepare(self, gid: str, subject: UUID) -> bool:
        """See `Participant`. A second one answers as the first: it finds the branch, or what became of it."""
        known = await self.branch(gid)
        if known == "absent":
            try:
                known = await self._patiently(self._intend, gid, subject, within=self._lock_timeout)
            except Busy:  # somebody writes there all the time, or another deletion of theirs is not over
                known = await self.branch(gid)
        if known == "prepared":
            await passing(self._failpoints, "cp3", self._service)
        return known in ("prepared", "committed")

    async def commit(self, gid: str, subject: UUID | None) -> BranchState:
        state = await self._patiently(self._carry_out, gid, subject, within=PATIENCE)
        if state == "aborted":
            log.error("damaged", gid=gid, service=self._service, state=state, wanted="committed")
        if state == "committed":
            await passing(self._failpoints, "cp9", self._service)
        return state

    async def abort(self, gid: str, subject: UUID | None) -> BranchState:
        await passing(self._failpoints, "cp11", self._service)
        state = await self._patiently(self._drop, gid, subject, within=PATIENCE)
        if state == "committed":
            log.error("damaged", gid=gid, service=self._service, state=state, wanted="aborted")
        return state

    async def branch(self, gid: str) -> BranchState:
        rows = await self._database.find("branch", {"_id": gid})
        return _state(rows[0]) if rows else "absent"

    async def prepared(self, *, older_than: float = 0.0) -> list[Prepared]:
        aged = {"$lte": ["$prepared_at", {"$subtract": ["$$NOW", int(older_than * 1000)]}]}
        rows = await self._database.find("branch", {"state": "prepared", "$expr": aged}, sort=[("prepared_at", 1)])
        return [Prepared(row["_id"], row["prepared_at"]) for row in rows]

    async def forget(self) -> None:
        kept = int(timedelta(days=self._database.settings.twophase_kept_days).total_seconds() * 1000)
        with self._database.reached():
            await self._database.collection("branch").delete_many(
                {"ended_at": {"$exists": True}, "$expr": {"$lt": ["$ended_at", {"$subtract": ["$$NOW", kept]}]}}
            )

    # Each is one transaction, which the first to come makes and all others find made.

    async def _intend(self, write: Handle, gid: str, whom: UUID | None, fence: Fence | None) -> BranchState:
        assert whom is not None
        assert fence is not None
        row = await self._branch(write, gid)
        if row is not None:
            return _state(row)
        if fence.state == DELETING:
            raise self._database.busy()  # another deletion of theirs is not decided
        await self._note(write, gid, "prepared", subject=whom)
        if fence.state == LIVE:
            await self._set_fence(write, whom, {"$set": {"state": DELETING, "gid": gid}})
        await passing(self._failpoints, "cp2", self._service)
        return "prepared"

    async def _carry_out(self, write: Handle, gid: str, whom: UUID | None, fence: Fence | None) -> BranchState:
        row = await self._branch(write, gid)
        if row is not None and row["state"] != "prepared":
            return _state(row)
        if whom is None:
            return "absent"
        if row is None:
            log.error("branch_rolled_back_by_hand", gid=gid, service=self._service)
        await self._note(write, gid, "committed", subject=whom)
        await self._set_fence(write, whom, {"$set": {"state": DELETED, "unerased": True}, "$unset": {"gid": ""}})
        await self._remove(write, whom, write.raise_by(whom, 1))
        return "committed"

    async def _drop(self, write: Handle, gid: str, whom: UUID | None, fence: Fence | None) -> BranchState:
        row = await self._branch(write, gid)
        if row is not None and row["state"] != "prepared":
            return _state(row)
        if row is not None and whom is None:
            raise self._database.busy()  # it came while its subject was looked up
        await passing(self._failpoints, "cp11m", self._service)
        await self._note(write, gid, "aborted", subject=whom)
        if whom is not None:  # if it is this branch that decides there, also one whose row is gone by hand
            await write.collection("fence").update_one(
                {**keyed(whom), "state": DELETING, "gid": gid},
                {"$set": {"state": LIVE}, "$unset": {"gid": ""}},
                session=write.session,
            )
        return "aborted"

    async def _branch(self, write: Handle, gid: str) -> Row | None:
        return await write.collection("branch").find_one({"_id": gid}, session=write.session)

    async def _note(self, write: Handle, gid: str, state: BranchState, *, subject: UUID | None) -> None:
        when = "prepared_at" if state == "prepared" else "ended_at"
        noted: list[Row] = [{"$set": {"state": state, "subject": subject, when: "$$NOW"}}]
        await write.collection("branch").update_one({"_id": gid}, noted, upsert=True, session=write.session)

    async def _set_fence(self, write: Handle, whom: UUID, change: Row) -> None:
        await write.collection("fence").update_one(keyed(whom), change, session=write.session)

    @property
    def _lock_timeout(self) -> float:
        return self._database.settings.twophase_lock_timeout_ms / 1000

    async def _patiently(self, step: Step[Handle], gid: str, subject: UUID | None, *, within: float) -> BranchState:
        """Again and again while others write the same documents. Raises `Busy`, and `Unavailable`."""
        give_up_at = time.monotonic() + within
        while True:
            whom = subject or await self._subject_of(gid)
            try:
                async with self._database.transaction(self._handle, limit=self._limit) as write:
                    fences = await write.fence([] if whom is None else [whom], undecided=True)
                    state = await step(write, gid, whom, None if whom is None else fences[whom])
            except Busy:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(jittered(PAUSE))
                continue
            wake_relay(self._database.url)
            return state

    async def _subject_of(self, gid: str) -> UUID | None:
        rows = await self._database.find("branch", {"_id": gid})
        return rows[0]["subject"] if rows else None

    @property
    def _limit(self) -> float:
        """What is not over by the deadline decides nothing any more."""
        return self._database.settings.twophase_deadline


def _state(row: Row) -> BranchState:
    state: BranchState = row["state"]
    return state
