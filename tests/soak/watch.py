"""Watches from beside: who is up, which deletions are in doubt and for how long, and which events wait."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from tests.chaos.ground import Ground
from tests.soak.desk import AWAY, Desk
from tests.soak.faults import BUS, EDGE
from tests.soak.foundation import Announced, announced, prepared
from tidings import everything
from tidings.contracts.friends import GraphChanged
from tidings.contracts.messages import MessageChanged, ReactionChanged
from tidings.services.notifications import rules

LONGEST_DOUBT = 15.0  # seconds, I8
EVERY = 0.1
NEEDED = ("users", "friends", "messages")  # for a deletion to end


@dataclass(eq=False)
class Uptime:
    """Whether all processes and servers run, as far as one can see from outside: each of their sockets accepts."""

    ground: Ground
    desk: Desk
    broken: bool = False  # a fault lasts
    since: float = math.inf  # by time.monotonic; inf while something is down
    total: float = 0.0  # seconds in which all was up

    async def watch(self) -> None:
        looked = time.monotonic()
        while True:
            if self.broken or not await self._all_up():
                self.since = math.inf
            elif math.isinf(self.since):
                self.since = time.monotonic()
            now = time.monotonic()
            self.total += 0.0 if math.isinf(self.since) else now - max(looked, self.since)
            looked = now
            await asyncio.sleep(EVERY)

    def strikes(self) -> None:
        self.broken, self.since = True, math.inf

    async def comes_up(self) -> float:
        """Since when all is up; waits for that."""
        self.broken = False
        while math.isinf(self.since):
            await asyncio.sleep(EVERY / 2)
        return self.since

    async def _all_up(self) -> bool:
        system = self.ground.whole.system
        if any(name not in system.pids for name in (*everything.SERVICES, EDGE, BUS)):
            return False
        try:
            async with asyncio.timeout(2):
                for proxy in self.ground.links.values():
                    _, writer = await asyncio.open_unix_connection(str(proxy.target))
                    writer.close()
                for url in (system.url, system.installation.bus_url or ""):
                    where = urlsplit(url)
                    _, writer = await asyncio.open_connection(where.hostname, where.port)
                    writer.close()
            for name in self.ground.databases:
                await self.desk.answers(name)
        except AWAY:
            return False
        return True


@dataclass(eq=False)
class Doubt:
    """One deletion that is not finished everywhere."""

    deadline: float = -math.inf  # by time.monotonic
    seen_at: float = 0.0
    counted_from: float = math.inf


@dataclass(eq=False)
class Doubts:
    """Deletions in doubt: unfinished in the log, or prepared somewhere.

    `took` holds, for each that was open when its deadline had passed and all needed processes were up, the seconds
    from then to its end.
    """

    desk: Desk
    uptime: Uptime
    open: dict[str, Doubt] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    seen: int = 0
    overdue: dict[str, float] = field(default_factory=dict)

    async def watch(self) -> None:
        while True:
            with contextlib.suppress(*AWAY):
                self._note(await self._look())
            await asyncio.sleep(EVERY)

    async def _look(self) -> dict[str, float]:
        """The open ones, with their deadlines (by time.monotonic; unknown: -inf)."""
        log = "select gid, extract(epoch from deadline - clock_timestamp()) as due from twophase_log"
        found: dict[str, float] = {}
        for service in NEEDED[1:]:
            found.update(dict.fromkeys(await prepared(self.desk, service), -math.inf))
        now = time.monotonic()
        rows = await self.desk.fetch("users", f"{log} where finished_at is null")
        found.update({row["gid"]: now + float(row["due"]) for row in rows})
        return found

    def _note(self, found: Mapping[str, float]) -> None:
        now, up = time.monotonic(), self.uptime.since
        for gid, deadline in found.items():
            if gid not in self.open:
                self.open[gid] = Doubt(seen_at=now)
                self.seen += 1
            self.open[gid].deadline = max(self.open[gid].deadline, deadline)
        for gid, doubt in list(self.open.items()):
            begins = max(doubt.deadline, up)
            if gid in found:
                counts = begins <= now
                doubt.counted_from = begins if counts else math.inf
                if counts and now - max(begins, doubt.seen_at) > LONGEST_DOUBT:
                    self.overdue[gid] = now - begins
            else:
                del self.open[gid]
                if not math.isinf(doubt.counted_from):
                    self.took.append(now - doubt.counted_from)


@dataclass(eq=False)
class Events:
    """What was announced and has not had its effect yet, by outboxes and inboxes."""

    desk: Desk
    done: set[UUID] = field(default_factory=set)

    async def waiting(self) -> set[UUID]:
        """Unpublished, or published and without its effect at one of its consumers. Raises one of AWAY."""
        found: set[UUID] = set()
        for producer in self._stored():
            events = [one for one in await announced(self.desk, producer) if one.id not in self.done]
            missing = {one.id for one in events if one.unpublished}
            for consumer, names in self._consumers(producer).items():
                wanted = [one.id for one in events if one.event in names and has_effect(consumer, one)]
                inbox = await self.desk.fetch(
                    consumer, "select event_id from inbox where event_id = any($1::uuid[])", wanted, within=10
                )
                missing |= set(wanted) - {row["event_id"] for row in inbox}
            self.done |= {one.id for one in events} - missing
            found |= missing
        return found

    def _stored(self) -> list[str]:
        return [name for name in everything.SERVICES if name not in everything.STORELESS]

    def _consumers(self, producer: str) -> dict[str, set[str]]:
        """Who makes effects of which events; those without a database make none that last."""
        return {
            name: {event.name for event, _ in kind.reactions.values() if event.service == producer}
            for name, kind in everything.SERVICES.items()
            if name in self._stored() and any(event.service == producer for event, _ in kind.reactions.values())
        }


def has_effect(consumer: str, one: Announced) -> bool:
    """Whether a reaction writes anything: what concerns nobody is passed over, and leaves no trace."""
    name, body = one.event, one.body
    if consumer == "friends":
        return bool(msgspec.json.decode(body)["friend_ids"])
    if consumer == "media":
        return name not in ("messages.posted", "messages.edited") or bool(msgspec.json.decode(body)["media"])
    if name.startswith("friends."):
        return bool(rules.of_graph(name, msgspec.json.decode(body, type=GraphChanged)))
    if name in ("messages.reacted", "messages.unreacted"):
        return bool(rules.of_reaction(msgspec.json.decode(body, type=ReactionChanged)))
    if name == "messages.posted":
        return bool(rules.of_message(msgspec.json.decode(body, type=MessageChanged)))
    return True
