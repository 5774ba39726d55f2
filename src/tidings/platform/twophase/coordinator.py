"""The coordinator: prepare one after the other, decide by one local commit, tell everybody until they have it.

It is the last agent: its own service never prepares. The commit of the decision is the moment that readers see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol
from uuid import UUID

from tidings.platform import logs
from tidings.platform.cache.registration import REMOVED_WITHIN
from tidings.platform.contract import Refusal, Unavailable
from tidings.platform.twophase.failpoints import Failpoints, NoFailpoints
from tidings.platform.twophase.transaction import BranchState, Outcome, Transaction

log = logs.get_logger("twophase")

PREPARES: Final = 2  # tries of one participant, while the deadline allows it
TELLS: Final = 3  # tries by who decided; then recovery goes on
PAUSE: Final = 0.05  # seconds

Decide = Callable[[str], Awaitable[bool]]
Erase = Callable[[UUID], Awaitable[None]]


class Peer(Protocol):
    """A participant, as the coordinator reaches it. Each raises a refusal when it is busy or can't be reached."""

    async def prepare(self, gid: str, subject: UUID, *, seconds: float) -> bool: ...

    async def commit(self, gid: str, subject: UUID) -> BranchState: ...

    async def abort(self, gid: str, subject: UUID) -> BranchState: ...


