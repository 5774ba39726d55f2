"""A participant: promises a change so that it can be made or dropped later, whatever crashes in between."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from uuid import UUID

from tidings.platform import logs, metrics
from tidings.platform.contract import Refusal
from tidings.platform.twophase.transaction import BranchState, Outcome, Prepared

log = logs.get_logger("twophase")

FORGET_EVERY: Final = 3600.0  # seconds


class Participant(Protocol):
    """Each may come twice, late, or in another order; all of them then do what the first to take effect allows.

    An engine with native prepared transactions holds the branch itself; one without writes an intent that it can
    carry out or drop.
    """

    async def prepare(self, gid: str, subject: UUID) -> bool:
        """Promise. True is kept through any crash until `commit` or `abort`; False promises nothing."""
        ...

    async def commit(self, gid: str, subject: UUID | None) -> BranchState:
        """Make the change. `committed` acknowledges; `aborted` is damage that a person must see.

        A branch that somebody rolled back by hand is done again, if `subject` says of whom.
        """
        ...

    async def abort(self, gid: str, subject: UUID | None) -> BranchState:
        """Drop the change, and leave a marker that a late `prepare` meets. `aborted` acknowledges."""
        ...

    async def branch(self, gid: str) -> BranchState: ...

    async def prepared(self, *, older_than: float = 0.0) -> list[Prepared]:
        """Branches that hold their locks, promised at least so many seconds ago; the oldest first."""
        ...

    async def forget(self) -> None:
        """Remove the marks of what ended long ago."""
        ...


AskOutcome = Callable[[str], Awaitable[tuple[bool, Outcome | None]]]


class OrphanSweep:
    """Asks the coordinator what became of branches that nobody has spoken of for long."""

    def __init__(self, participant: Participant, ask: AskOutcome, *, service: str, after: float) -> None:
        self._participant = participant
        self._ask = ask
        self._service = service
        self._after = after
        self._forgotten_at = time.monotonic()

    async def look(self) -> None:
        """One look: end what the coordinator has an outcome for."""
        held = await self._participant.prepared()
        metrics.branches_prepared(self._service, len(held))
        if held:
            await self._end_orphans()
        if time.monotonic() - self._forgotten_at > FORGET_EVERY:
            self._forgotten_at = time.monotonic()
            await self._participant.forget()

    async def _end_orphans(self) -> None:
        for orphan in await self._participant.prepared(older_than=self._after):
            try:
                known, outcome = await self._ask(orphan.gid)
                if known and outcome is None:
                    continue  # not decided yet: only the coordinator may
                # A transaction that the log does not know was never decided: presumed abort.
                if outcome == "COMMIT":
                    state = await self._participant.commit(orphan.gid, None)
                else:
                    state = await self._participant.abort(orphan.gid, None)
                log.info("orphan_ended", gid=orphan.gid, outcome=outcome, state=state)
            except Refusal as refusal:
                log.warning("orphan_left", gid=orphan.gid, why=refusal.detail)
