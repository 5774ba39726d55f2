"""The consumer: hands each event to the service's reaction, as often as it takes, and its effect is made once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec

from tidings.platform import logs, metrics, tracing
from tidings.platform.contract import Busy, Call, Event, Unavailable
from tidings.platform.events.bus import TROUBLE, Bus, Deliveries, Delivery
from tidings.platform.occurrence import Occurred, OccurredAsk, OccurredPage, Occurrence, Replay
from tidings.platform.quiet import when_quiet
from tidings.platform.request import Request, Viewer, answering, reacting
from tidings.platform.service import AlreadyDone, Reaction
from tidings.platform.storage.events import AWAY, REFUSES, Inbox
from tidings.platform.world import World

log = logs.get_logger("consumer")

BATCH = 32
AT_ONCE = 2  # reactions; by default a service has three connections for writing, and people need one
LISTEN = 2.0  # seconds of one pull
PAUSE = 0.5  # when a database is away
DEADLINE = 10.0
HERE = 2.0  # seconds for what happened in this process; then the bus has it, and delivers it in its turn
MOST_ATTEMPTS = 8
LONGEST_WAIT = 60.0

Outcome = Literal["done", "failed", "dead"]


class Consumer:
    """One service's reactions to one producer's events."""

    def __init__(
        self,
        service: str,
        producer: str,
        holder: Any,
        reactions: Mapping[str, tuple[Event, Reaction]],
        inbox: Inbox,
        *,
        backoff: float = 0.2,
        repeat: bool = False,
    ) -> None:
        self.service = service
        self.producer = producer
        self._holder = holder
        self._reactions = {name: pair for name, pair in reactions.items() if pair[0].service == producer}
        self._inbox = inbox
        self._backoff = backoff
        self._repeat = repeat  # in tests every event arrives twice
        self._room = asyncio.Semaphore(AT_ONCE)

    @property
    def events(self) -> list[str]:
        return sorted(self._reactions)

    async def run(self, bus: Bus) -> None:
        """Until cancelled. Where the bus or the database is away, it waits and goes on."""
        deliveries: Deliveries | None = None
        while True:
            try:
                if deliveries is None:
                    deliveries = await bus.pull(self.producer, self.service)
                batch = await deliveries.next(BATCH, LISTEN)
            except TROUBLE as error:
                log.warning("consumer_waits", service=self.service, producer=self.producer, error=repr(error))
                deliveries = None
                await asyncio.sleep(PAUSE)
                continue
            # Together: effects commute, and whoever imports much must not hold up everybody's news.
            if not all(await asyncio.gather(*(self._deliver(delivery) for delivery in batch))):
                await asyncio.sleep(PAUSE)

    async def _deliver(self, delivery: Delivery) -> bool:
        """React and acknowledge; False if the database is away, and what comes next had better wait."""
        try:
            async with self._room:
                outcome, wait = await self._settle(delivery)
        except (Unavailable, Busy, *AWAY) as error:
            log.warning("reaction_waits", service=self.service, producer=self.producer, error=repr(error))
            with contextlib.suppress(*TROUBLE):
                await delivery.again(PAUSE)
            return False
        with contextlib.suppress(*TROUBLE):  # it comes again, and finds its effect made
            if outcome == "failed":
                await delivery.again(wait)
            else:
                await delivery.done()
        return True

    async def react_here(self, one: Occurred) -> bool:
        """React to what happened in this process; False where that fails, and the bus had better deliver it.

        Nothing is counted, nor set aside: that begins with what the bus delivers.
        """
        await when_quiet()  # nobody waits for it
        try:
            async with asyncio.timeout(HERE), self._room:
                began = time.perf_counter()
                for _ in range(2 if self._repeat else 1):
                    await self._react(one)
        except Exception as error:
            log.info(
                "not_reacted_here", service=self.service, name=one.event, event_id=str(one.id), error=repr(error)
            )
            return False
        self._handled_in(began, one, "done")
        return True

    async def _settle(self, delivery: Delivery) -> tuple[Outcome, float]:
        try:
            one = msgspec.json.decode(delivery.content, type=Occurred)
        except msgspec.DecodeError:  # nothing of ours; an id is all that a dead letter needs, and it has none
            log.exception("not_an_event", service=self.service, producer=self.producer)
            return "dead", 0.0
        outcome, wait = await self.handle(one, again=delivery.times > 1)
        if self._repeat and outcome == "done":
            outcome, wait = await self.handle(one, again=True)
        return outcome, wait

    async def handle(self, one: Occurred, *, again: bool = False) -> tuple[Outcome, float]:
        """React once. `failed` says to try again after that many seconds, `dead` that it was set aside.

        Raises `Unavailable`, `Busy` or one of AWAY where a store cannot be reached: that is no reason to give an
        event up, and counts for nothing.
        """
        began = time.perf_counter()
        try:
            await self._react(one)
        except (Unavailable, Busy, *REFUSES):
            raise
        except Exception as error:
            log.exception("reaction_failed", service=self.service, name=one.event, event_id=str(one.id))
            outcome, wait = await self._failed(one, error)
        else:
            if again:
                await self._inbox.succeeded([one.id])
            outcome, wait = "done", 0.0
        self._handled_in(began, one, outcome)
        return outcome, wait

    def _handled_in(self, began: float, one: Occurred, outcome: Outcome) -> None:
        seconds = time.perf_counter() - began
        metrics.event_handled(service=self.service, event=one.event, outcome=outcome, seconds=seconds)

    async def _react(self, one: Occurred) -> None:
        found = self._reactions.get(one.event)
        if found is None:  # from before a reaction was taken away
            return
        event, reaction = found
        if not event.lasts(one.body):  # found in the producer's record
            return
        occurrence = Occurrence(
            id=one.id,
            event=event,
            subject=one.subject,
            version=one.version,
            body=msgspec.json.decode(one.body, type=event.body),
        )
        request = Request(Viewer(role="operator"), caller=self.producer, deadline=time.monotonic() + DEADLINE)
        with (
            tracing.span(f"react {one.event}", parent=tracing.parse(one.trace), kind="internal"),
            answering(request),
            reacting(one.id),
        ):
            try:
                await reaction(self._holder, occurrence)
            except AlreadyDone:
                return

    async def _failed(self, one: Occurred, error: Exception) -> tuple[Outcome, float]:
        said = f"{type(error).__name__}: {error}"[:2000]
        attempts = await self._inbox.failed(one.id, said)
        if attempts is None:
            return "dead", 0.0
        if attempts < MOST_ATTEMPTS:
            return "failed", min(self._backoff * 2**attempts, LONGEST_WAIT)
        await self._inbox.bury(self.producer, one, said, attempts)
        log.error("event_set_aside", service=self.service, name=one.event, event_id=str(one.id))
        return "dead", 0.0

    # What is compared with the producer's own record, and what a person replays.

    async def reconcile(self, world: World, call: Call[OccurredAsk, OccurredPage], *, older_than: float) -> int:
        """Ask the producer what it published, and make the effects that are missing; how many.

        Raises what `handle` raises, and `Unavailable` when the producer does not answer.
        """
        made, after = 0, await self._inbox.reconciled(self.producer)
        request = Request(Viewer(role="operator"), caller=self.service, deadline=time.monotonic() + DEADLINE)
        while True:
            ask = OccurredAsk(events=self.events, after=after, older_than=older_than)
            page = await world.call(call, ask, request=request)
            if not page.occurred:
                if page.after != after:  # what has other names is not passed over again
                    await self._inbox.reconcile_to(self.producer, page.after)
                return made
            done = await self._inbox.done([one.id for one in page.occurred])
            handled: list[UUID] = []
            for one in page.occurred:
                if one.id not in done:
                    if await self._handled(one):
                        handled.append(one.id)
                    await asyncio.sleep(0)  # most have no effect, and then nothing else lets others in between
            await self._inbox.succeeded([one.id for one in page.occurred])
            made += len(await self._inbox.done(handled))  # some events have none
            after = page.after
            await self._inbox.reconcile_to(self.producer, after)
            request = Request(Viewer(role="operator"), caller=self.service, deadline=time.monotonic() + DEADLINE)

    async def _handled(self, one: Occurred) -> bool:
        """Handle it as often as it takes; False if it was set aside."""
        outcome, wait = await self.handle(one)
        while outcome == "failed":
            await asyncio.sleep(wait)
            outcome, wait = await self.handle(one)
        return outcome == "done"

    async def replay(self, one: Occurred) -> Replay:
        """Try an event again that was set aside."""
        await self._inbox.exhume(one.id)
        try:
            await self._react(one)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:2000]
            await self._inbox.bury(self.producer, one, said, MOST_ATTEMPTS + 1)
            log.warning("replay_failed", service=self.service, name=one.event, event_id=str(one.id), error=said)
            return Replay(done=False, error=said)
        await self._inbox.forget_letter(one.id)
        return Replay(done=True)