class Log(Protocol):
    """The durable log. `begin` and `decide` are parts of the service's own transactions."""

    async def settle(self, gid: str) -> Outcome: ...

    async def read(self, gid: str) -> Transaction | None: ...

    async def unfinished(self) -> list[Transaction]: ...

    async def lease(self, limit: int) -> list[Transaction]: ...

    async def release(self, gid: str) -> None: ...

    async def finish(self, gid: str, outcome: Outcome) -> None: ...

    async def forget(self) -> None: ...

    async def count_unfinished(self) -> tuple[int, float]: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How far a transaction came. `refusal` is why it was aborted, where that is an answer by itself."""

    outcome: Outcome | None
    finished: bool = False
    refusal: Refusal | None = None


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[Ended]
    outcome: Outcome | None = None


class Coordinator:
    """Runs transactions as tasks of the service: a request that ends, or dies, stops none of them."""

    def __init__(
        self,
        log_: Log,
        peers: Mapping[str, Peer],
        *,
        deadline: float,
        erase: Erase | None = None,
        failpoints: Failpoints | None = None,
    ) -> None:
        self.log = log_
        self._peers = peers
        self._deadline = deadline
        self._erase = erase
        self._failpoints = failpoints or NoFailpoints()
        self._running: dict[str, _Running] = {}

    @property
    def participants(self) -> tuple[str, ...]:
        """In the order in which they prepare."""
        return tuple(self._peers)

    def start(self, gid: str, subject: UUID, decide: Decide) -> None:
        """Go on from the committed log row. `decide` raises a refusal, or is False, where it may not be."""
        task = asyncio.create_task(self._run(gid, subject, decide), name=f"twophase {gid}")
        self._running[gid] = _Running(task)
        task.add_done_callback(partial(self._forget, gid))

    async def wait(self, gid: str, *, seconds: float) -> Ended:
        """How far it has come, once it has ended, or after so many seconds."""
        running = self._running.get(gid)
        if running is not None:
            done, _ = await asyncio.wait({running.task}, timeout=seconds)
            return running.task.result() if done else Ended(running.outcome)
        until = time.monotonic() + seconds  # another instance is at work on it
        while True:
            row = await self.log.read(gid)
            ended = Ended(None) if row is None else Ended(self.told(row), row.finished_at is not None)
            if ended.finished or time.monotonic() > until:
                return ended
            await asyncio.sleep(PAUSE)

    def told(self, row: Transaction) -> Outcome | None:
        """The outcome, once it may be acknowledged: no cache shows any more what a COMMIT took away."""
        running = self._running.get(row.gid)
        confirmed = row.finished_at is not None or row.decided_for >= REMOVED_WITHIN
        if row.outcome == "COMMIT" and not confirmed and (running is None or running.outcome is None):
            return None
        return row.outcome

    async def close(self) -> None:
        """Stop; what is unfinished is taken up by recovery, here at the next start or elsewhere."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, gid: str, task: asyncio.Task[Ended]) -> None:
        self._running.pop(gid, None)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("transaction_failed", gid=gid, error=repr(fault))

    async def _run(self, gid: str, subject: UUID, decide: Decide) -> Ended:
        refusal: Refusal | None = None
        outcome: Outcome | None = None
        try:
            await self._failpoints.reach("cp1")
            if await self._all_prepared(gid, subject):
                await self._failpoints.reach("cp5")
                outcome, refusal = await self._decided(gid, decide)
            if outcome is None:
                outcome = await self.log.settle(gid)
                if outcome == "COMMIT":  # by a commit whose answer was lost: no cache was told of it
                    await asyncio.sleep(REMOVED_WITHIN)
        except Unavailable as error:  # our own database is away: recovery settles it when it is back
            log.warning("undecided", gid=gid, why=error.detail)
            return Ended(None)
        if gid in self._running:
            self._running[gid].outcome = outcome
        if outcome == "COMMIT":
            await self._failpoints.reach("cp7")
        finished = await self._told(gid, subject, self.participants, outcome, tries=TELLS)
        return Ended(outcome, finished, refusal if outcome == "ABORT" else None)

    async def _all_prepared(self, gid: str, subject: UUID) -> bool:
        until = time.monotonic() + self._deadline
        for number, name in enumerate(self._peers):
            if number == 1:
                await self._failpoints.reach("cp4")
            if not await self._prepared(name, gid, subject, until):
                return False
        return True

    async def _prepared(self, name: str, gid: str, subject: UUID, until: float) -> bool:
        for _ in range(PREPARES):
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                message = partial(self._peers[name].prepare, gid, subject, seconds=left)
                voted: bool = await self._send("cp2", "cp3", message, service=name)
            except Unavailable as error:  # perhaps only the vote was lost: a second prepare finds what is there
                log.warning("no_vote", gid=gid, participant=name, why=error.detail)
                continue
            except Refusal as error:
                log.info("refused_vote", gid=gid, participant=name, why=error.detail)
                return False
            if not voted:
                log.info("voted_no", gid=gid, participant=name)
            return voted
        return False

    async def _decided(self, gid: str, decide: Decide) -> tuple[Outcome | None, Refusal | None]:
        """COMMIT if our own commit was acknowledged. None: not known, or not; then only the log can tell."""
        try:
            return ("COMMIT" if await decide(gid) else None), None
        except Unavailable as error:
            log.warning("decision_unanswered", gid=gid, why=error.detail)
            return None, None
        except Refusal as refusal:
            return None, refusal

    async def resume(self, row: Transaction) -> bool:
        """Take up what somebody left unfinished, past its deadline or decided. True if it is finished now."""
        await self._failpoints.reach("cp12")
        outcome = row.outcome or await self.log.settle(row.gid)
        log.info("resumed", gid=row.gid, outcome=outcome)
        if outcome == "COMMIT":  # whoever decided it may have died before the caches had confirmed
            await asyncio.sleep(max(0.0, REMOVED_WITHIN - row.decided_for))
        return await self._told(row.gid, row.subject, row.participants, outcome, tries=1)

    async def _told(self, gid: str, subject: UUID, names: Sequence[str], outcome: Outcome, *, tries: int) -> bool:
        """Tell every participant until each has acknowledged, then finish. False: somebody has not yet."""
        for number, name in enumerate(names):
            if number == 1 and outcome == "COMMIT":
                await self._failpoints.reach("cp8")
            if not await self._acknowledged(name, gid, subject, outcome, tries):
                return False
        try:
            if outcome == "COMMIT" and self._erase is not None:
                await self._erase(subject)
            await self._failpoints.reach("cp10")
            await self.log.finish(gid, outcome)
        except Refusal as error:
            log.warning("unfinished", gid=gid, why=error.detail)
            return False
        if await self._failpoints.reach("cp13") == "dup":
            await self._repeat(gid, subject, names, outcome)
        return True

    async def _acknowledged(self, name: str, gid: str, subject: UUID, outcome: Outcome, tries: int) -> bool:
        peer = self._peers.get(name)
        if peer is None:
            log.error("unknown_participant", gid=gid, participant=name)
            return False
        commits = outcome == "COMMIT"
        point, wanted = ("cp9", "committed") if commits else ("cp11", "aborted")
        tell = peer.commit if commits else peer.abort
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(PAUSE)
            try:
                state = await self._send(point, point, partial(tell, gid, subject), service=name)
            except Refusal as error:
                log.warning("not_acknowledged", gid=gid, participant=name, outcome=outcome, why=error.detail)
                continue
            if state == wanted:
                return True
            log.error("damaged", gid=gid, participant=name, outcome=outcome, state=state)
            return False
        return False

    async def _send(self, before: str, after: str, message: Callable[[], Awaitable[Any]], *, service: str) -> Any:
        """Send one message, as the failpoints let it pass."""
        verdict = await self._failpoints.reach(before)
        if verdict == "drop_request":
            raise _lost(service)
        answer = await message()
        if verdict == "dup":
            answer = await message()
        if after != before and verdict == "go":
            verdict = await self._failpoints.reach(after)
        if verdict == "drop_reply":
            raise _lost(service)
        return answer

    async def _repeat(self, gid: str, subject: UUID, names: Sequence[str], outcome: Outcome) -> None:
        """A test's late duplicates, which must have no effect."""
        for name in names:
            peer = self._peers[name]
            await asyncio.gather(
                peer.prepare(gid, subject, seconds=self._deadline),
                peer.commit(gid, subject) if outcome == "COMMIT" else peer.abort(gid, subject),
                return_exceptions=True,
            )


def _lost(service: str) -> Unavailable:
    return Unavailable(f"{service} did not answer in time. Try again.", service=service, retry_after=1)
