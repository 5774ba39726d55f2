"""A service's mailroom: it carries the outbox to the bus, feeds the reactions, and keeps what was set aside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec

from tidings.platform import logs
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.registration import REMOVED_WITHIN, Registration
from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Busy, Call, NotFound, Nothing, Unavailable
from tidings.platform.ending import ended
from tidings.platform.events.audience import Audience
from tidings.platform.events.beat import Removal, removal_subject
from tidings.platform.events.bus import TROUBLE, Bus, BusAddress, connected
from tidings.platform.events.consumer import Consumer
from tidings.platform.events.lasting import lasting
from tidings.platform.events.neighbours import Neighbours
from tidings.platform.events.relay import Relay
from tidings.platform.jitter import jittered
from tidings.platform.occurrence import DeadLetters, EventId, OccurredAsk, OccurredPage, Replay
from tidings.platform.request import reacting_to
from tidings.platform.service import Serving
from tidings.platform.settings import Settings
from tidings.platform.storage.events import AWAY, EventStore, open_events
from tidings.platform.storage.followers import Happened, follow
from tidings.platform.topology import CLI
from tidings.platform.world import World

log = logs.get_logger("mailroom")

FORGET_EVERY: Final = 3600.0


class Mailroom:
    """What a service's routes ask about events. Without a database it has none, and says so."""

    def __init__(self, service: str, store: EventStore | None = None, keepers: Sequence[Keeper] = ()) -> None:
        self.service = service
        self._store = store
        self._keepers = keepers  # of this process
        self._bus: Bus | None = None
        self._consumers: dict[str, Consumer] = {}
        self._removals: set[asyncio.Task[None]] = set()

    async def occurrences(self, ask: OccurredAsk) -> OccurredPage:
        """A page of what this service published, for a consumer that looks whether it missed one."""
        try:
            return await self._kept().outbox.page(ask)
        except AWAY as error:
            raise self._away() from error

    async def letters(self) -> DeadLetters:
        """The events that this service set aside."""
        try:
            return DeadLetters(letters=await self._kept().inbox.letters())
        except AWAY as error:
            raise self._away() from error

    async def replay(self, event_id: UUID) -> Replay:
        """Try one of them again. Raises `NotFound`."""
        try:
            letters = await self._kept().inbox.letters(event_id)
            for letter in letters:
                consumer = self._consumers.get(letter.producer)
                if consumer is not None:
                    return await consumer.replay(letter.occurred)
        except AWAY as error:
            raise self._away() from error
        raise NotFound(f"{self.service} has set no such event aside.")

    async def register(self, ask: Registration) -> None:
        """Note who keeps answers of this service, and until when."""
        try:
            if ask.seconds:
                await self._kept().caches.register(ask.cache, ask.holder, ask.seconds)
            else:
                await self._kept().caches.leave(ask.cache)
        except AWAY as error:
            raise self._away() from error

    async def committed(self, happened: Sequence[Happened]) -> None:
        """Caches of this process let go at once; where access is taken away, all others within a second."""
        self._renew(happened)
        removal = self._let_go(happened)
        if removal is not None:
            await asyncio.wait({removal})  # who asked for it may give up; it goes on
            removal.result()

    def in_doubt(self, happened: Sequence[Happened]) -> None:
        """As if it were committed: what is let go in vain is read again."""
        self._let_go(happened)

    async def settled(self) -> None:
        """Return when every cache has let go of what was taken away until now."""
        if self._removals and reacting_to() is None:
            await asyncio.wait(set(self._removals))

    def _renew(self, happened: Sequence[Happened]) -> None:
        """What the commit tells takes the place of what caches of this process let go of next."""
        ended_ns = stamp_ns()
        for one in happened:
            for keeper in self._keepers if one.tells else ():
                try:
                    keeper.told(one.tells, one.version, ended_ns)
                except Exception:  # it is committed: what was not renewed is let go, and read again
                    log.exception("not_renewed", service=self.service, holder=keeper.holder)

    def _let_go(self, happened: Sequence[Happened]) -> asyncio.Task[None] | None:
        changed = [(one.subject, one.version) for one in happened]
        stirred = [subject for one in happened for subject in one.stirs]
        for keeper in self._keepers:
            keeper.heard(self.service, changed)
            keeper.stirred(self.service, stirred)
        gone = [(one.subject, one.version) for one in happened if one.takes_away]
        if not gone or reacting_to() is not None:  # a reaction acknowledges nothing to anybody
            return None
        removal = asyncio.create_task(self._removal(gone), name=f"{self.service} takes away")
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)
        return removal

    async def _removal(self, gone: list[tuple[UUID, int]]) -> None:
        until = time.monotonic() + REMOVED_WITHIN
        try:
            async with asyncio.timeout(REMOVED_WITHIN):
                await self._removed(gone)
        except (*AWAY, *TROUBLE) as error:
            # By then nothing that is older than the commit is used anywhere, whoever did not answer.
            log.warning("removal_not_confirmed", service=self.service, error=repr(error))
            await asyncio.sleep(max(0.0, until - time.monotonic()))

    async def _removed(self, gone: list[tuple[UUID, int]]) -> None:
        """Return when every registered cache elsewhere has confirmed."""
        waiting = await self._kept().caches.live() - {keeper.id for keeper in self._keepers}
        if not waiting:
            return
        if self._bus is None:
            raise OSError("the bus is not connected")

        def answered(content: bytes) -> bool:
            waiting.discard(UUID(bytes=content))
            return not waiting

        await self._bus.ask_each(removal_subject(self.service), msgspec.json.encode(Removal(gone)), answered)

    def _kept(self) -> EventStore:
        if self._store is None:
            raise Unavailable(f"{self.service} keeps no events here.", service=self.service)
        return self._store

    def _away(self) -> Unavailable:
        return Unavailable(
            f"{self.service} cannot reach its database. Try again.", service=self.service, retry_after=1
        )

    @asynccontextmanager
    async def working(
        self,
        serving: Serving[Any],
        world: World,
        address: BusAddress | None,
        settings: Settings,
        *,
        alone: bool = True,
        neighbours: Neighbours | None = None,
        audience: Audience | None = None,
    ) -> AsyncIterator[None]:
        """Relay and react while the block lasts, among `neighbours`. `alone`: no other process serves it."""
        near = neighbours or Neighbours({})
        kind, store = serving.kind, self._store
        if store is None or not (kind.contract.events or kind.reactions):
            yield
            return
        self._consumers = {
            producer: Consumer(
                kind.name,
                producer,
                serving.holder,
                kind.reactions,
                store.inbox,
                backoff=settings.event_backoff,
                repeat=settings.repeat_events,
            )
            for producer in sorted({event.service for event, _ in kind.reactions.values()})
        }
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.settled)
            stack.callback(follow(store.dsn, self))
            work: list[Callable[[], Awaitable[None]]] = []
            if address is not None:
                work.append(partial(self._on_the_bus, serving, store, address, settings, alone, near, audience))
            for consumer in self._consumers.values():
                work.append(partial(self._reconciling, consumer, world, settings))
                stack.callback(near.enter(consumer.service, consumer.events, consumer))
            if self._consumers:
                work.append(partial(self._forgetting, store))
            for one in work:
                stack.push_async_callback(_end, asyncio.create_task(lasting(one, of=self.service)))
            yield

    async def _on_the_bus(
        self,
        serving: Serving[Any],
        store: EventStore,
        address: BusAddress,
        settings: Settings,
        alone: bool,
        near: Neighbours,
        audience: Audience | None,
    ) -> None:
        kind = serving.kind
        # NOTE: no fault may end one of the group: in Python 3.11 the group then leaves this very task cancelled
        # (`cancelling()`), and it would end for good.
        async with connected(address, kind.name) as bus, asyncio.TaskGroup() as tasks:
            self._bus = bus
            if kind.contract.events:
                relay = Relay(
                    kind.name,
                    store.outbox,
                    bus,
                    read_again_at=lambda: serving.read_again_at,
                    events=kind.contract.events,
                    dsn=store.dsn,
                    alone=alone,
                    neighbours=near,
                    audience=audience,
                    delay=settings.relay_delay,
                )
                tasks.create_task(lasting(relay.run, of=self.service), name=f"relay of {kind.name}")
            for consumer in self._consumers.values():
                name = f"{kind.name} hears {consumer.producer}"
                tasks.create_task(lasting(partial(consumer.run, bus), of=self.service), name=name)

    async def _reconciling(self, consumer: Consumer, world: World, settings: Settings) -> None:
        """Compare with the producer's own record every now and then: the bus may have lost what it had."""
        call = occurrences_of(consumer.producer, consumer.service)
        while True:
            await asyncio.sleep(jittered(settings.reconcile_every))
            try:
                made = await consumer.reconcile(world, call, older_than=settings.reconcile_after)
            except (Unavailable, Busy, *AWAY) as error:
                log.info("not_reconciled", service=self.service, producer=consumer.producer, error=repr(error))
                continue
            if made:
                log.warning("reconciled", service=self.service, producer=consumer.producer, effects=made)

    async def _forgetting(self, store: EventStore) -> None:
        while True:
            await asyncio.sleep(jittered(FORGET_EVERY))
            try:
                await store.inbox.forget()
            except AWAY as error:  # the next round does it
                log.info("inbox_not_forgotten", service=self.service, error=repr(error))


