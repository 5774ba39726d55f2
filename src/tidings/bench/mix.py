"""The mix of DeathStarBench's social network, in an open loop: which rate is borne with a 99th percentile of 20 ms.

Gan et al., "An Open-Source Benchmark Suite for Microservices and Their Hardware-Software Implications for Cloud &
Edge Systems", ASPLOS 2019: 60 % read their home timeline, 30 % somebody's messages, 10 % write. What differs here:
an author who is read is a friend of the reader, as are those who are mentioned; pictures are the author's own,
uploaded before the clock starts, so the few dozen people who have some are those who write. Servers, engines and
load share all cores.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
import psutil

from tidings.bench import openloop, sides
from tidings.bench.crowd import (
    HOME,
    LISTS,
    NOTHING_MISSING,
    PICTURES,
    Asking,
    Author,
    Crowd,
    Pages,
    Places,
    Variant,
    of_author,
)
from tidings.bench.openloop import Asked, Loaded, Operation, due_times
from tidings.bench.sides import Caller, Reach, Side
from tidings.bench.sweep import Steps, highest
from tidings.contracts import messages
from tidings.contracts.media import Picture
from tidings.demo.graph import Graph

SEED: Final = 7
MESSAGES_EACH: Final = 10
BATCH: Final = 1000
REST_AFTER: Final = 20_000  # messages
AT_ONCE: Final = 8  # of what is done before the clock starts
DEEPEST: Final = 9  # pages below the first: the original begins anywhere in the first hundred
WALKED: Final = 3  # authors of each reader
COMPOSERS: Final = 16
START_SECONDS: Final = 0.3  # of processor time, that the load takes to start
QUIET: Final = 0.05  # of the machine that others may use without a word
ENOUGH: Final = 400  # requests of a run: of fewer, one in a hundred is chance
MESSAGE_BYTES: Final = 6000  # of one that is imported, in databases and on the bus
LOG_BYTES: Final = 7000  # of the same in the logs of databases, which keep no more than
MOST_LOG_BYTES: Final = 2_000_000_000

Item = TypeVar("Item")
Done = TypeVar("Done")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is measured. `after`: writing alone, in a closed loop, before and after so many messages."""

    variant: Variant = "feed"
    pages: Pages = "dense"
    seconds: float = 5.0
    warm_up: float = 5.0
    posting: int = 48  # people with pictures of their own
    steps: Steps = field(default_factory=Steps)
    after: int = 0
    composes: int = 1000
    rounds: int = 5


class Tried(msgspec.Struct, frozen=True):
    """One run. Processor time is in microseconds a request: of Tidings, of its engines, and of the load.

    `others` is the share of the machine that something else used meanwhile.
    """

    loaded: Loaded
    server_us: float
    engines_us: float
    generator_us: float
    others: float

    @property
    def p99_ms(self) -> float:
        return self.loaded.latency.p99_ms

    @property
    def failures(self) -> int:
        return sum(self.loaded.failed.values())


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


class Failed(Exception):
    """Requests failed where none may: no figure comes of that."""


def quicker(plan: Plan) -> Plan:
    """In about two minutes, of which half are spent before the clock starts."""
    steps = replace(plan.steps, factor=1.5, narrowings=1, repetitions=3, most_runs=16)
    return replace(plan, seconds=2.0, warm_up=4.0, posting=12, steps=steps, composes=400, rounds=1)


def room_needed(plan: Plan) -> int:
    """Bytes on the disk that what is imported takes, about."""
    return plan.after * MESSAGE_BYTES + min(plan.after * LOG_BYTES, MOST_LOG_BYTES)


