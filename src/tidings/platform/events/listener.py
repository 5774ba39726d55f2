"""What is heard in passing, in the order in which it was said: for caches, and for reactions without a database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable
from uuid import UUID

import msgspec

from tidings.platform import logs, tracing
from tidings.platform.cache.keeper import Keeper
from tidings.platform.contract import Event
from tidings.platform.events.audience import Audience, Said
from tidings.platform.events.beat import BEAT, REMOVAL, Beat, Removal
from tidings.platform.events.bus import TROUBLE, Bus, BusAddress, Heard, connected
from tidings.platform.occurrence import Occurred, Occurrence
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.service import Reaction

log = logs.get_logger("listener")

DEADLINE = 5.0
_BEAT: Final = msgspec.json.Decoder(Beat)
_EVENT: Final = msgspec.json.Decoder(Occurred)
PAUSE = 0.2
MOST_WAITING: Final = 10_000  # things said here that are not taken in; beyond, they were missed


@runtime_checkable
class Hears(Protocol):
    """What a service without a database holds: it can do without what it missed, once it knows."""

    def missed(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Here:
    """What was said in this process, to all who hear it."""

    producer: str
    said: Said


@dataclass(slots=True)
class _Told:
    """How far one producer's relay has told us."""

    relay: UUID | None = None
    number: int = 0
    events: int = 0  # heard since that beat


