"""How long until a post is in the live streams of its author's friends: an open loop of posts, and all who listen.

Each author has friends of their own, whose streams are open all the time, so that a stream tells of one author's
posts alone. A stream says that something changed, not what: an event may tell of two posts at once, and each post
counts with the latest event that may be its own. So figures are not too good where no post was refused and no
stream was cut, and exact while posts of an author lie further apart than events take. An event that is lost before
a later one comes is told by `together` alone. Latency counts from when a post was due.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp
import msgspec

from tidings.bench import listening, sides
from tidings.bench.crowd import posted
from tidings.bench.inhabited import SEED, Tell, each
from tidings.bench.listening import Heard, Open
from tidings.bench.openloop import Asked, Became, Spread, due_times
from tidings.bench.runs import Failed, Tried, run, told
from tidings.bench.sides import Caller, Reach, Side
from tidings.bench.town import WORDS, Town, make_town

LIMIT_MS: Final = 100.0
START: Final = 120.0  # seconds for all streams to open
PATIENCE: Final = 15.0  # seconds after the last post, for what is still on its way
LOOK: Final = 1.0
WARM_UP: Final = 3.0  # seconds, at the lowest rate


@dataclass(frozen=True)
class Plan:
    """`rates` are of all posts, a second. Each author has so many `friends`; those of `listened` authors listen."""

    rates: tuple[float, ...] = (25.0, 50.0, 100.0, 200.0)
    authors: int = 20
    friends: int = 50
    seconds: float = 10.0
    rounds: int = 3
    listened: int | None = None

    @property
    def people(self) -> int:
        return self.authors * (1 + self.friends)

    @property
    def heard(self) -> int:
        """How many authors' friends listen: those of the first so many."""
        return self.authors if self.listened is None else min(self.listened, self.authors)


class Run(msgspec.Struct, frozen=True):
    """One run. `refused`: posts without 201. `together`: the share of deliveries by an event that told of more.

    Deliveries are those of authors whose friends listen.

    `missing`: of posts that were acknowledged, how many friends heard of nothing afterwards.
    """

    rate: float
    posts: int
    refused: int
    deliveries: int
    missing: int
    latency: Spread
    together: float
    answered: Spread
    cut: int
    post_us: float
    kept_up: bool


class Step(msgspec.Struct, frozen=True):
    """All runs at one rate: medians, with the least and the most p99; counts are sums.

    `answered`: until the author had the answer. `post_us`: processor time of Tidings and its engines a post that
    was acknowledged, in microseconds, until all is delivered, with what open streams and refusals cost meanwhile.
    `holds`: none was refused, none is missing, and the 99th percentile is within the limit.
    """

    rate: float
    posts: int
    refused: int
    deliveries: int
    missing: int
    p50_ms: float
    p99_ms: float
    p99_least_ms: float
    p99_most_ms: float
    max_ms: float
    together: float
    answered_p99_ms: float
    cut: int
    post_us: float
    kept_up: bool
    holds: bool


class Outcome(msgspec.Struct, frozen=True):
    """`rate`: the highest at which the limit holds, as it does at all below; 0 where it holds at none."""

    rate: float
    limit_ms: float
    authors: int
    heard: int
    friends: int
    streams: int
    rounds: int
    steps: list[Step]


async def measure(plan: Plan, folder: Path, reach: Reach, tell: Tell) -> Outcome:
    """Raises `DidNotStart`, and `Failed` if somebody heard nothing of a post, or nothing could be posted."""
    town = town_of(plan)
    everywhere = sorted(os.sched_getaffinity(0))
    async with sides.tidings("tidings", folder / "tidings", everywhere, tokens={}) as side:
        tell(f"Importing {len(town.people):,} people, and signing all of them in ...")
        await sides.fill_tidings(town, side, folder / "tidings", reach)
        async with reach(folder / "tidings") as operator:
            tokens = await _signed_in(town, side, operator)
        await sides.at_rest(side)
        authors = tokens[: plan.authors]
        friends = tokens[plan.authors : plan.authors + plan.heard * plan.friends]
        tell(f"Opening {len(friends):,} streams ...")
        file = folder / "friends.tokens"
        file.write_text("\n".join(friends))
        async with _listening(side, file) as streams:
            load = _Load(plan, side, authors, folder, streams, random.Random(SEED))  # noqa: S311 - a load, not secrets
            tell("Warming up ...")
            await load.at(min(plan.rates), WARM_UP, seed=0)
            runs = []
            for rate in sorted(plan.rates):  # what is too much leaves work behind, and none of it for a lower rate
                for number in range(plan.rounds):
                    tried, found = await load.at(rate, plan.seconds, seed=number + 1)
                    tell(f"{told(rate, tried)}; in the streams: 99th percentile {found.latency.p99_ms:.1f} ms")
                    runs.append(found)
    return outcome(plan, runs)


