"""Whether a timeline costs more where there are more messages, or more people: systems of many sizes, in turn.

Readers have the same number of friends everywhere. Each size is a Tidings of its own, filled by the import calls;
those of all sizes run at once and have their turns one after another, so that what disturbs one disturbs all. They
are asked twice: as they are run, where answers are given again, and with caches of no bytes, where each answer is
made from the databases.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tidings.bench import room, sides, turns
from tidings.bench.monolith import PATH
from tidings.bench.rounds import Figure, Ratio, Turn, cost_us
from tidings.bench.sides import Reach, Side
from tidings.bench.timeline import cores
from tidings.bench.town import Town, make_town, saying
from tidings.bench.wrk import WrongAnswers, find_wrk
from tidings.contracts.messages import ImportedMessage

SEED: Final = 7
FRIENDS: Final = 50
READERS: Final = 64
KNOWN: Final = 5  # whom everybody befriends besides: everybody has ten friends who are no readers
WARM_UP: Final = 1.0  # seconds before each turn: the first answers after a pause are made anew
STEP: Final = 10  # times as many messages, or people
FEWEST_PEOPLE: Final = 1000
FEWEST_MESSAGES: Final = 10_000
EACH: Final = 10  # messages of everybody, where people become more
TOLD_EVERY: Final = 100_000  # messages
CONNECTIONS: Final = {"warm": turns.CONNECTIONS, "cold": 8}  # of more, some wait for longer than an answer may take
CACHE_BYTES: Final = 67_108_864  # the default of `cache_bytes`

Tell = Callable[[str], None]


class Size(msgspec.Struct, frozen=True, order=True):
    """How much there is: people, and messages of each."""

    people: int
    each: int

    @property
    def messages(self) -> int:
        return self.people * self.each

    @property
    def name(self) -> str:
        return f"{self.people}-people-{self.messages}-messages"


class Plan(msgspec.Struct, frozen=True):
    """`more_messages`: sizes with the same people; `more_people`: with as many messages of each. Smallest first."""

    more_messages: tuple[Size, ...]
    more_people: tuple[Size, ...]
    rounds: int = 5
    seconds: float = 3.0
    friends: int = FRIENDS

    @property
    def sizes(self) -> list[Size]:
        return sorted({*self.more_messages, *self.more_people})


class Held(msgspec.Struct, frozen=True):
    """Bytes. `caches` hold others' answers, by the service that keeps them, each no more than `bound`.

    `resident` is the memory of Tidings' processes, with all else that they keep; engines are not in it.
    """

    bound: int
    caches: dict[str, int]
    resident: int


class Outcome(msgspec.Struct, frozen=True):
    """`ratios`: processor time a request, of Tidings with its engines, of the largest size over the smallest.

    They are by what grew and by how answers came (`messages_warm`, `people_cold`); `figures` are by these and the
    size, `held` by size.
    """

    ratios: dict[str, Ratio]
    figures: dict[str, dict[str, Figure]]
    held: dict[str, Held]
    plan: Plan


def planned(*, at: int, messages: int, people: int, rounds: int, seconds: float) -> Plan:
    """Ten times more with each step: up to so many `messages` of `at` people, and up to so many `people`."""
    return Plan(
        more_messages=tuple(Size(at, count // at) for count in _steps(max(at, FEWEST_MESSAGES), messages)),
        more_people=tuple(Size(count, EACH) for count in _steps(FEWEST_PEOPLE, people)),
        rounds=rounds,
        seconds=seconds,
    )


def _steps(least: int, most: int) -> Iterator[int]:
    while least < most:
        yield least
        least *= STEP
    yield most


def room_needed(plan: Plan, folder: Path) -> int:
    """Bytes on the disk that those sizes take, about, which are not there yet."""
    return sum(
        room.of_system(size.people, size.messages - max(0, _there(size, folder)))
        for size in plan.sizes
        if _there(size, folder) < size.messages
    )


async def measure(plan: Plan, folder: Path, reach: Reach, tell: Tell) -> Outcome:
    """Raises `WrkMissing`, `WrongAnswers`, `DidNotStart`."""
    find_wrk()
    serving, loading = cores()
    for size in plan.sizes:
        await _fill(size, plan.friends, folder, reach, tell)
    measured: dict[str, dict[Size, list[Turn]]] = {}
    held: dict[str, Held] = {}
    for answers, bytes_kept in (("warm", CACHE_BYTES), ("cold", 0)):
        tell(f"Starting {len(plan.sizes)} sizes, {answers} ...")
        async with _running(plan, folder, serving, bytes_kept) as running:
            load = _Load(plan, loading, CONNECTIONS[answers])
            measured[answers] = await _rounds(load, running, tell)
            if bytes_kept:
                held = {size.name: await held_by(side, bytes_kept) for size, side in running.items()}
    return outcome(plan, measured, held)


def outcome(plan: Plan, measured: Mapping[str, Mapping[Size, Sequence[Turn]]], held: dict[str, Held]) -> Outcome:
    """What the rounds come to."""
    grew = {"messages": plan.more_messages, "people": plan.more_people}
    return Outcome(
        ratios={
            f"{what}_{answers}": Ratio.of(turns[sizes[-1]], turns[sizes[0]], by=cost_us)
            for what, sizes in grew.items()
            for answers, turns in measured.items()
        },
        figures={
            f"{what}_{answers}": {size.name: Figure.of(turns[size]) for size in sizes}
            for what, sizes in grew.items()
            for answers, turns in measured.items()
        },
        held=held,
        plan=plan,
    )


async def held_by(side: Side, bound: int) -> Held:
    """As its metrics tell it now."""
    assert side.metrics is not None
    async with aiohttp.ClientSession() as session, session.get(side.metrics) as answer:
        answer.raise_for_status()
        told = await answer.text()
    return Held(bound, caches_in(told), sides.resident(side.pid))


def caches_in(metrics: str) -> dict[str, int]:
    """Bytes by the service that keeps them, of all whose answers it keeps."""
    held: dict[str, int] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples if family.name == "tidings_cache_bytes" else ():
            holder = sample.labels["holder"]
            held[holder] = held.get(holder, 0) + int(sample.value)
    return held


@dataclass(frozen=True)
class _Load:
    plan: Plan
    cores: Sequence[int]
    connections: int

    async def turn(self, side: Side, seconds: float) -> Turn:
        return await turns.take(
            side, self.plan.friends, seconds=seconds, cores=self.cores, connections=self.connections
        )


async def _rounds(load: _Load, running: Mapping[Size, Side], tell: Tell) -> dict[Size, list[Turn]]:
    plan = load.plan
    measured: dict[Size, list[Turn]] = {size: [] for size in running}
    for side in running.values():
        await sides.at_rest(side)
    for side in running.values():
        await _looked_at(side, plan.friends)
    for number in range(plan.rounds):
        tell(f"Round {number + 1} of {plan.rounds} ...")
        for size, side in running.items():
            await load.turn(side, WARM_UP)
            measured[size].append(await load.turn(side, plan.seconds))
    return measured


async def _looked_at(side: Side, friends: int) -> None:
    """That a timeline has something of every friend on it: less would be cheaper."""
    body = msgspec.json.decode(await sides.body_of(side, PATH, friends))
    shown = sum(bool(entry["messages"]) for entry in body["entries"])
    if shown != friends or body["unreachable"]:
        raise WrongAnswers(f"{side.name} shows a reader with {friends} friends what {shown} of them said.")


@asynccontextmanager
async def _running(
    plan: Plan, folder: Path, serving: Sequence[int], bytes_kept: int
) -> AsyncIterator[dict[Size, Side]]:
    """A system of each size."""
    async with AsyncExitStack() as stack:
        running = {}
        for size in plan.sizes:
            started = sides.tidings(
                size.name,
                folder / size.name,
                serving,
                "--cache-bytes",
                str(bytes_kept),
                tokens={plan.friends: _tokens(size, folder)},
            )
            running[size] = await stack.enter_async_context(started)
        yield running


async def _fill(size: Size, friends: int, folder: Path, reach: Reach, tell: Tell) -> None:
    """What an earlier run has filled is used again; one that was interrupted is gone on with."""
    there = _there(size, folder)
    if there == size.messages:
        return
    data = folder / size.name
    if there < 0:
        sides.remove(data)
    town = _town(size, friends)
    everywhere = sorted(os.sched_getaffinity(0))
    tokens = {friends: _tokens(size, folder)}
    async with sides.tidings(size.name, data, everywhere, *sides.FILLING, tokens=tokens) as side:
        if there < 0:
            tell(f"Importing {size.people:,} people and their friendships ...")
            await sides.fill_tidings(town, side, data, reach)
            await sides.at_rest(side)
            there = 0
            _note(size, folder, there)

        def told(count: int) -> None:
            _note(size, folder, min(there + count, size.messages - 1))  # the last one when all is compared
            if count % TOLD_EVERY == 0:
                tell(f"{there + count:,} of {size.messages:,} messages")

        tell(f"Importing {size.messages - there:,} messages of {size.people:,} people ...")
        async with reach(data) as operator:
            await sides.import_messages(_said(town, size, there), side, operator, told=told)
        await sides.compared(side)
        _note(size, folder, size.messages)


def _town(size: Size, friends: int) -> Town:
    """Everybody has ten friends besides readers: tables of friendships grow with people, too."""
    town = make_town(people=size.people, readers={friends: READERS}, messages_each=0, seed=SEED)
    around = [*town.people, *town.people[:KNOWN]]
    known = {person: around[at + 1 : at + 1 + KNOWN] for at, person in enumerate(town.people)}
    return Town(town.people, town.readers, {**town.friends, **known}, [])


def _said(town: Town, size: Size, there: int) -> Iterator[ImportedMessage]:
    """From so many messages on."""
    said = saying(town.people, size.each, random.Random(SEED))  # noqa: S311 - a town, not secrets
    return (ImportedMessage(id=one.id, author_id=one.author, text=one.text) for one in islice(said, there, None))


def _tokens(size: Size, folder: Path) -> Path:
    return folder / f"{size.name}.tokens"


def _there(size: Size, folder: Path) -> int:
    """How many messages of it an earlier run has filled in; -1 where not even people are there."""
    noted = folder / f"{size.name}.there"
    return int(noted.read_text()) if noted.exists() else -1


def _note(size: Size, folder: Path, there: int) -> None:
    (folder / f"{size.name}.there").write_text(str(there))