@asynccontextmanager
async def open_mailroom(service: str, dsn: str | None, keepers: Sequence[Keeper] = ()) -> AsyncIterator[Mailroom]:
    """The mailroom of a service; it works once the service is there. `keepers` are those of its process."""
    if dsn is None:
        yield Mailroom(service)
        return
    async with open_events(dsn, service) as store:
        yield Mailroom(service, store, keepers)


def occurrences_of(producer: str, consumer: str) -> Call[OccurredAsk, OccurredPage]:
    """The call that every producer's contract lists for those who react to it."""
    # A few in a minute, for which lost effects wait: an open breaker would cost them a whole round.
    return Call(f"{producer}/occurrences", OccurredAsk, OccurredPage, safe=True, callers={consumer}, guarded=False)


def letters_of(service: str) -> Call[Nothing, DeadLetters]:
    """The call by which the operator sees what a service set aside."""
    return Call(f"{service}/dead_letters", Nothing, DeadLetters, safe=True, callers={CLI})


def replay_of(service: str) -> Call[EventId, Replay]:
    """The call by which the operator has it try again."""
    return Call(f"{service}/replay_event", EventId, Replay, callers={CLI})


async def _end(task: asyncio.Task[None]) -> None:
    for outcome in await ended(task):
        if isinstance(outcome, Exception):
            log.error("mailroom_task_failed", error=repr(outcome))