def outcome(plan: Plan, runs: Sequence[Run]) -> Outcome:
    """What the runs come to. Raises `Failed`."""
    missing = sum(one.missing for one in runs)
    if missing:
        raise Failed(f"Of {sum(one.deliveries for one in runs):,} deliveries, {missing:,} never came.")
    by_rate = groupby(sorted(runs, key=lambda one: one.rate), key=lambda one: one.rate)
    steps = [_step(rate, list(some)) for rate, some in by_rate]
    if steps[0].refused == steps[0].posts:
        raise Failed("Nothing could be posted.")
    borne = 0.0
    for step in steps:
        if not step.holds:
            break
        borne = step.rate
    streams = plan.heard * plan.friends
    return Outcome(borne, LIMIT_MS, plan.authors, plan.heard, plan.friends, streams, plan.rounds, steps)


def _step(rate: float, runs: Sequence[Run]) -> Step:
    p99s = [one.latency.p99_ms for one in runs]
    refused, missing = sum(one.refused for one in runs), sum(one.missing for one in runs)
    return Step(
        rate=rate,
        posts=sum(one.posts for one in runs),
        refused=refused,
        deliveries=sum(one.deliveries for one in runs),
        missing=missing,
        p50_ms=round(median(one.latency.p50_ms for one in runs), 1),
        p99_ms=round(median(p99s), 1),
        p99_least_ms=round(min(p99s), 1),
        p99_most_ms=round(max(p99s), 1),
        max_ms=round(max(one.latency.max_ms for one in runs), 1),
        together=round(median(one.together for one in runs), 4),
        answered_p99_ms=round(median(one.answered.p99_ms for one in runs), 1),
        cut=sum(one.cut for one in runs),
        post_us=round(median(one.post_us for one in runs)),
        kept_up=all(one.kept_up for one in runs),
        holds=not refused and not missing and median(p99s) <= LIMIT_MS,
    )


@dataclass(frozen=True)
class Delivered:
    """`delays`: seconds, of each post that was told of. `together`: how many had no event to themselves."""

    delays: list[float]
    together: int
    missing: int


def delivered(due: Sequence[float], heard: Sequence[float]) -> Delivered:
    """Posts of one author in one stream; both in the order of time.

    From the last to the first, each takes the latest event that no later post has taken; where that came before the
    post was due, both were told of by one event.
    """
    delays, together, missing = [], 0, 0
    taken = len(heard)
    for at in reversed(due):
        if taken and heard[taken - 1] >= at:
            taken -= 1
        elif taken < len(heard):
            together += 1
        else:
            missing += 1
            continue
        delays.append(heard[taken] - at)
    return Delivered(delays, together, missing)


def town_of(plan: Plan) -> Town:
    """Authors first, then the friends of the first, of the second, and so on; nobody else is anybody's friend."""
    town = make_town(people=plan.authors * (1 + plan.friends), readers={}, messages_each=0, seed=SEED)
    authors, others = town.people[: plan.authors], town.people[plan.authors :]
    friends = {
        author: others[number * plan.friends : (number + 1) * plan.friends] for number, author in enumerate(authors)
    }
    return Town(town.people, {}, friends, [])


async def _signed_in(town: Town, side: Side, operator: Caller) -> list[str]:
    """A token of each, in their order."""
    async with aiohttp.ClientSession(side.url) as session:
        return await each(town.people, lambda person: sides.signed_in(session, operator, town.handle(person)))