class Listener:
    """One service's ears, or the edge's: what it keeps hears first, then its reactions."""

    def __init__(
        self,
        name: str,
        producers: list[str],
        keeper: Keeper,
        *,
        reactions: Mapping[str, tuple[Event, Reaction]] | None = None,
        holder: Any = None,
        audience: Audience | None = None,
        delay: float = 0.0,
    ) -> None:
        if reactions and not isinstance(holder, Hears):
            raise TypeError(f"{name} reacts without a database, so what it holds needs `missed()`")
        self._name = name
        self._producers = producers
        self._keeper = keeper
        self._reactions = reactions or {}
        self._holder = holder
        self._audience = audience or Audience({})
        self._delay = delay
        self._told: dict[str, _Told] = {}
        self._waiting: asyncio.Queue[tuple[float, Heard | Here]] = asyncio.Queue()
        self._back = asyncio.Event()
        self._gaps = 0

    async def run(self, address: BusAddress) -> None:
        """Listen until cancelled; whatever ends it, nothing is heard then."""
        try:
            await self._run(address)
        finally:
            self.gap()

    async def _run(self, address: BusAddress) -> None:
        async with (
            connected(address, self._name, gap=self.gap, back=self._back.set) as bus,
            self._taking_in() as taking_in,
        ):
            for producer in self._producers:
                await bus.hear(producer, self._queue if self._delay else self.heard)
            leave = self._audience.enter(self._name, self._producers, self)
            try:
                self._back.set()
                while True:
                    await self._back.wait()
                    if taking_in.done():
                        taking_in.result()  # a fault: nothing that was said here would be heard any more
                    self._back.clear()
                    await self._again(bus)
            finally:
                leave()

    def gap(self) -> None:
        """The connection was lost: what passes meanwhile is not known. What is said here is heard on, all the same:

        from the next beat of its producer something is kept of it again, whether the bus is there or not.
        """
        self._gaps += 1
        for shelf in self._keeper.shelves.values():
            shelf.deaf()
        self._told.clear()
        if isinstance(self._holder, Hears):
            self._holder.missed()

    async def heard(self, one: Heard | Here) -> None:
        """React. A reaction that fails has missed its event."""
        try:
            if isinstance(one, Here):
                await self._take_in(one.producer, one.said)
                return
            producer, _, name = one.subject.partition(".")
            if name == REMOVAL:
                await self._remove(producer, one)
            else:
                said = _BEAT.decode(one.content) if name == BEAT else _EVENT.decode(one.content)
                await self._take_in(producer, said)
        except Exception:
            subject = one.producer if isinstance(one, Here) else one.subject
            log.exception("not_heard", service=self._name, subject=subject)
            self.gap()
            self._back.set()

    def hears(self, producer: str, said: Said) -> None:
        """What was said in this process; it is taken in behind what was said before."""
        if self._waiting.qsize() < MOST_WAITING:
            self._wait(Here(producer, said))
            return
        log.warning("too_much_to_hear", service=self._name, waiting=self._waiting.qsize())
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self.gap()
        self._back.set()

    async def _take_in(self, producer: str, said: Said) -> None:
        if isinstance(said, Beat):
            self._beat(producer, said)
        else:
            await self._event(producer, said)

    def _listening(self) -> None:
        for shelf in self._keeper.shelves.values():
            shelf.listening()
        if isinstance(self._holder, Hears):
            self._holder.missed()

    async def _again(self, bus: Bus) -> None:
        """The subscriptions are there again once the bus has answered what was asked after them."""
        gaps = self._gaps
        try:
            await bus.flush()
        except TROUBLE as error:
            log.info("not_listening", service=self._name, error=repr(error))
            await asyncio.sleep(PAUSE)
            self._back.set()
            return
        if self._gaps == gaps:  # or else it was lost again, and what comes back begins anew
            self._told.clear()
            self._listening()

    def _beat(self, producer: str, beat: Beat) -> None:
        told = self._told.setdefault(producer, _Told())
        # The first one that is heard is none: what was said in passing until then may have been lost.
        expected = (beat.relay, beat.number) == (told.relay, told.number + 1) and beat.told == told.events
        if not expected:
            if told.relay is not None:
                log.info("events_missed", service=self._name, producer=producer, heard=told.events, told=beat.told)
            self._missed(producer)
        self._told[producer] = _Told(beat.relay, beat.number)
        shelf = self._keeper.shelves.get(producer)
        if shelf is not None:
            shelf.beat(beat.at_ns)

    def _missed(self, producer: str) -> None:
        shelf = self._keeper.shelves.get(producer)
        if shelf is not None:
            shelf.listening()
        if isinstance(self._holder, Hears):
            self._holder.missed()

    async def _remove(self, producer: str, one: Heard) -> None:
        self._keeper.heard(producer, msgspec.json.decode(one.content, type=Removal).gone)
        if one.respond is not None:
            with contextlib.suppress(*TROUBLE):  # who waits for it does so for a second at most
                await one.respond(self._keeper.id.bytes)

    async def _event(self, producer: str, one: Occurred) -> None:
        self._told.setdefault(producer, _Told()).events += 1
        self._keeper.heard(producer, [(one.subject, one.version)])
        if (stirring := self._keeper.stirring.get(one.event)) is not None:
            told = msgspec.json.decode(one.body, type=stirring.body)
            self._keeper.stirred(producer, stirring.stirred(told))
        found = self._reactions.get(one.event)
        if found is None:
            return
        event, reaction = found
        body = msgspec.json.decode(one.body, type=event.body)
        occurrence = Occurrence(one.id, event, one.subject, one.version, body)
        request = Request(Viewer(role="operator"), caller=event.service, deadline=time.monotonic() + DEADLINE)
        with tracing.span(f"react {one.event}", parent=tracing.parse(one.trace)), answering(request):
            await reaction(self._holder, occurrence)

    # What waits for its turn: what was said here; and all of a bus that is slow, in tests.

    async def _queue(self, one: Heard) -> None:
        self._wait(one)

    def _wait(self, one: Heard | Here) -> None:
        self._waiting.put_nowait((time.monotonic() + self._delay, one))

    @asynccontextmanager
    async def _taking_in(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self._hand_on(), name=f"{self._name} takes in what it hears")
        task.add_done_callback(lambda _: self._back.set())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _hand_on(self) -> None:
        while True:
            due, one = await self._waiting.get()
            if self._delay:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.heard(one)
