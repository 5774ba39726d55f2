"""Too much to do, and a service that answers late: what is still answered then, and whether anything is lost.

The mix comes at several times the highest rate that is borne, to a server with its own limits; an answer is good
when it is whole and comes within a second. And a service is put into a process of its own, as a topology file can,
behind a proxy that holds what it is asked: pages that do without it are compared with what they were before.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import msgspec

from tidings.bench import mix, sides
from tidings.bench.crowd import HOME, Crowd, wire
from tidings.bench.inhabited import SEED, Tell, bearing, each, filled
from tidings.bench.openloop import Asked, Became, due_times
from tidings.bench.runs import Failed, Tried, run, told
from tidings.bench.sides import Reach, Side
from tidings.bench.slowing import Slowing, slowing
from tidings.bench.sweep import Steps, highest
from tidings.demo.graph import Graph

GOOD: Final = 1.0  # seconds
TWICE: Final = 2.0
SLOW: Final = "messages"  # the service that answers late
FEED: Final = "feed"  # which needs it
OTHERS: Final = ("/v1/users/me", "/v1/friends", "/v1/presence")  # which say nothing of messages
MESSAGES_EACH: Final = 3
HEALED: Final = 15.0  # seconds for a feed to be whole again
LOOK: Final = 0.2

TOPOLOGY: Final = """\
[services.{service}]
process = "{service}"
listen = "tcp://127.0.0.1:{target}"
address = "tcp://127.0.0.1:{port}"
"""


@dataclass(frozen=True)
class Plan:
    """`rate`: the highest that is borne; 0: it is looked for. So many `times` that are tried, twice among them.

    `slow`: by how many seconds the slow service is late; `slow_rate`: requests a second, half of which need it.
    """

    rate: float = 0.0
    times: tuple[float, ...] = (1.0, 1.5, TWICE, 3.0)
    rounds: int = 3
    seconds: float = 8.0
    slow: float = 2.0
    slow_rate: float = 60.0
    mix: mix.Plan = field(
        default_factory=lambda: mix.Plan(
            posting=24, steps=Steps(factor=1.5, narrowings=2, repetitions=3, most_runs=30)
        )
    )


class Run(msgspec.Struct, frozen=True):
    """What was `offered` a second, and how many answers were `good`. `refused` is the share answered by 503.

    Of so many posts that were `acknowledged`, some may be `lost`. `kept_up`: whether the load came as it was due;
    `others`: the share of the machine that something else used.
    """

    times: float
    offered: float
    good: float
    refused: float
    p99_ms: float
    acknowledged: int
    lost: int
    kept_up: bool = True
    others: float = 0.0


class Level(msgspec.Struct, frozen=True):
    """All runs at so many times the rate: medians, with the least and the most of `good`; posts are sums.

    `kept_up`: the load came as it was due in all of them.
    """

    times: float
    offered: float
    good: float
    good_least: float
    good_most: float
    refused: float
    p99_ms: float
    acknowledged: int
    lost: int
    kept_up: bool
    others: float


class Overloaded(msgspec.Struct, frozen=True):
    """`of_peak`: good answers at twice the `rate`, as a part of the most at any; `of_offered`: of what was asked.

    All posts that were acknowledged were asked for afterwards: so many were `checked`, and `lost` were not there.
    """

    rate: float
    of_peak: float
    of_offered: float
    checked: int
    lost: int
    levels: list[Level]


class Pages(msgspec.Struct, frozen=True):
    """One round. p99s are in milliseconds.

    Of those that need the slow service, `answered` is the share that was answered at all, and `whole` in full.
    """

    before_ms: float
    while_ms: float
    needing_before_ms: float
    needing_while_ms: float
    answered: float
    whole: float


class Slowed(msgspec.Struct, frozen=True):
    """Medians over rounds; `ratio`: p99 of the other pages over what it was before, of each round its own."""

    service: str
    seconds: float
    ratio: float
    ratio_least: float
    ratio_most: float
    before_ms: float
    while_ms: float
    needing_before_ms: float
    needing_while_ms: float
    answered: float
    whole: float
    rounds: list[Pages]


def quicker(plan: Plan) -> Plan:
    """In about three minutes for each half."""
    return replace(plan, times=(1.0, TWICE), rounds=1, seconds=5.0, mix=mix.quicker(plan.mix))


async def measure_overload(plan: Plan, graph: Graph, folder: Path, reach: Reach, tell: Tell) -> Overloaded:
    """Raises `DidNotStart`, `Failed` (if anything is lost, too) and `NoRate`."""
    async with mix.mixing(plan.mix, graph, folder, reach, tell, sheds=True) as mixed:
        rate = plan.rate
        if not rate:
            rate = (await highest(lambda one: mixed.attempt(one, plan.mix.seconds), plan.mix.steps)).rate
        runs = []
        for number in range(plan.rounds):
            for times in plan.times:
                tell(f"Round {number + 1} of {plan.rounds}, {times:g} times {rate:,.0f} a second:")
                runs.append(await _strained(mixed, rate, times, plan.seconds))
    return overloaded(rate, plan.times, runs)


async def _strained(mixed: mix.Mixing, rate: float, times: float, seconds: float) -> Run:
    became = mixed.folder / "became"
    tried = await mixed.attempt(rate * times, seconds, became)
    requests = msgspec.json.Decoder(Became).decode_lines(became.read_bytes())
    posts = acknowledged(requests)
    there = await _read_back(mixed, posts)
    window = max(seconds, mix.ENOUGH / (rate * times))  # in which requests were due; the last answer may be later
    found = run_of(times, window, requests, lost=len(posts) - there, p99_ms=tried.p99_ms)
    return msgspec.structs.replace(found, kept_up=tried.loaded.kept_up, others=tried.others)


def acknowledged(requests: Sequence[Became]) -> list[dict[str, Any]]:
    """The messages that were answered by 201."""
    return [msgspec.json.decode(one.body) for one in requests if one.status == 201]


def run_of(times: float, seconds: float, requests: Sequence[Became], *, lost: int, p99_ms: float) -> Run:
    """Raises `Failed` where one was answered by neither success nor 503; who is not answered at all is not good."""
    for one in requests:
        if one.status and not 200 <= one.status < 300 and one.status != 503:
            raise Failed(f"A request was answered by {one.status}, which too much to do is no reason for.")
    good = sum(not one.failed and one.seconds <= GOOD for one in requests)
    refused = sum(one.status == 503 for one in requests)
    return Run(
        times=times,
        offered=len(requests) / seconds,
        good=good / seconds,
        refused=refused / len(requests),
        p99_ms=p99_ms,
        acknowledged=sum(one.status == 201 for one in requests),
        lost=lost,
    )


async def _read_back(mixed: mix.Mixing, posts: Sequence[dict[str, Any]]) -> int:
    """How many of them their authors find by id. Raises `Failed` if that is not to be known."""
    token_of = {str(person): token for person, token in zip(mixed.people, mixed.tokens, strict=True)}
    async with aiohttp.ClientSession(mixed.side.url) as session:

        async def is_there(post: dict[str, Any]) -> bool:
            headers = bearing(token_of[post["author_id"]])
            async with session.get(f"/v1/messages/{post['id']}", headers=headers) as answer:
                if answer.status not in (200, 404):
                    raise Failed(f"A message that was acknowledged is answered by {answer.status}.")
                return answer.status == 200 and (await answer.json())["message"]["id"] == post["id"]

        return sum(await each(posts, is_there))


def overloaded(rate: float, times: Sequence[float], runs: Sequence[Run]) -> Overloaded:
    """What the runs come to. Raises `Failed` if anything was lost, or if nothing was written."""
    lost, checked = sum(one.lost for one in runs), sum(one.acknowledged for one in runs)
    if lost or not checked:
        raise Failed(f"Of {checked:,} messages that were acknowledged, {lost:,} are not there.")
    levels = [_level(one, [run for run in runs if run.times == one]) for one in times]
    [twice] = [one for one in levels if one.times == TWICE]
    peak = max(one.good for one in levels)
    return Overloaded(
        rate=round(rate, 1),
        of_peak=round(twice.good / peak, 3),
        of_offered=round(twice.good / twice.offered, 3),
        checked=checked,
        lost=lost,
        levels=levels,
    )


def _level(times: float, runs: Sequence[Run]) -> Level:
    goods = [one.good for one in runs]
    return Level(
        times=times,
        offered=round(median(one.offered for one in runs), 1),
        good=round(median(goods), 1),
        good_least=round(min(goods), 1),
        good_most=round(max(goods), 1),
        refused=round(median(one.refused for one in runs), 4),
        p99_ms=round(median(one.p99_ms for one in runs), 1),
        acknowledged=sum(one.acknowledged for one in runs),
        lost=sum(one.lost for one in runs),
        kept_up=all(one.kept_up for one in runs),
        others=round(median(one.others for one in runs), 3),
    )


async def measure_slowed(plan: Plan, graph: Graph, folder: Path, reach: Reach, tell: Tell) -> Slowed:
    """Raises `DidNotStart`, and `Failed` if a page failed that needs nothing of the slow service."""
    crowd = Crowd.of(graph, SEED)
    file = folder / "topology.toml"
    async with slowing() as slow:
        file.write_text(TOPOLOGY.format(service=SLOW, target=slow.target, port=slow.port))
        # Without caches, or most feeds would need nothing of it.
        options = ("--topology", str(file), "--cache-bytes", "0")
        there = filled(crowd, folder, reach, tell, posting=0, options=options)
        async with there as (side, operator, author, tokens):
            tell("Importing messages ...")
            said = author.history(MESSAGES_EACH * graph.people, bare=True)
            await sides.import_messages(said, side, operator)
            half = _Half(plan, side, tokens, folder, tell)
            tell("Warming up ...")
            await half.at(seed=0)
            rounds = []
            for number in range(plan.rounds):
                tell(f"Round {number + 1} of {plan.rounds}, as it is, and with {SLOW} {plan.slow:g} s late:")
                rounds.append(await _round(half, slow, seed=number + 1))
    return slowed(plan, rounds)


async def _round(half: _Half, slow: Slowing, *, seed: int) -> Pages:
    before = await half.at(seed=2 * seed)
    needing = before.loaded.operations[FEED]
    if needing.failed:
        raise Failed(f"{needing.failed} of {needing.offered} feeds failed before anything was slow.")
    slow.seconds = half.plan.slow
    try:
        meanwhile = await half.at(seed=2 * seed + 1)
    finally:
        slow.seconds = 0.0
    await half.whole_again()
    late = meanwhile.loaded.operations[FEED]
    return Pages(
        before_ms=before.loaded.operations["others"].latency.p99_ms,
        while_ms=meanwhile.loaded.operations["others"].latency.p99_ms,
        needing_before_ms=needing.latency.p99_ms,
        needing_while_ms=late.latency.p99_ms,
        answered=round(1 - (late.failed - meanwhile.loaded.failed.get("partial", 0)) / late.offered, 4),
        whole=round(1 - late.failed / late.offered, 4),
    )


def slowed(plan: Plan, rounds: Sequence[Pages]) -> Slowed:
    """What the rounds come to."""
    ratios = [one.while_ms / one.before_ms for one in rounds]

    def middle(name: str, digits: int = 1) -> float:
        values: list[float] = [getattr(one, name) for one in rounds]
        return round(median(values), digits)

    return Slowed(
        service=SLOW,
        seconds=plan.slow,
        ratio=round(median(ratios), 2),
        ratio_least=round(min(ratios), 2),
        ratio_most=round(max(ratios), 2),
        before_ms=middle("before_ms"),
        while_ms=middle("while_ms"),
        needing_before_ms=middle("needing_before_ms"),
        needing_while_ms=middle("needing_while_ms"),
        answered=middle("answered", 4),
        whole=middle("whole", 4),
        rounds=list(rounds),
    )


@dataclass(frozen=True)
class _Half:
    """The load of which half needs the service that is slow at times."""

    plan: Plan
    side: Side
    tokens: Sequence[str]
    folder: Path
    tell: Tell

    async def at(self, *, seed: int) -> Tried:
        """Raises `Failed` if one of the others failed."""
        rate, seconds = self.plan.slow_rate, self.plan.seconds
        asked = self._asked(len(due_times(rate, seconds, seed)), seed)
        tried = await run(self.side, self.folder, asked, rate=rate, seconds=seconds, seed=seed)
        self.tell(told(rate, tried))
        others = tried.loaded.operations["others"]
        if others.failed:
            raise Failed(f"{others.failed} of {others.offered} pages failed that need nothing of {SLOW}.")
        return tried

    async def whole_again(self) -> None:
        """Raises `Failed` if a feed still misses something a while after."""
        give_up_at = time.monotonic() + HEALED
        async with aiohttp.ClientSession(self.side.url, headers=bearing(self.tokens[0])) as session:
            while time.monotonic() < give_up_at:
                async with session.get(HOME[FEED]) as answer:
                    if answer.status == 200 and not (await answer.json())["unreachable"]:
                        return await sides.at_rest(self.side)
                await asyncio.sleep(LOOK)
        raise Failed(f"Feeds are not whole {HEALED:g} seconds after {SLOW} is as quick as before.")

    def _asked(self, count: int, seed: int) -> list[Asked]:
        chance = random.Random(seed)  # noqa: S311 - a load, not secrets
        asked = []
        for _ in range(count):
            operation, path = (FEED, HOME[FEED]) if chance.random() < 0.5 else ("others", chance.choice(OTHERS))
            asked.append(Asked(operation, wire("GET", path, self.side.host, chance.choice(self.tokens))))
        return asked
