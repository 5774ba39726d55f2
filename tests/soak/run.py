"""A soak: people live, faults strike and heal, and from time to time everything rests and is judged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import aiohttp

from tests.chaos.ground import Ground, fleet
from tests.consistency.checker import Violation
from tests.harness.people import Client, once
from tests.soak.desk import AWAY, Desk
from tests.soak.faults import BUS_LOST, Fault, Faults, Moment
from tests.soak.invariants import AtRest
from tests.soak.people import Gone, Town
from tests.soak.report import Report, check_in_doubt
from tests.soak.watch import Doubts, Events, Uptime
from tests.soak.ways import Days
from tests.soak.witness import Witness

STAGE = 120.0  # seconds between rests
SOONEST, LATEST = 5.0, 9.0  # seconds from one strike to the next
CONVERGED = 10.0  # seconds after healing
CONVERGED_AFTER_LOSS = 90.0
COMES_UP = 60.0
ALL_DONE = 120.0  # for everybody to end what they were doing
LOOK = 0.25
CACHES = 1.5  # seconds after which no cache may be older than what is at rest
EVERY_THIRD = 3  # stage begins with the loss of the bus's data

SETTINGS = {
    "watched": False,
    "repeat_safe_calls": False,
    "repeat_events": True,
    "event_backoff": 0.2,
    "call_deadline": 2.0,
}


class StaysDown(Exception):
    """Something did not come up again: there is nobody left to judge."""


@dataclass(eq=False)
class Soak:
    """One run on one fleet."""

    ground: Ground
    report: Report
    tell: Callable[[str], None]
    town: Town
    days: Days
    faults: Faults
    uptime: Uptime
    doubts: Doubts
    events: Events
    rest: AtRest
    pacer: Desk
    lost: set[UUID] = field(default_factory=set)  # events that waited when the bus had lost its data
    lost_at: float = 0.0  # by the seconds in which all was up

    # Faults.

    async def stage(self, seconds: float, *, with_loss: bool) -> None:
        """Strike and heal, again and again."""
        ends = time.monotonic() + seconds
        chance = self.faults.chance
        self.days.open.set()
        await asyncio.sleep(min(2.0, seconds))
        while time.monotonic() < ends:
            struck = time.monotonic()
            fault = await (self.faults.bus_lost() if with_loss else self.faults.strikes())
            with_loss = False
            self.uptime.strikes()
            await asyncio.sleep(chance.uniform(0.5, 3.5))
            await fault.heal()
            self._counts(fault)
            up = await self._comes_up(fault)
            next_at = struck + chance.uniform(SOONEST, LATEST)
            if fault.kind == BUS_LOST:
                self.lost, self.lost_at = await self._waiting(), self.uptime.total
            await self._converges(up, until=next_at)
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))

    def _counts(self, fault: Fault) -> None:
        self.report.struck[fault.kind] += 1
        self.report.bit[fault.kind] += fault.has_bitten
        self.tell(
            f"{fault.kind}: {fault.target}, {fault.bit} in flight" + ("" if fault.has_bitten else " (no bite)")
        )

    async def _comes_up(self, fault: Fault) -> float:
        try:
            async with asyncio.timeout(COMES_UP):
                return await self.uptime.comes_up()
        except TimeoutError:
            raise StaysDown(f"not up within {COMES_UP} s after {fault.kind} of {fault.target}") from None

    async def _converges(self, up: float, *, until: float) -> None:
        """How long what waited at the healing still waits; given up when the next fault strikes."""
        waiting = await self._waiting() - self.lost
        while waiting:
            if time.monotonic() > until:
                self.report.interrupted += 1
                return
            if time.monotonic() - up > CONVERGED:
                self._finds("I7", f"{len(waiting)} events are without effect {CONVERGED} s after healing")
                return
            await asyncio.sleep(LOOK)
            waiting &= await self._waiting()
        self.report.converged.append(time.monotonic() - up)

    async def _waiting(self) -> set[UUID]:
        while True:
            try:
                return await self.events.waiting()
            except AWAY:  # a database that was killed is not up yet
                await asyncio.sleep(LOOK)

    async def pace(self) -> None:
        """People take it slower while much is on its way."""
        events = Events(self.pacer)
        while True:
            await asyncio.sleep(1.0)
            with contextlib.suppress(*AWAY):
                waiting = await events.waiting()
                self.days.slows_down(len(waiting))
                self._recovers(waiting)

    def _recovers(self, waiting: set[UUID]) -> None:
        """What the bus lost has its effect in time, counted while all is up."""
        if not self.lost:
            return
        took = self.uptime.total - self.lost_at
        if not self.lost & waiting:
            self.report.converged_after_loss.append(took)
            self.lost = set()
        elif took > CONVERGED_AFTER_LOSS:
            left = len(self.lost & waiting)
            self._finds(
                "I7", f"{left} events that the bus lost are without effect after {took:.0f} s of all being up"
            )
            self.lost = set()

    # Rest.

    async def calm(self) -> None:
        """Everybody pauses; all must come to agree in time, and is judged then."""
        self.days.open.clear()
        up = await self.uptime.comes_up()
        await self._all_done()
        quiet = max(up, time.monotonic())
        await self._agrees(quiet)
        self.report.violations += await self._judged()
        await asyncio.sleep(max(0.0, quiet + CACHES - time.monotonic()))
        await self._everybody_looks()
        self.report.calms += 1

    async def _all_done(self) -> None:
        give_up = time.monotonic() + ALL_DONE
        while self.town.witness.under_way:
            if time.monotonic() > give_up:
                stuck = tuple(self.town.witness.under_way)[:5]
                self.report.violations.append(Violation("I3", f"no answer in {ALL_DONE} s, all being up", stuck))
                return
            await asyncio.sleep(LOOK)

    async def _agrees(self, quiet: float) -> None:
        while True:
            waiting, unlike = await self._waiting(), await self.rest.projections()
            if not waiting and not unlike:
                self.report.converged.append(time.monotonic() - quiet)
                return
            if self.lost:  # its own time is kept where people are paced
                quiet = time.monotonic()
            if time.monotonic() - quiet > CONVERGED:
                for one in unlike[:10]:
                    self._finds("I7", one)
                if waiting:
                    self._finds("I7", f"{len(waiting)} events are without effect: {sorted(map(str, waiting))[:5]}")
                return
            await asyncio.sleep(LOOK)

    async def _judged(self) -> list[Violation]:
        deletions, self.days.deletions = self.days.deletions, []
        for one in deletions:
            told = {True: "acknowledged", False: "aborted", None: "without an answer"}[one.told]
            exactly = ", compared byte for byte" if one.before is not None and not one.told else ""
            self.report.deletions[told + exactly] += 1
        return await self.rest.all(deletions, self.ground.dsns)

    async def _everybody_looks(self) -> None:
        """Each has to be shown all that was acknowledged to anybody, as far as it is for them."""
        witness = self.town.witness
        room = asyncio.Semaphore(4)

        async def looks(handle: str) -> None:
            citizen = self.town.living[handle]
            witness.checker.knows_all(handle, witness.history.clock())
            async with room:
                with contextlib.suppress(Gone):
                    await citizen.sees_feed(limit=100)
                    await citizen.sees_timeline()
                    await citizen.sees_friends()
                    await citizen.sees_requests()
                    await citizen.sees_notifications()

        await asyncio.gather(*(looks(handle) for handle in list(self.town.living)))

    def _finds(self, invariant: str, what: str) -> None:
        self.report.violations.append(Violation(invariant, what))


@asynccontextmanager
async def prepared(
    report: Report, tell: Callable[[str], None], *, people: int, pairs: int, on_mongodb: Collection[str]
) -> AsyncIterator[Soak]:
    """A fleet with people who live there, and who watches it."""
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(fleet(on_mongodb=on_mongodb, **SETTINGS))
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, middlewares=(once,)))
        desks = [Desk(ground.dsns) for _ in range(5)]
        for desk in desks:
            stack.push_async_callback(desk.close)
        witness, chance = Witness(report.violations), random.Random(report.seed)
        town = Town(Client(session, ground.whole.client.base), witness, random.Random(chance.random()))
        days = Days(town, ground.dsns)
        uptime = Uptime(ground, desks[0])
        doubts = Doubts(desks[1], uptime)
        moment = Moment(
            in_flight=witness.in_flight,
            writes=lambda: sum(bool(one.may) for one in witness.under_way),
            leaving=lambda: sum(one.kind == "leave" for one in witness.under_way),
            in_doubt=lambda: len(doubts.open),
        )
        faults = Faults(ground, random.Random(chance.random()), moment)
        soak = Soak(
            ground,
            report,
            tell,
            town,
            days,
            faults,
            uptime,
            doubts,
            Events(desks[2]),
            AtRest(town, desks[3], ground.whole.settings.data / "blobs" / "media"),
            desks[4],
        )
        lives = [days.lives] * people + [days.comes_and_goes] * pairs
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one()) for one in (uptime.watch, doubts.watch, soak.pace, *lives)]
            await uptime.comes_up()
            yield soak
            for task in running:
                task.cancel()


async def soak(
    minutes: float,
    seed: int,
    *,
    people: int = 14,
    pairs: int = 2,
    on_mongodb: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
    keep: Path | None = None,
) -> Report:
    """Run one and report; `keep`, a folder, gets its history and logs. Raises what keeps it from being run."""
    report = Report(seed, on_mongodb=tuple(on_mongodb))
    async with prepared(report, tell, people=people, pairs=pairs, on_mongodb=on_mongodb) as one:
        began = time.monotonic()
        try:
            await _goes_on(one, until=began + minutes * 60)
        except StaysDown as down:
            report.violations.append(Violation("I8", str(down)))
        report.seconds = time.monotonic() - began
        _sums_up(one)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            one.town.witness.history.save(keep / "history")
            shutil.copytree(one.ground.whole.settings.data / "logs", keep / "logs", dirs_exist_ok=True)
    return report


async def _goes_on(one: Soak, *, until: float) -> None:
    """Stages and rests, in turn."""
    number = told = 0
    while (left := until - time.monotonic()) > 1:
        await one.stage(min(STAGE, left), with_loss=number % EVERY_THIRD == 1)
        await one.calm()
        number += 1
        found, done = one.report.violations, sum(one.town.witness.counts.values())
        one.tell(f"at rest: {done:,} operations so far, {len(found)} violations")
        for violation in found[told:]:
            one.tell(f"VIOLATION {violation.in_words()}")
        told = len(found)


def _sums_up(one: Soak) -> None:
    report, witness = one.report, one.town.witness
    report.operations = witness.counts
    report.shown = witness.shown
    report.in_doubt_seen, report.in_doubt = one.doubts.seen, one.doubts.took
    for gid, seconds in one.doubts.overdue.items():
        report.violations.append(Violation("I8", f"{gid} was in doubt for {seconds:.1f} s with everything up"))
    check_in_doubt(report)