class _Streams:
    """The process of those who listen."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def heard(self) -> Heard:
        """Since it was asked last. Raises `Failed` if the process ended."""
        return msgspec.json.decode(await self._said(b"\n"), type=Heard)

    async def opened(self, plan: listening.Plan) -> Open:
        async with asyncio.timeout(START):
            return msgspec.json.decode(await self._said(msgspec.json.encode(plan) + b"\n"), type=Open)

    async def _said(self, asked: bytes) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(asked)
        line = await self._process.stdout.readline()
        if not line:
            raise Failed("Who listens ended; what was written above says why.")
        return line


@asynccontextmanager
async def _listening(side: Side, tokens: Path) -> AsyncIterator[_Streams]:
    """A stream for each line of the file, all of them open."""
    host, _, port = side.host.partition(":")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidings.bench.listening",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**28,  # bytes of a line: all events of a run
    )
    streams = _Streams(process)
    try:
        await streams.opened(listening.Plan(host, int(port), str(tokens)))
        yield streams
    except TimeoutError:
        raise Failed(f"Not all streams were open within {START:g} seconds.") from None
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@dataclass
class _Load:
    plan: Plan
    side: Side
    authors: Sequence[str]
    folder: Path
    streams: _Streams
    chance: random.Random
    cut: int = 0

    async def at(self, rate: float, seconds: float, *, seed: int) -> tuple[Tried, Run]:
        """Posts at a rate, authors in turn, until all are in the streams or patience ends."""
        await self.streams.heard()
        before = sum(sides.worked(self.side.pid))
        became = self.folder / "became"
        asked = self._asked(len(due_times(rate, seconds, seed)))
        tried = await run(self.side, self.folder, asked, rate=rate, seconds=seconds, seed=seed, became=became)
        posts = msgspec.json.Decoder(Became).decode_lines(became.read_bytes())
        heard: list[list[float]] = [[] for _ in range(self.plan.heard * self.plan.friends)]
        give_up_at = asyncio.get_running_loop().time() + PATIENCE
        while True:
            await asyncio.sleep(LOOK)
            more = await self.streams.heard()
            heard = [[*before, *some] for before, some in zip(heard, more.at, strict=True)]
            worked = sum(sides.worked(self.side.pid)) - before
            found = self._found(tried, rate, posts, heard, cut=more.cut - self.cut, worked=worked)
            if (not found.missing and not any(more.at)) or asyncio.get_running_loop().time() > give_up_at:
                self.cut = more.cut
                return tried, found

    def _found(
        self,
        tried: Tried,
        rate: float,
        posts: Sequence[Became],
        heard: Sequence[Sequence[float]],
        *,
        cut: int,
        worked: float,
    ) -> Run:
        there = [one for one in posts if one.status == 201]
        authors, friends = self.plan.authors, self.plan.friends
        due = [[one.due for one in there if one.number % authors == author] for author in range(self.plan.heard)]
        all_of_them = [
            delivered(posts, heard[stream])
            for author, posts in enumerate(due)
            for stream in range(author * friends, (author + 1) * friends)
        ]
        delays = [delay for one in all_of_them for delay in one.delays]
        return Run(
            rate=rate,
            posts=len(posts),
            refused=len(posts) - len(there),
            deliveries=sum(map(len, due)) * friends,
            missing=sum(one.missing for one in all_of_them),
            latency=Spread.of(delays),
            together=sum(one.together for one in all_of_them) / max(1, len(delays)),
            answered=Spread.of([one.seconds for one in posts]),
            cut=cut,
            post_us=worked / max(1, len(there)) * 1e6,
            kept_up=tried.loaded.kept_up,
        )

    def _asked(self, count: int) -> list[Asked]:
        """Each under a key that no run had before: what is posted again is no news."""
        asked = []
        for number in range(count):
            body = msgspec.json.encode({"text": " ".join(self.chance.choices(WORDS, k=12))}).decode()
            token = self.authors[number % len(self.authors)]
            asked.append(Asked("compose", posted(body, host=self.side.host, token=token, chance=self.chance)))
        return asked
