"""The mix of DeathStarBench's social network, in an open loop: which rate is borne with a 99th percentile of 20 ms.

Gan et al., "An Open-Source Benchmark Suite for Microservices and Their Hardware-Software Implications for Cloud &
Edge Systems", ASPLOS 2019: 60 % read their home timeline, 30 % somebody's messages, 10 % write. What differs here:
an author who is read is a friend of the reader, as are those who are mentioned; pictures are the author's own,
uploaded before the clock starts, so the few dozen people who have some are those who write. Servers, engines and
load share all cores.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import msgspec

from tidings.bench import openloop, room, sides
from tidings.bench.crowd import HOME, Asking, Author, Crowd, Pages, Places, Variant, of_author
from tidings.bench.inhabited import SEED, Tell, bearing, each, filled
from tidings.bench.openloop import Operation, due_times
from tidings.bench.runs import Failed, Tried, run, told
from tidings.bench.sides import Reach, Side
from tidings.bench.sweep import Steps, highest
from tidings.contracts.users import UserId
from tidings.demo.graph import Graph

MESSAGES_EACH: Final = 10
DEEPEST: Final = 9  # pages below the first: the original begins anywhere in the first hundred
WALKED: Final = 3  # authors of each reader
COMPOSERS: Final = 16
WARMING: Final = 12  # requests at once, before the clock starts
MOST_WARMING: Final = 20_000
ENOUGH: Final = 400  # requests of a run: of fewer, one in a hundred is chance
MESSAGE_BYTES: Final = 2000  # of one that is imported, in databases and on the bus
LOG_BYTES: Final = 7000  # of the same in the logs of databases, which keep no more than
MOST_LOG_BYTES: Final = 2_000_000_000


@dataclass(frozen=True)
class Plan:
    """What is measured. `after`: writing alone, in a closed loop, before and after so many messages."""

    variant: Variant = "feed"
    pages: Pages = "dense"
    seconds: float = 5.0
    warm_up: int = 7  # requests for each of the people, in a closed loop, after everybody has read their home
    posting: int = 48  # people with pictures of their own
    steps: Steps = field(default_factory=Steps)
    after: int = 0
    composes: int = 1000
    rounds: int = 5


class Step(msgspec.Struct, frozen=True):
    """A run of the sweep, in short."""

    rate: float
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: dict[str, int]
    late_p99_ms: float
    kept_up: bool
    others: float


class Share(msgspec.Struct, frozen=True):
    """What one operation came to; the medians over runs."""

    p50_ms: float
    p99_ms: float
    bytes_each: float
    non_empty: float | None


class Outcome(msgspec.Struct, frozen=True):
    """`rate` is the highest whose 99th percentile, as the median of `runs` at it, is within the limit.

    `per_core` is over the cores of the machine, which the load uses too; `per_busy_core` over the processor time of
    Tidings and its engines alone. All others are medians over those runs. Bytes are those of bodies.
    """

    variant: Variant
    pages: Pages
    people: int
    friendships: int
    graph: str
    cores: int
    limit_ms: float
    rate: float
    runs: int
    p50_ms: float
    p99_ms: float
    p99_least_ms: float
    p99_most_ms: float
    per_core: float
    per_busy_core: float
    non_empty: float
    bytes_each: float
    server_us: float
    engines_us: float
    generator_us: float
    late_p99_ms: float
    kept_up: bool
    others: float
    operations: dict[str, Share]
    sweep: list[Step]


class Composed(msgspec.Struct, frozen=True):
    """Messages written a second, in a closed loop, with so many messages there already.

    Those who are mentioned are notified meanwhile and after, which takes more than writing does.
    """

    messages: int
    per_second: float
    least: float
    most: float
    p50_ms: float
    p99_ms: float
    server_us: float
    engines_us: float


class After(msgspec.Struct, frozen=True):
    """`ratio`: the rate when full over the rate when empty."""

    at_once: int
    empty: Composed
    full: Composed
    ratio: float


def quicker(plan: Plan) -> Plan:
    """In about two minutes, of which half are spent before the clock starts."""
    steps = replace(plan.steps, factor=1.5, narrowings=1, repetitions=3, most_runs=16)
    return replace(plan, seconds=2.0, posting=12, steps=steps, composes=400, rounds=1)


def room_needed(plan: Plan) -> int:
    """Bytes on the disk that it takes, about."""
    return room.EMPTY_BYTES + plan.after * MESSAGE_BYTES + min(plan.after * LOG_BYTES, MOST_LOG_BYTES)


@dataclass(frozen=True)
class Mixing:
    """A Tidings with people and their messages in it, at rest, and what is asked of it."""

    side: Side
    people: Sequence[UserId]
    tokens: Sequence[str]  # of each of them
    asking: Asking
    folder: Path
    tell: Tell
    seeds: Iterator[int] = field(default_factory=lambda: count(1))

    async def attempt(self, rate: float, seconds: float, became: Path | None = None) -> Tried:
        """One run at that rate, no shorter than it takes to say something of one request in a hundred."""
        seed, seconds = next(self.seeds), max(seconds, ENOUGH / rate)
        asked = self.asking.mixed(len(due_times(rate, seconds, seed)))
        tried = await run(self.side, self.folder, asked, rate=rate, seconds=seconds, seed=seed, became=became)
        self.tell(told(rate, tried))
        await sides.at_rest(self.side)
        return tried


@asynccontextmanager
async def mixing(
    plan: Plan, graph: Graph, folder: Path, reach: Reach, tell: Tell, *, sheds: bool = False
) -> AsyncIterator[Mixing]:
    """Ready, and warm. `sheds`: as `sides.tidings` has it."""
    crowd = Crowd.of(graph, SEED)
    there = filled(crowd, folder, reach, tell, posting=plan.posting, sheds=sheds)
    async with there as (side, operator, author, tokens):
        tell("Importing messages ...")
        await sides.import_messages(author.history(MESSAGES_EACH * graph.people), side, operator)
        places = Places.first(graph.people)
        if plan.pages == "sparse":
            tell("Walking to deep pages ...")
            places = await _walk(author, side, tokens, plan.variant)
        await sides.at_rest(side)
        asking = Asking(author, tokens=tokens, host=side.host, variant=plan.variant, places=places)
        ready = Mixing(side, crowd.people, tokens, asking, folder, tell)
        tell("Warming up ...")
        for asked in (asking.homes(), asking.mixed(min(plan.warm_up * graph.people, MOST_WARMING))):
            warmed = await run(side, folder, asked, at_once=WARMING)
            if warmed.failures:
                raise Failed(f"Before the clock started, {warmed.failures} of {len(asked)} requests failed.")
            await sides.at_rest(side)
        yield ready


async def measure(plan: Plan, graph: Graph, folder: Path, reach: Reach, tell: Tell) -> Outcome:
    """Raises `DidNotStart`, `Failed` and `NoRate`."""
    async with mixing(plan, graph, folder, reach, tell) as mixed:
        found = await highest(lambda rate: mixed.attempt(rate, plan.seconds), plan.steps)
    return _outcome(plan, graph, found.rate, found.runs, found.tried)


async def measure_after(plan: Plan, graph: Graph, folder: Path, reach: Reach, tell: Tell) -> After:
    """Writing alone, with nothing there, then with `plan.after` messages. Raises `DidNotStart` and `Failed`."""
    crowd = Crowd.of(graph, SEED)
    async with filled(crowd, folder, reach, tell, posting=plan.posting) as (side, operator, author, tokens):
        asking = Asking(
            author, tokens=tokens, host=side.host, variant=plan.variant, places=Places.first(graph.people)
        )

        async def composed(there: int) -> Composed:
            tell(f"Writing, with {there:,} messages there ...")
            await sides.at_rest(side)
            runs = []
            for turn in range(plan.rounds + 1):
                tried = await run(side, folder, asking.composing(plan.composes), at_once=COMPOSERS)
                if tried.failures:
                    raise Failed(f"{tried.failures} of {tried.loaded.offered} messages were not written.")
                runs += [tried] if turn else []  # the first warms up
                await sides.at_rest(side)
            return _composed(there, runs)

        empty = await composed(0)
        tell(f"Importing {plan.after:,} messages ...")
        await sides.import_messages(author.history(plan.after, bare=True), side, operator)
        full = await composed(plan.after)
    return After(COMPOSERS, empty, full, round(full.per_second / empty.per_second, 3))


async def _walk(author: Author, side: Side, tokens: Sequence[str], variant: Variant) -> Places:
    """Each home and some authors, as many pages down as chance says, or as there are."""
    crowd, chance = author.crowd, author.chance
    async with aiohttp.ClientSession(side.url) as session:

        async def down(path: str, token: str) -> str | None:
            cursor: str | None = None
            for _ in range(chance.randint(0, DEEPEST)):
                more = {} if cursor is None else {"cursor": cursor}
                async with session.get(f"{path}", params=more, headers=bearing(token)) as answer:
                    answer.raise_for_status()
                    found: dict[str, Any] = await answer.json()
                if found.get("next_cursor") is None:
                    break
                cursor = found["next_cursor"]
            return cursor

        async def of(number: int) -> tuple[str | None, list[tuple[int, str | None]]]:
            known = crowd.friends[number]
            some = chance.sample(known, min(WALKED, len(known)))
            authors = [(one, await down(of_author(crowd.people[one]), tokens[number])) for one in some]
            return await down(HOME[variant], tokens[number]), authors

        walked = await each(range(len(tokens)), of)
    return Places([home for home, _ in walked], [authors for _, authors in walked])


def _outcome(
    plan: Plan, graph: Graph, rate: float, runs: Sequence[Tried], tried: Sequence[tuple[float, Tried]]
) -> Outcome:
    def middle(of: Callable[[Tried], float], digits: int = 1) -> float:
        return round(median(map(of, runs)), digits)

    cores = len(os.sched_getaffinity(0))
    operations = {
        name: _share(name, runs) for name in sorted({name for run in runs for name in run.loaded.operations})
    }
    judged = {name: one.non_empty for name, one in operations.items() if one.non_empty is not None}
    asked = {name: sum(one.offered for one in _of(name, runs)) for name in judged}
    return Outcome(
        variant=plan.variant,
        pages=plan.pages,
        people=graph.people,
        friendships=len(graph.edges),
        graph=graph.digest.hex(),
        cores=cores,
        limit_ms=plan.steps.p99_ms,
        rate=round(rate, 1),
        runs=len(runs),
        p50_ms=middle(lambda one: one.loaded.latency.p50_ms, 2),
        p99_ms=middle(lambda one: one.p99_ms, 2),
        p99_least_ms=round(min(one.p99_ms for one in runs), 2),
        p99_most_ms=round(max(one.p99_ms for one in runs), 2),
        per_core=round(rate / cores, 1),
        per_busy_core=middle(lambda one: 1e6 / (one.server_us + one.engines_us)),
        non_empty=round(sum(asked[name] * judged[name] for name in judged) / max(1, sum(asked.values())), 3),
        bytes_each=middle(lambda one: one.loaded.bytes_each),
        server_us=middle(lambda one: one.server_us),
        engines_us=middle(lambda one: one.engines_us),
        generator_us=middle(lambda one: one.generator_us),
        late_p99_ms=middle(lambda one: one.loaded.late.p99_ms, 2),
        others=middle(lambda one: one.others, 3),
        kept_up=median(one.loaded.late.p99_ms for one in runs) <= openloop.LATE,
        operations=operations,
        sweep=[_step(at, one) for at, one in tried],
    )  # fmt: skip


def _share(name: str, runs: Sequence[Tried]) -> Share:
    found = _of(name, runs)
    shares = [one.non_empty for one in found if one.non_empty is not None]
    return Share(
        p50_ms=round(median(one.latency.p50_ms for one in found), 2),
        p99_ms=round(median(one.latency.p99_ms for one in found), 2),
        bytes_each=round(median(one.bytes_each for one in found), 1),
        non_empty=round(median(shares), 3) if shares else None,
    )


def _of(name: str, runs: Sequence[Tried]) -> list[Operation]:
    return [run.loaded.operations[name] for run in runs if name in run.loaded.operations]


def _step(rate: float, tried: Tried) -> Step:
    loaded = tried.loaded
    return Step(
        rate=round(rate, 1),
        per_second=loaded.per_second,
        p50_ms=loaded.latency.p50_ms,
        p99_ms=loaded.latency.p99_ms,
        failed=loaded.failed,
        late_p99_ms=loaded.late.p99_ms,
        kept_up=loaded.kept_up,
        others=tried.others,
    )


def _composed(there: int, runs: Sequence[Tried]) -> Composed:
    rates = [one.loaded.per_second for one in runs]
    return Composed(
        messages=there,
        per_second=round(median(rates), 1),
        least=min(rates),
        most=max(rates),
        p50_ms=round(median(one.loaded.latency.p50_ms for one in runs), 2),
        p99_ms=round(median(one.p99_ms for one in runs), 2),
        server_us=round(median(one.server_us for one in runs), 1),
        engines_us=round(median(one.engines_us for one in runs), 1),
    )
