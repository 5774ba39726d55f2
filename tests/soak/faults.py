"""What strikes a fleet: each fault says whether it bit, and is healed after a while."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.chaos.ground import STORED, Ground
from tests.chaos.proxy import Kind, Proxy, Trouble
from tidings import everything

TWOPHASE = frozenset({"users", "friends", "messages"})
EDGE = "edge"
BUS = "nats"
BUS_LOST = "bus data deleted"

AIM = 1.0  # seconds
AWAITS_NEWS = b"maxAwaitTimeMS"  # a MongoDB driver's long poll of the server's state
AT_DELETIONS = 0.4  # of the strikes at who takes part in them

Heal = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Moment:
    """What was going on when a fault struck, asked of who knows."""

    in_flight: Callable[[str], int]  # requests that cannot be answered without a service
    writes: Callable[[], int]  # of people, each of which will be an event
    leaving: Callable[[], int]  # deletions that were asked for
    in_doubt: Callable[[], int]  # deletions that are not finished


@dataclass(eq=False)
class Fault:
    """One that struck. `bit` counts requests in flight through what was struck, and transactions in doubt."""

    kind: str
    target: str
    heal: Heal
    bit: int
    trouble: Trouble | None = None  # of a proxy: it has bitten when something passed there
    on: set[str] = field(default_factory=set)  # whose processes and databases it concerns

    @property
    def has_bitten(self) -> bool:
        return self.bit > 0 and (self.trouble is None or self.trouble.parts > 0)


async def _by_itself() -> None:
    """The supervisor heals it."""


@dataclass(eq=False)
class Faults:
    """Chooses and strikes, by chance."""

    ground: Ground
    chance: random.Random
    moment: Moment

    async def strikes(self) -> Fault:
        """One of all but the loss of the bus's data."""
        ways = [self._kill_process, self._kill_database, self._kill_bus, self._stop_process, self._stop_database]
        weights = [5.0, 3.0, 1.5, 3.0, 2.0]
        kinds: list[Kind] = ["cut", "delay", "swallow", "drip", "hold"]
        ways += [self._disturbing(kind) for kind in kinds]
        weights += [1.5, 1.5, 1.5, 1.5, 1.5]
        return await self.chance.choices(ways, weights)[0]()

    async def bus_lost(self) -> Fault:
        """The bus is killed, and all that it kept is deleted."""
        bus = self.ground.whole.system.installation.bus
        assert bus is not None
        while bus.pid is None:
            await asyncio.sleep(0.05)
        bit = await self._aims(self.moment.writes)
        os.kill(bus.pid, signal.SIGKILL)
        shutil.rmtree(bus.data / "store", ignore_errors=True)
        return Fault(BUS_LOST, BUS, _by_itself, bit)

    async def _kill_process(self) -> Fault:
        target = self.chance.choice([*everything.SERVICES, EDGE])
        bit = await self._aims(lambda: self._felt(target), at_deletions=target in TWOPHASE)
        self.ground.kill(target)
        return Fault("process killed", target, _by_itself, bit, on={target})

    async def _kill_database(self) -> Fault:
        target = self.chance.choice(STORED)
        bit = await self._aims(lambda: self._felt_by_store(target), at_deletions=target in TWOPHASE)
        server = self.ground.databases[target]
        await server.kill()
        return Fault("database killed", target, server.start, bit, on={target})

    async def _kill_bus(self) -> Fault:
        bit = await self._aims(self.moment.writes)
        self.ground._signal(BUS, signal.SIGKILL)
        return Fault("bus killed", BUS, _by_itself, bit)

    async def _stop_process(self) -> Fault:
        target = self.chance.choice([*everything.SERVICES, EDGE])
        bit = await self._aims(lambda: self._felt(target), at_deletions=target in TWOPHASE)
        self.ground.halt(target)
        return Fault("process stopped", target, self._go_on, bit, on={target})

    async def _stop_database(self) -> Fault:
        target = self.chance.choice(STORED)
        bit = await self._aims(lambda: self._felt_by_store(target), at_deletions=target in TWOPHASE)
        self.ground.databases[target].halt()
        return Fault("database stopped", target, self._go_on, bit, on={target})

    def _disturbing(self, kind: Kind) -> Callable[[], Awaitable[Fault]]:
        async def disturb() -> Fault:
            proxy = self.chance.choice(self.ground.proxies)
            seconds = {"delay": self.chance.uniform(0.05, 0.5), "drip": 0.005}.get(kind, 0.0)
            trouble = Trouble(kind, seconds=seconds)
            if self.chance.random() < 0.3:
                trouble.ways = self.chance.choice([("there",), ("back",)])
            behind = self._behind(proxy)

            def felt() -> int:
                return in_flight(proxy) + self._doubts(behind)

            bit = await self._aims(felt, at_deletions=behind in TWOPHASE)
            proxy.disturb(trouble)

            async def heal() -> None:
                trouble.heal()
                proxy.heal()
                proxy.forget()

            name = {"swallow": "half-open", "drip": "slow drip", "hold": "held"}.get(kind, kind)
            return Fault(f"proxy: {name}", proxy.name, heal, bit, trouble, on={self._behind(proxy)})

        return disturb

    async def _go_on(self) -> None:
        self.ground.heal()

    async def _aims(self, felt: Callable[[], int], *, at_deletions: bool = False) -> int:
        """Wait a little until it would bite: how many are in flight then; nothing happens in between."""
        give_up = time.monotonic() + AIM
        if at_deletions and self.chance.random() < AT_DELETIONS:
            while not self.moment.leaving() and time.monotonic() < give_up:
                await asyncio.sleep(0.002)
            await asyncio.sleep(self.chance.uniform(0, 0.15))
        while not felt() and time.monotonic() < give_up:
            await asyncio.sleep(0.001)
        return felt()

    def _behind(self, proxy: Proxy) -> str:
        return proxy.name.partition("'")[0]

    def _felt(self, target: str) -> int:
        through = 0 if target == EDGE else in_flight(self.ground.link(target))
        if target in self.ground.stores:
            through += in_flight(self.ground.store(target))
        return through + (self.moment.in_flight(EDGE) if target == EDGE else 0) + self._doubts(target)

    def _felt_by_store(self, target: str) -> int:
        return in_flight(self.ground.store(target)) + self._doubts(target)

    def _doubts(self, target: str) -> int:
        return self.moment.in_doubt() if target in TWOPHASE else 0


def in_flight(proxy: Proxy) -> int:
    """Requests without an answer yet. A driver that waits for news of its server asks for nobody."""
    return sum(one.waiting and AWAITS_NEWS not in one.request for one in proxy.connections)
