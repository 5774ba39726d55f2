"""Recovery: what somebody left unfinished is brought to its end, by any instance, at its start and every second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from tidings.platform import logs, metrics
from tidings.platform.contract import Refusal
from tidings.platform.ending import ended
from tidings.platform.twophase.coordinator import Coordinator
from tidings.platform.twophase.transaction import Transaction

log = logs.get_logger("twophase")

AT_ONCE: Final = 16  # rows of one look
FORGET_EVERY: Final = 3600.0  # seconds


@asynccontextmanager
async def repeating(work: Callable[[], Awaitable[None]], *, every: float, name: str) -> AsyncIterator[None]:
    """Within the block, do `work` at once and again and again; a refusal or a fault ends one round only."""

    async def rounds() -> None:
        while True:
            try:
                await work()
            except Refusal as refusal:
                log.warning("round_refused", work=name, why=refusal.detail)
            except Exception:
                log.exception("round_failed", work=name)
            await asyncio.sleep(every)

    task = asyncio.create_task(rounds(), name=name)
    try:
        yield
    finally:
        await ended(task)


class Recovery:
    """Looks for unfinished rows that nobody has a lease on. Two of these do no harm to one another."""

    def __init__(self, coordinator: Coordinator, *, service: str) -> None:
        self._coordinator = coordinator
        self._service = service
        self._forgotten_at = time.monotonic()

    async def look(self) -> None:
        """One look: take rows, and bring each as far as it goes."""
        log_ = self._coordinator.log
        rows = await log_.lease(AT_ONCE)
        if rows:
            await asyncio.gather(*(self._resume(row) for row in rows))
        if time.monotonic() - self._forgotten_at > FORGET_EVERY:
            self._forgotten_at = time.monotonic()
            await log_.forget()

    async def count(self) -> None:
        """Tell the metrics what is unfinished, however long a look may take."""
        metrics.transactions_unfinished(self._service, *await self._coordinator.log.count_unfinished())

    async def _resume(self, row: Transaction) -> None:
        finished = False
        try:
            finished = await self._coordinator.resume(row)
        except Refusal as refusal:
            log.warning("not_resumed", gid=row.gid, why=refusal.detail)
        except Exception:
            log.exception("resume_failed", gid=row.gid)
        if not finished:
            await self._coordinator.log.release(row.gid)  # the next look tries again