async def measure(plan: Plan, graph: Graph, folder: Path, reach: Reach, tell: Tell) -> Outcome:
    """Raises `DidNotStart`, `Failed` and `NoRate`."""
    crowd = Crowd.of(graph, SEED)
    async with _filled(plan, crowd, folder, reach, tell) as (side, operator, author, tokens):
        tell("Importing messages ...")
        await _import(author.history(MESSAGES_EACH * graph.people), side, operator)
        places = Places.first(graph.people)
        if plan.pages == "sparse":
            tell("Walking to deep pages ...")
            places = await _walk(author, side, tokens, plan.variant)
        await sides.at_rest(side)
        asking = Asking(author, tokens=tokens, host=_host(side), variant=plan.variant, places=places)
        seeds = iter(range(1, 1_000_000))

        async def attempt(rate: float, seconds: float = plan.seconds) -> Tried:
            seed, seconds = next(seeds), max(seconds, ENOUGH / rate)
            asked = asking.mixed(len(due_times(rate, seconds, seed)))
            tried = await _run(side, folder, asked, rate=rate, seconds=seconds, seed=seed)
            tell(_told(rate, tried))
            await sides.at_rest(side)
            return tried

        tell("Warming up ...")
        await attempt(plan.steps.start, plan.warm_up)
        found = await highest(attempt, plan.steps)
    return _outcome(plan, graph, found.rate, found.runs, found.tried)


async def measure_after(plan: Plan, graph: Graph, folder: Path, reach: Reach, tell: Tell) -> After:
    """Writing alone, with nothing there, then with `plan.after` messages. Raises `DidNotStart` and `Failed`."""
    crowd = Crowd.of(graph, SEED)
    async with _filled(plan, crowd, folder, reach, tell) as (side, operator, author, tokens):
        asking = Asking(
            author, tokens=tokens, host=_host(side), variant=plan.variant, places=Places.first(graph.people)
        )

        async def composed(there: int) -> Composed:
            tell(f"Writing, with {there:,} messages there ...")
            await sides.at_rest(side)
            runs = []
            for turn in range(plan.rounds + 1):
                run = await _run(side, folder, asking.composing(plan.composes), at_once=COMPOSERS)
                if run.failures:
                    raise Failed(f"{run.failures} of {run.loaded.offered} messages were not written.")
                runs += [run] if turn else []  # the first warms up
                await sides.at_rest(side)
            return _composed(there, runs)

        empty = await composed(0)
        tell(f"Importing {plan.after:,} messages ...")
        await _import(author.history(plan.after, bare=True), side, operator)
        full = await composed(plan.after)
    return After(COMPOSERS, empty, full, round(full.per_second / empty.per_second, 3))


@asynccontextmanager
async def _filled(
    plan: Plan, crowd: Crowd, folder: Path, reach: Reach, tell: Tell
) -> AsyncIterator[tuple[Side, Caller, Author, list[str]]]:
    """Tidings with people, friendships, a session for each and their pictures; the tokens are by number."""
    data, town = folder / "tidings", crowd.town()
    everywhere = sorted(os.sched_getaffinity(0))
    async with sides.tidings("tidings", data, everywhere, tokens={}) as side:
        tell(f"Importing {len(crowd.people):,} people and their friendships ...")
        await sides.fill_tidings(town, side, data, reach)
        async with reach(data) as operator:
            async with aiohttp.ClientSession(side.url) as session:
                tokens = await _each(
                    crowd.people, lambda person: sides.signed_in(session, operator, town.handle(person))
                )
                tell("Uploading pictures ...")
                chance = random.Random(SEED)  # noqa: S311 - a load, not secrets
                posting = sorted(chance.sample(range(len(tokens)), plan.posting))
                uploaded = await _each(posting, lambda number: _upload(session, tokens[number], chance))
            pictures = dict(zip(posting, uploaded, strict=True))
            yield side, operator, Author(crowd, pictures, chance), tokens


async def _upload(session: aiohttp.ClientSession, token: str, chance: random.Random) -> list[Picture]:
    pictures = []
    for _ in range(PICTURES):
        form = aiohttp.FormData()
        form.add_field("file", png(chance.randbytes(3)), filename="small.png", content_type="image/png")
        async with session.post("/v1/media", data=form, headers=_bearing(token)) as answer:
            picture = msgspec.json.decode(await answer.read(), type=Picture, strict=False)
        if picture.state != "ready":
            raise Failed(f"A picture that was uploaded is {picture.state}.")
        pictures.append(picture)
    return pictures


