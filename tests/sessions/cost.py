"""What tokens and beats cost: `python -m tests.sessions.cost`. On an idle machine; ends with a line of JSON.

Two systems of several processes stand side by side with the same people and messages, and both cache. In one,
freshness is on and each client keeps the Tidings-Seen of its last answer and sends it with its next request; in the
other it is off, and clients neither keep nor send one. The same clients read the same timelines and feeds in both,
one system after the other, in pairs whose order alternates; a pair gives the time that a read takes with tokens,
divided by the time without. Pairs go on until the 95 % interval of their median is narrower than 10 points.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psutil

from tests.harness.people import Person
from tests.sessions.run import Started, started
from tidings.cli.operator import Operator
from tidings.contracts import friends, messages, users
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.ids import bucket_of, uuid7

LEAST, MOST = 15, 60  # pairs
NARROW = 0.10  # the interval's width at which no more are needed
ALLOWED = 0.10  # its upper end stays below


@dataclass(frozen=True)
class Reading:
    """Seconds a read, by the clock and by what all processes of the system used of the processors."""

    wall: float
    processor: float
    hits: float  # the share of what caches were asked for


class Town:
    """Readers with friends in common, in one system."""

    def __init__(self, system: Started, readers: list[Person], *, tokens: bool, writes: float) -> None:
        self._system = system
        self._readers = readers
        self._tokens = tokens
        self._writes = writes

    @classmethod
    async def found(cls, system: Started, *, readers: int, circle: int, tokens: bool, writes: float) -> Town:
        crowd = await _crowd(system.operator, circle)
        people = [await system.client.joins(f"Reader{number}") for number in range(readers)]
        me_and_they = [
            friends.ImportedFriendship(a=UserId(UUID(person.id)), b=one, since_ms=now_ms())
            for person in people
            for one in crowd
        ]
        for start in range(0, len(me_and_they), 500):
            part = friends.ImportFriendships(friendships=me_and_they[start : start + 500])
            await system.operator.call(friends.import_friendships, part)
        return cls(system, people, tokens=tokens, writes=writes)

    async def read(self, seconds: float, seed: int) -> Reading:
        """All readers at once, each one request after another: two timelines to a feed."""
        processes = [psutil.Process(pid) for pid in self._system.pids.values()]
        everyone = [*processes, *(child for one in processes for child in one.children(recursive=True))]
        cached, used, began = await self._system.cache_reads(), _used(everyone), time.perf_counter()
        ends = began + seconds
        counts = await asyncio.gather(
            *(self._reads(person, ends, random.Random(f"{seed} {n}")) for n, person in enumerate(self._readers))
        )
        took, used = time.perf_counter() - began, _used(everyone) - used
        cached = await self._system.cache_reads() - cached
        return Reading(took / sum(counts), used / sum(counts), cached["hit"] / max(1, cached.total()))

    async def _reads(self, person: Person, ends: float, chance: random.Random) -> int:
        done = 0
        while time.perf_counter() < ends:
            if chance.random() < self._writes:
                answer = await person.post("/v1/messages", {"text": "a word"})
            else:
                answer = await person.get("/v1/feed?limit=10" if done % 3 == 2 else "/v1/timeline?limit=10")
            assert answer.status < 300, (answer.status, answer.raw)
            if not self._tokens:
                person.seen = None
            done += 1
        return done


def _used(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for one in processes:
        try:
            spent = one.cpu_times()
        except psutil.NoSuchProcess:  # a database connection that ended
            continue
        total += spent.user + spent.system
    return total


async def _crowd(operator: Operator, size: int) -> list[UserId]:
    now = now_ms()
    ids = [UserId(uuid7(now)) for _ in range(size)]
    people = [
        users.ImportedPerson(id=one, handle=f"crowd_{n}", name=f"Friend {n}", bio="", created_ms=now)
        for n, one in enumerate(ids)
    ]
    await operator.call(users.import_people, users.ImportPeople(people=people))
    said = [
        messages.ImportedMessage(
            id=MessageId(uuid7(now - 10_000 + n, rand_a=bucket_of(one))), author_id=one, text="word " * 40
        )
        for n, one in enumerate(ids)
    ]
    await operator.call(messages.import_messages, messages.ImportMessages(messages=said))
    return ids


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the median by order statistics: it asks nothing of the distribution.

    The count of values below the median is binomial (n, 1/2): Conover, Practical Nonparametric Statistics, 3.2.
    """
    ordered, n = sorted(values), len(values)
    below = 0.0  # the chance that the median lies outside on one side
    rank = 0
    while below + math.comb(n, rank) / 2**n <= 0.025:
        below += math.comb(n, rank) / 2**n
        rank += 1
    if not rank:
        raise ValueError(f"{n} values are too few for an interval of 95 %")
    return ordered[rank - 1], ordered[n - rank]


async def measured(seconds: float, readers: int, circle: int, writes: float, *, quiet: bool) -> dict[str, object]:
    async with started("on") as with_tokens, started("off") as without:
        on = await Town.found(with_tokens, readers=readers, circle=circle, tokens=True, writes=writes)
        off = await Town.found(without, readers=readers, circle=circle, tokens=False, writes=writes)
        for town in (on, off):
            await town.read(seconds, 0)
        walls: list[float] = []
        processors: list[float] = []
        hits: list[tuple[float, float]] = []
        for number in range(1, MOST + 1):
            pair = {}
            for town in (on, off) if number % 2 else (off, on):
                pair[town] = await town.read(seconds, number)
            walls.append(pair[on].wall / pair[off].wall - 1)
            processors.append(pair[on].processor / pair[off].processor - 1)
            hits.append((pair[on].hits, pair[off].hits))
            if not quiet:
                print(
                    f"pair {number:2}: {pair[on].wall * 1000:.2f} ms a read with tokens, "
                    f"{pair[off].wall * 1000:.2f} ms without: {walls[-1]:+.1%} (processors {processors[-1]:+.1%})",
                    flush=True,
                )
            if number >= LEAST:
                low, high = interval(walls)
                if high - low < NARROW:
                    break
    low, high = interval(walls)
    cpu_low, cpu_high = interval(processors)
    return {
        "writes": writes,
        "pairs": len(walls),
        "median": statistics.median(walls),
        "interval": [low, high],
        "processors": {"median": statistics.median(processors), "interval": [cpu_low, cpu_high]},
        "hits": {"on": statistics.mean(a for a, _ in hits), "off": statistics.mean(b for _, b in hits)},
        "narrow": high - low < NARROW,
        "ok": high - low < NARROW and high < ALLOWED,
    }


def main() -> int:
    asks = argparse.ArgumentParser(prog="python -m tests.sessions.cost", description=__doc__)
    asks.add_argument("--seconds", type=float, default=2.0, help="of reading in one system, half a pair")
    asks.add_argument("--readers", type=int, default=12)
    asks.add_argument("--friends", type=int, default=50)
    asks.add_argument("--writes", type=float, default=0.0, help="the share of requests that post a message")
    asks.add_argument("--json", action="store_true", help="print the last line only")
    asked = asks.parse_args()
    found = asyncio.run(measured(asked.seconds, asked.readers, asked.friends, asked.writes, quiet=asked.json))
    if not asked.json:
        low, high = found["interval"]  # type: ignore[misc]
        print(
            f"tokens cost {found['median']:+.1%}, 95 % interval {low:+.1%} to {high:+.1%}, {found['pairs']} pairs"
        )
    print(json.dumps({"tokens_cost": found}))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
