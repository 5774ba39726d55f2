"""The relay: carries what a service's outbox holds to who is near or the bus, and marks it once they have it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec

from tidings.platform import logs, metrics
from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Event
from tidings.platform.ending import ended
from tidings.platform.events.audience import Audience, Said
from tidings.platform.events.beat import Beat, beat_subject, passing_subject
from tidings.platform.events.bus import TROUBLE, Bus
from tidings.platform.events.neighbours import Neighbour, Neighbours
from tidings.platform.jitter import jittered
from tidings.platform.occurrence import Occurred
from tidings.platform.quiet import when_quiet
from tidings.platform.storage.events import AWAY, Outbox
from tidings.platform.storage.followers import on_announced
from tidings.platform.together import together

log = logs.get_logger("relay")

BATCH = 64  # each is synced by itself, and all have to be acknowledged in time
BUSY_PAUSE = 0.02  # seconds
IDLE_PAUSE = 0.25
LONGEST_PAUSE = 5.0  # between tries to hand over what the bus does not take either
BEAT_EVERY = 0.2
BEAT_OFTEN = 0.05
READ_LATELY = 1.0  # seconds; so long after such a read, beats come often
LEASE = 3.0
RELEASE = 1.0  # for what is done at the end
FORGET_EVERY = 900.0


class Relay:
    """One service's. Of several processes that host it, the one that holds the lease publishes.

    What is committed to `dsn` in its own process it is handed, and need not read. What it was not handed it finds
    when it looks, which it does before each beat. Where it is not `alone` it reads all: what others committed of a
    subject before might come after what it is handed. `read_again_at` tells, by time.monotonic(), when the service
    was read last by a client who had seen something of it: then beats come often, since caches serve such a one
    only once a beat tells that what was seen is old.

    What concerns its `neighbours` alone it hands over, and says it in passing; the bus gets what fails there. Where
    all who hear it are in its `audience`, it says nothing in passing on the bus, and what the bus keeps tells no
    listener.
    """

    def __init__(
        self,
        service: str,
        outbox: Outbox,
        bus: Bus,
        *,
        read_again_at: Callable[[], float],
        events: Collection[Event] = (),
        dsn: str = "",
        alone: bool = True,
        neighbours: Neighbours | None = None,
        audience: Audience | None = None,
        delay: float = 0.0,
    ) -> None:
        self.service = service
        self._events = {event.name: event for event in events}
        self._dsn = dsn
        self._alone = alone
        self._neighbours = neighbours or Neighbours({})
        self._audience = audience or Audience({})
        self._read_again_at = read_again_at
        self._delay = delay
        self._outbox = outbox
        self._bus = bus
        self._holder: UUID = uuid4()
        self._leased_until = 0.0
        self._woken = asyncio.Event()
        self._handed: list[Occurred] = []  # committed here since the last look
        self._looks = False  # there may be something that it was not handed
        self._said_here: set[UUID] = set()  # to the audience, and not taken yet
        self._under_way: dict[UUID, float] = {}  # handed over to neighbours, when
        self._handing_over: set[asyncio.Task[None]] = set()
        self._unmarked: set[UUID] = set()  # the bus has them, or neighbours are done, and the outbox does not know
        self._forget_at = time.monotonic() + FORGET_EVERY
        self._beats = 0
        self._beat_at = 0.0
        self._told: int | None = 0  # events since the last beat; None: some may have been lost on their way

    async def run(self) -> None:
        """Until cancelled. Where the database or the bus is away, it waits and goes on."""
        unwatch = on_announced(self._dsn, self.hand)
        least = IDLE_PAUSE if self._alone else BUSY_PAUSE  # alone, it is told of whatever there is to find
        pause = least
        try:
            while True:
                if self._until_beat() > -BEAT_EVERY:  # else caches wait for it already
                    await when_quiet()
                self._woken.clear()
                try:
                    carried = await self.round()
                    pause = least if carried else min(pause * 1.5, IDLE_PAUSE)
                except (*AWAY, *TROUBLE) as error:
                    log.warning("relay_waits", service=self.service, error=repr(error))
                    await self._measure()
                    await asyncio.sleep(IDLE_PAUSE)
                    continue
                if carried < BATCH:
                    await self._rest(pause)
        finally:
            unwatch()
            await ended(*self._handing_over)
            await self._release()

    def hand(self, rows: Sequence[Occurred]) -> None:
        """These have been committed; or nobody says what, and it is looked for."""
        if rows and self._alone and len(self._handed) + len(rows) <= BATCH:
            self._handed += rows
        else:
            self._looks = True
        self._woken.set()

    async def _release(self) -> None:
        """Give the lease back, so that the next one need not wait for its end."""
        try:
            try:
                async with asyncio.timeout(RELEASE / 2):
                    await self._mark()
            finally:
                async with asyncio.timeout(RELEASE / 2):
                    await self._outbox.release(self._holder)
        except (*AWAY, TimeoutError) as error:
            log.debug("lease_not_released", service=self.service, error=repr(error))

    async def round(self) -> int:
        """Publish what it was handed, or the oldest that wait; how many."""
        now = time.monotonic()
        handed, self._handed = self._still_waiting(self._handed), []  # a look finds these, too
        looks, self._looks = not handed or self._looks or self._beat_is_due(), False
        try:
            if now > self._leased_until - LEASE / 2:
                if not await self._outbox.lease(self._holder, LEASE):
                    self._looks = True
                    self._said_here.clear()  # somebody else sees to them
                    return 0
                self._leased_until = now + LEASE
            carried = await (self._look() if looks else self._carry(handed))
        except BaseException:
            self._looks = True
            raise
        if now > self._forget_at and not await self._outbox.forget():  # more of it in the next round: beats go on
            self._forget_at = now + FORGET_EVERY
        return carried

    async def _look(self) -> int:
        """Publish the oldest that wait, and beat if those were all."""
        began_ns = stamp_ns()  # of the same clock as what is read here
        await self._mark()
        # Before it is read: whoever stands for the outbox now knows all that was committed before.
        vouched = self._beat_is_due() and await self._outbox.vouch(self._holder)
        most = BATCH + len(self._under_way) + len(self._unmarked)
        found = await self._outbox.unpublished(most)
        waiting = self._still_waiting(found)
        if waiting:
            await self._carry(waiting)
            await self._mark()
            carried = {one.id for one in waiting}
            self._handed = [one for one in self._handed if one.id not in carried]  # committed meanwhile
        if len(found) < most:
            if vouched:
                await self._beat(began_ns)
            since = min(self._under_way.values(), default=time.monotonic())
            oldest = time.monotonic() - since
            metrics.outbox_waits(service=self.service, count=len(self._under_way), oldest=oldest)
        else:
            self._looks = True
            await self._measure()
        return len(waiting)

    def _still_waiting(self, found: Iterable[Occurred]) -> list[Occurred]:
        """Without what is told already, whatever the outbox knows."""
        return [one for one in found if one.id not in self._under_way and one.id not in self._unmarked]

    async def _carry(self, waiting: Sequence[Occurred]) -> int:
        """All at once; what the bus took is marked even if it did not take the rest."""
        if self._delay:
            await asyncio.sleep(self._delay)
        outcomes = await together(*(self._carry_one(one) for one in waiting))
        refused = [outcome for outcome in outcomes if outcome is not None]
        metrics.events_relayed(service=self.service, count=len(waiting) - len(refused))
        if refused:
            await self._mark()
            raise refused[0]
        return len(waiting)

    async def _carry_one(self, one: Occurred) -> Exception | None:
        """Publish it, say it in passing, or hand it over; why the bus did not take it."""
        event = self._events.get(one.event)
        lasts = event is None or event.lasts(one.body)
        near = self._at_hand(one) if lasts else None
        to_keep = lasts and near is None
        try:
            if not self._say_here(one):
                await self._tell(self._bus.publish(one) if to_keep else self._passing(one))
            elif to_keep:
                await self._bus.publish(one, told=True)
        except Exception as error:
            return error
        self._said_here.discard(one.id)
        if near is not None:
            self._hand_over(one, near)
        else:
            self._unmarked.add(one.id)
        return None

    def _say_here(self, one: Occurred) -> bool:
        """To the audience, if all who hear it are there; once, however often the bus is asked to keep it."""
        if one.id in self._said_here:
            return True
        if not self._heard_here(one):
            return False
        self._said_here.add(one.id)
        self._told = None if self._told is None else self._told + 1
        return True

    def _heard_here(self, said: Said) -> bool:
        hearers = self._audience.of(self.service)
        for one in hearers or ():
            one.hears(self.service, said)
        return hearers is not None

    def _at_hand(self, one: Occurred) -> Sequence[Neighbour] | None:
        """Who reacts to it, if it may be handed over: what is too much for them the bus keeps."""
        return None if len(self._under_way) >= BATCH else self._neighbours.of(one.event)

    def _passing(self, one: Occurred) -> Coroutine[Any, Any, None]:
        return self._bus.say(passing_subject(self.service), msgspec.json.encode(one))

    async def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        """Whoever listens can count it. Where it may have been lost on its way, they cannot know how many came."""
        self._told = None if self._told is None else self._told + 1
        try:
            await telling
        except BaseException:
            self._told = None
            raise

    def _hand_over(self, one: Occurred, near: Sequence[Neighbour]) -> None:
        """Until its effects are durable, or the bus has it, the outbox has it alone."""

        async def handing_over() -> None:
            pause = IDLE_PAUSE
            while not await self._is_taken(one, near):
                await asyncio.sleep(jittered(pause))
                pause = min(pause * 2, LONGEST_PAUSE)
            self._unmarked.add(one.id)

        task = asyncio.create_task(handing_over(), name=f"{self.service} hands {one.event} over")
        self._under_way[one.id] = time.monotonic()
        self._handing_over.add(task)
        task.add_done_callback(self._handing_over.discard)
        task.add_done_callback(lambda _: self._under_way.pop(one.id))

    async def _is_taken(self, one: Occurred, near: Sequence[Neighbour]) -> bool:
        """By all neighbours, or by the bus, which tells it nobody who has heard of it."""
        if all(await together(*(neighbour.react_here(one) for neighbour in near))):
            return True
        try:
            await self._bus.publish(one, told=True)
        except Exception as error:
            log.warning("not_handed_over", service=self.service, name=one.event, error=repr(error))
            return False
        return True

    async def _mark(self) -> None:
        """Say in the outbox what is taken. Until then a crash has it told again, under the same id."""
        if self._unmarked:
            taken = list(self._unmarked)
            await self._outbox.published(taken)
            self._unmarked.difference_update(taken)

    @property
    def _beat_every(self) -> float:
        return BEAT_OFTEN if time.monotonic() < self._read_again_at() + READ_LATELY else BEAT_EVERY

    def _until_beat(self) -> float:
        """Seconds; negative where it is late."""
        return self._beat_at + self._beat_every - time.monotonic()

    def _beat_is_due(self) -> bool:
        return self._until_beat() <= 0

    async def _beat(self, began_ns: int) -> None:
        """Say that all is told that was there when a plain read of the outbox began."""
        self._beat_at = time.monotonic()
        self._beats += 1
        beat = Beat(self._holder, self._beats, began_ns, self._told)
        self._told = 0
        if self._heard_here(beat):
            return
        try:
            await self._bus.say(beat_subject(self.service), msgspec.json.encode(beat))
        except BaseException:
            self._told = None
            raise

    async def _measure(self) -> None:
        with contextlib.suppress(*AWAY):  # then the last figures stand
            count, oldest = await self._outbox.backlog()
            metrics.outbox_waits(service=self.service, count=count, oldest=oldest)

    async def _rest(self, pause: float) -> None:
        if time.monotonic() < self._leased_until:
            pause = min(pause, max(self._until_beat(), BUSY_PAUSE))
        try:
            async with asyncio.timeout(pause):
                await self._woken.wait()
        except TimeoutError:
            return