def png(colour: bytes, side: int = 16) -> bytes:
    """A square in one colour. https://www.w3.org/TR/png-3/"""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + colour * side) * side
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def _import(said: Iterable[messages.ImportedMessage], side: Side, operator: Caller) -> None:
    """Rests now and then: what is announced is never far behind."""
    left = iter(said)
    count = 0
    while batch := list(islice(left, BATCH)):
        await operator.call(messages.import_messages, messages.ImportMessages(messages=batch))
        count += len(batch)
        if count % REST_AFTER == 0:
            await sides.at_rest(side)
    await sides.at_rest(side)


async def _walk(author: Author, side: Side, tokens: Sequence[str], variant: Variant) -> Places:
    """Each home and some authors, as many pages down as chance says, or as there are."""
    crowd, chance = author.crowd, author.chance
    async with aiohttp.ClientSession(side.url) as session:

        async def down(path: str, token: str) -> str | None:
            cursor: str | None = None
            for _ in range(chance.randint(0, DEEPEST)):
                more = {} if cursor is None else {"cursor": cursor}
                async with session.get(f"{path}", params=more, headers=_bearing(token)) as answer:
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

        walked = await _each(range(len(tokens)), of)
    return Places([home for home, _ in walked], [authors for _, authors in walked])


async def _each(items: Sequence[Item], do: Callable[[Item], Awaitable[Done]]) -> list[Done]:
    """Do it with each, some at once; the results in the order of the items."""
    done: dict[int, Done] = {}
    left = iter(enumerate(items))

    async def one_after_another() -> None:
        for number, item in left:
            done[number] = await do(item)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return [done[number] for number in range(len(items))]


async def _run(
    side: Side,
    folder: Path,
    asked: Sequence[Asked],
    *,
    rate: float = 0.0,
    seconds: float = 0.0,
    at_once: int = 0,
    seed: int = 1,
) -> Tried:
    """By a generator in a process of its own."""
    file = folder / "requests"
    file.write_bytes(msgspec.json.Encoder().encode_lines(asked))
    host, _, port = _host(side).partition(":")
    there = {one.operation for one in asked}
    plan = openloop.Plan(
        host,
        int(port),
        str(file),
        rate=rate,
        seconds=seconds,
        at_once=at_once,
        seed=seed,
        lists={name: LISTS[name] for name in there & LISTS.keys()},
        whole=dict.fromkeys(there & HOME.keys(), NOTHING_MISSING),
    )
    (own, engines), (busy, whole) = sides.worked(side.pid), _machine()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidings.bench.openloop",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(msgspec.json.encode(plan) + b"\n")
    if process.returncode:
        raise Failed("The load ended without a result; what it wrote above says why.")
    (own_now, engines_now), (busy_now, whole_now) = sides.worked(side.pid), _machine()
    loaded = msgspec.json.decode(said, type=Loaded)
    ours = own_now - own + engines_now - engines + loaded.cpu_seconds + START_SECONDS
    each = 1e6 / max(1, loaded.offered)
    return Tried(
        loaded,
        server_us=round((own_now - own) * each, 1),
        engines_us=round((engines_now - engines) * each, 1),
        generator_us=round(loaded.cpu_seconds * each, 1),
        others=round(max(0.0, busy_now - busy - ours) / max(0.01, whole_now - whole), 3),
    )


def _machine() -> tuple[float, float]:
    """Seconds of processor time so far, of all cores: those that were used, and all."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # those are in `user`
    return whole - idle, whole


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


def _told(rate: float, tried: Tried) -> str:
    loaded = tried.loaded
    failed = "".join(f", {count} {name}" for name, count in loaded.failed.items())
    others = f" (others used {tried.others:.0%} of the machine)" if tried.others > QUIET else ""
    behind = "" if loaded.kept_up else f" (the load itself was {loaded.late.p99_ms:.1f} ms late)"
    return (
        f"{rate:,.0f} a second: median {loaded.latency.p50_ms:.1f} ms, 99th percentile {tried.p99_ms:.1f} ms"
        f"{failed}{behind}{others}"
    )


def _host(side: Side) -> str:
    return side.url.removeprefix("http://")


def _bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
