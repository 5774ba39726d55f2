"""The relay: carries what a service's outbox holds to the bus, and marks it once the bus has it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import msgspec

from tidings.platform import logs, metrics
from tidings.platform.clock import stamp_ns
from tidings.platform.events.beat import Beat, beat_subject
from tidings.platform.events.bus import TROUBLE, Bus
from tidings.platform.occurrence import Occurred
from tidings.platform.storage.events import AWAY, Outbox
from tidings.platform.storage.followers import on_announced

log = logs.get_logger("relay")

BATCH = 64  # each is synced by itself, and all have to be acknowledged in time
BUSY_PAUSE = 0.02  # seconds
IDLE_PAUSE = 0.25
BEAT_EVERY = 0.05
READ_LATELY = 1.0  # seconds; so long after a read a client may come whose next answer has to be as new
LEASE = 3.0
FORGET_EVERY = 900.0


class Relay:
    """One service's. Of several processes that host it, the one that holds the lease publishes.

    `read_at` tells when the service was read last, by time.monotonic(): then beats come often.
    """

    def __init__(
        self, service: str, outbox: Outbox, bus: Bus, *, read_at: Callable[[], float], delay: float = 0.0
    ) -> None:
        self.service = service
        self._read_at = read_at
        self._delay = delay
        self._outbox = outbox
        self._bus = bus
        self._holder: UUID = uuid4()
        self._leased_until = 0.0
        self._woken = asyncio.Event()
        self._forget_at = time.monotonic() + FORGET_EVERY
        self._beats = 0
        self._beat_at = 0.0
        self._told: int | None = 0  # events since the last beat; None: some may have been lost on their way

    async def run(self) -> None:
        """Until cancelled. Where the database or the bus is away, it waits and goes on."""
        unwatch = on_announced(self.service, self._woken.set)
        pause = BUSY_PAUSE
        try:
            while True:
                self._woken.clear()
                try:
                    carried = await self.round()
                    pause = BUSY_PAUSE if carried else min(pause * 1.5, IDLE_PAUSE)
                except (*AWAY, *TROUBLE) as error:
                    log.warning("relay_waits", service=self.service, error=repr(error))
                    await self._measure()
                    await asyncio.sleep(IDLE_PAUSE)
                    continue
                if carried < BATCH:
                    await self._rest(pause)
        finally:
            unwatch()
            await self._release()

    async def _release(self) -> None:
        """Give the lease back, so that the next one need not wait for its end."""
        try:
            async with asyncio.timeout(1):
                await self._outbox.release(self._holder)
        except (*AWAY, TimeoutError) as error:
            log.debug("lease_not_released", service=self.service, error=repr(error))

    async def round(self) -> int:
        """Publish the oldest that wait; how many."""
        now = time.monotonic()
        if now > self._leased_until - LEASE / 2:
            if not await self._outbox.lease(self._holder, LEASE):
                return 0
            self._leased_until = now + LEASE
        began_ns = stamp_ns()  # of the same clock as what is read here
        # Before it is read: whoever stands for the outbox now knows all that was committed before.
        vouched = self._beat_is_due() and await self._outbox.vouch(self._holder)
        waiting = await self._outbox.unpublished(BATCH)
        if self._delay:
            await asyncio.sleep(self._delay)
        if waiting:
            await self._publish(waiting)
        if len(waiting) < BATCH:
            if vouched:
                await self._beat(began_ns)
            metrics.outbox_waits(service=self.service, count=0, oldest=0.0)
        else:
            await self._measure()
        if now > self._forget_at:
            self._forget_at = now + FORGET_EVERY
            await self._outbox.forget()
        return len(waiting)

    async def _publish(self, waiting: list[Occurred]) -> None:
        """All at once; what the bus took is marked even if it did not take the rest."""
        told, self._told = self._told, None  # whatever ends this early, who listens cannot know how many came
        outcomes = await asyncio.gather(*(self._bus.publish(one) for one in waiting), return_exceptions=True)
        taken = [one.id for one, outcome in zip(waiting, outcomes, strict=True) if outcome is None]
        if taken:
            await self._outbox.published(taken)
            metrics.events_relayed(service=self.service, count=len(taken))
        refused = [outcome for outcome in outcomes if outcome is not None]
        if refused:
            raise refused[0]
        self._told = None if told is None else told + len(waiting)

    def _beat_is_due(self) -> bool:
        return time.monotonic() - self._beat_at >= BEAT_EVERY

    async def _beat(self, began_ns: int) -> None:
        """Say that all is told that was there when a plain read of the outbox began."""
        self._beat_at = time.monotonic()
        self._beats += 1
        beat = Beat(self._holder, self._beats, began_ns, self._told)
        self._told = None
        await self._bus.say(beat_subject(self.service), msgspec.json.encode(beat))
        self._told = 0

    async def _measure(self) -> None:
        with contextlib.suppress(*AWAY):  # then the last figures stand
            count, oldest = await self._outbox.backlog()
            metrics.outbox_waits(service=self.service, count=count, oldest=oldest)

    async def _rest(self, pause: float) -> None:
        if time.monotonic() < self._read_at() + READ_LATELY:
            pause = min(pause, BEAT_EVERY)
        try:
            async with asyncio.timeout(pause):
                await self._woken.wait()
        except TimeoutError:
            return
