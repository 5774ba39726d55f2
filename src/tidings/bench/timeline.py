"""The timeline beside one JOIN: a closed loop over readers with so many friends, in alternating rounds."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from tidings.bench import sides
from tidings.bench.monolith import PATH
from tidings.bench.rounds import Figure, Ratio, figures
from tidings.bench.sides import Reach, Side
from tidings.bench.town import Town, make_town
from tidings.bench.wrk import Rate, find_wrk, load

READERS: Final = 64  # of each degree
SEED: Final = 7
CONNECTIONS: Final = 32


class NotTheSame(Exception):
    """Two sides answered different things: their rates cannot be compared."""


@dataclass(frozen=True)
class Plan:
    """What is measured. `degrees` are numbers of friends; `cold`, `apart` and `peers`: more sides than two."""

    degrees: tuple[int, ...] = (50, 200)
    people: int = 2000
    messages_each: int = 10
    rounds: int = 5
    seconds: float = 2.0
    cold: bool = True
    apart: bool = True
    peers: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """Ratios of requests per second over those of the JOIN, by side and number of friends: `warm_50`."""

    ratios: dict[str, Ratio]
    figures: dict[str, Figure]
    rounds: int


Tell = Callable[[str], None]


async def measure(plan: Plan, folder: Path, reach: Reach, tell: Tell) -> Outcome:
    """All rounds. Raises `WrkMissing`, `NotTheSame`, `WrongAnswers`, `DidNotStart`."""
    find_wrk()
    town = make_town(
        people=plan.people,
        readers=dict.fromkeys(plan.degrees, READERS),
        messages_each=plan.messages_each,
        seed=SEED,
    )
    serving, loading = cores()
    async with _all(plan, town, folder, serving, reach, tell) as running:
        for degree in plan.degrees:
            await check_same(running, degree)
        for side in running.values():
            await sides.at_rest(side)
        measured: dict[str, list[Rate]] = {}
        turns = [(side, degree) for degree in plan.degrees for side in running.values()]
        for side, degree in turns:  # warm up
            await _turn(side, degree, 1.0, loading)
        for number in range(plan.rounds):
            tell(f"Round {number + 1} of {plan.rounds} ...")
            for side, degree in turns:
                rate = await _turn(side, degree, plan.seconds, loading)
                measured.setdefault(f"{side.name}_{degree}", []).append(rate)
    return Outcome(ratios(plan, measured), figures(measured), plan.rounds)


def ratios(plan: Plan, measured: dict[str, list[Rate]]) -> dict[str, Ratio]:
    return {
        f"{side}_{degree}": Ratio.of(measured[f"{side}_{degree}"], measured[f"join_{degree}"])
        for degree in plan.degrees
        for side in ("warm", "cold", "apart", "latest", "cached")
        if f"{side}_{degree}" in measured
    }


def cores() -> tuple[list[int], list[int]]:
    """For the servers and for the load; on one core they share it."""
    there = sorted(os.sched_getaffinity(0))
    return ([*there[:-1]] or there, [there[-1]])


async def _turn(side: Side, degree: int, seconds: float, loading: list[int]) -> Rate:
    return await load(side.url + PATH, side.tokens[degree], seconds=seconds, connections=CONNECTIONS, cores=loading)


@asynccontextmanager
async def _all(
    plan: Plan, town: Town, folder: Path, serving: list[int], reach: Reach, tell: Tell
) -> AsyncIterator[dict[str, Side]]:
    """Every side, running, with the same data."""
    ours = {degree: folder / f"tidings-{degree}.tokens" for degree in plan.degrees}
    theirs = {degree: folder / f"monolith-{degree}.tokens" for degree in plan.degrees}
    tell("Filling Tidings ...")
    async with sides.tidings("warm", folder / "warm", serving, tokens=ours) as side:
        await sides.fill_tidings(town, side, folder / "warm", reach)
        await sides.at_rest(side)
    async with AsyncExitStack() as stack:
        tell("Filling the monolith ...")
        (folder / "monolith").mkdir()
        dsn = await stack.enter_async_context(sides.postgres(folder / "monolith", serving))
        await sides.fill_monolith(town, dsn, theirs)
        tell("Starting all sides ...")
        entered = [
            await stack.enter_async_context(sides.monolith(kind, dsn, serving, tokens=theirs))
            for kind in (("join", "latest", "cached") if plan.peers else ("join",))
        ]
        for name, wanted, options in (
            ("cold", plan.cold, ("--cache-bytes", "0")),
            ("apart", plan.apart, ("--apart",)),
        ):
            if wanted:
                data = sides.copied(folder / "warm", folder / name)
                entered.append(
                    await stack.enter_async_context(sides.tidings(name, data, serving, *options, tokens=ours))
                )
        warm = sides.tidings("warm", folder / "warm", serving, tokens=ours)
        entered.append(await stack.enter_async_context(warm))
        yield {side.name: side for side in entered}


async def check_same(running: dict[str, Side], degree: int) -> None:
    """That all sides tell the same reader the same."""
    told = {name: _told(await sides.answer_of(side, PATH, degree)) for name, side in running.items()}
    expected = told["join"]
    for name, entries in told.items():
        if entries != expected or not entries:
            raise NotTheSame(f"{name} told a reader with {degree} friends something else than the join did.")


def _told(body: dict[str, Any]) -> list[Any]:
    return [
        (entry["author"], [(one["id"], one["text"], one["created_at"]) for one in entry["messages"]])
        for entry in body["entries"]
    ]
