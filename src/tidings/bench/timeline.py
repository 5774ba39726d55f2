"""The timeline beside one JOIN: a closed loop over readers with so many friends, in alternating rounds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

import tidings
from tidings.bench import naive, room, sides, turns
from tidings.bench.checker import Judged, checking
from tidings.bench.monolith import PATH, Kind
from tidings.bench.rounds import Figure, Ratio, Turn
from tidings.bench.sides import NotTheSame, Reach, Side
from tidings.bench.town import AUTHORS, Town, make_town
from tidings.bench.wrk import NoAnswers, find_wrk

SEED: Final = 7
READINGS: Final = 12_800  # friendships of all readers of one degree together, at most
FEWEST_READERS: Final = 4
STATE: Final = "rounds.json"
FILLED: Final = "filled.json"
FOLDERS: Final = ("filled", "warm", "cold", "apart", "monolith")  # of the systems, in the one that is kept
PEERS: Final[tuple[Kind, ...]] = ("pooled", "latest", "cached")
BESIDE_JOIN: Final = ("warm", "cold", "apart", *PEERS, "raw", "naive")
POSTING: Final = ("join", *PEERS, "warm")

# Beyond, 32 readers at once wait longer for an answer than anybody does, and some are refused.
MOST_FRIENDS: Final = {"cold": 200, "apart": 1000, "posts": 200, "naive": 200}

WARM_UPS: Final = 5

Measured = dict[str, list[Turn]]
Tell = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """What is measured. `degrees` are numbers of friends; `cold`, `apart` and `peers`: more sides than two.

    `warm_up`: seconds of each side's first turn, which does not count. `most_readers`: of one degree.
    """

    degrees: tuple[int, ...] = (50, 200)
    people: int = 1000
    messages_each: int = 3
    rounds: int = 5
    seconds: float = 1.0
    warm_up: float = 2.0
    most_readers: int = 64
    cold: bool = True
    apart: bool = True
    peers: bool = False
    post_every: int = 10  # in rounds with posts; 0: there are none

    @property
    def readers(self) -> dict[int, int]:
        """How many there are with so many friends."""
        return {degree: max(FEWEST_READERS, min(self.most_readers, READINGS // degree)) for degree in self.degrees}

    @property
    def systems(self) -> int:
        """Of Tidings, each with data of its own: one is filled, and copied."""
        return 2 + self.cold + self.apart

    @property
    def asking(self) -> tuple[int, ...]:
        """Who signs in: readers by their number of friends, and those who post, if anybody does."""
        return (*self.degrees, AUTHORS) if self.post_every else self.degrees


class Outcome(msgspec.Struct, frozen=True):
    """By side and number of friends (`warm_50`): `ratios` of requests per second over the JOIN's, and `of_raw`.

    `of_raw` is the part of the rate of a bare ASGI server that gives bytes of the same number. With posts among the
    reads: `posts_warm_50`; `judged` answers of Tidings were looked at meanwhile.
    """

    ratios: dict[str, Ratio]
    of_raw: dict[str, Ratio]
    figures: dict[str, Figure]
    rounds: int
    plan: Plan
    judged: int
    violations: list[str]


@dataclass(frozen=True)
class Seat:
    """A side's turn under one load; `each`: how many requests a timeline takes."""

    side: Side
    degree: int
    posts: bool = False
    each: int = 1

    @property
    def name(self) -> str:
        return f"{'posts_' if self.posts else ''}{self.side.name}_{self.degree}"


class State(msgspec.Struct):
    """What was measured so far, kept in the folder: who is interrupted goes on with the next round.

    Rounds of other code are not put together with these.
    """

    plan: Plan
    measured: Measured
    judged: Judged = msgspec.field(default_factory=Judged)
    code: str = ""

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> State:
        kept, code = folder / STATE, digest_of_code()
        if kept.exists():
            found = msgspec.json.decode(kept.read_bytes(), type=State)
            if found.code == code and msgspec.structs.replace(found.plan, rounds=plan.rounds) == plan:
                return cls(plan, found.measured, found.judged, code)
        return cls(plan, {}, code=code)

    @property
    def rounds(self) -> int:
        """How many are complete."""
        return min((len(turns) for turns in self.measured.values()), default=0)

    def keep(self, folder: Path) -> None:
        new = folder / f"{STATE}.new"
        new.write_bytes(msgspec.json.encode(self))
        new.replace(folder / STATE)


def room_needed(plan: Plan, folder: Path) -> int:
    """Bytes on the disk, about, beside those of an earlier run; a monolith takes less than one of Tidings'."""
    whole = (plan.systems + 1) * room.of_system(plan.people, plan.people * plan.messages_each)
    return max(0, whole - sum(room.taken(folder / name) for name in FOLDERS))


def digest_of_code() -> str:
    """Of all that is measured here and measures."""
    found = blake2b(digest_size=16)
    for file in sorted(Path(tidings.__file__).parent.rglob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


async def measure(plan: Plan, folder: Path, reach: Reach, tell: Tell) -> Outcome:
    """All rounds. Raises `WrkMissing`, `NotTheSame`, `WrongAnswers`, `DidNotStart`."""
    find_wrk()
    state = State.of(plan, folder)
    if state.rounds:
        tell(f"{min(state.rounds, plan.rounds)} of {plan.rounds} rounds were measured before, and are in {folder}.")
    town = make_town(people=plan.people, readers=plan.readers, messages_each=plan.messages_each, seed=SEED)
    serving, loading = cores()
    async with _all(plan, town, folder, serving, reach, tell) as running:
        seats = [
            Seat(side, degree)
            for degree in plan.degrees
            for side in running
            if degree <= MOST_FRIENDS.get(side.name, degree)
        ]
        async with _raw(seats if plan.peers else [], serving) as raw:
            if plan.post_every:  # after the reads: what is posted is news to everybody
                seats += [
                    Seat(seat.side, seat.degree, posts=True)
                    for seat in seats
                    if seat.side.name in POSTING and seat.degree <= MOST_FRIENDS["posts"]
                ]
            seats += [*raw, *(await _naive(seats if plan.peers else [], folder))]
            for side in running:
                await sides.at_rest(side)
            load = _Load(plan, town, loading, state.judged)
            for seat in seats:
                await load.warm_up(seat)
            for number in range(state.rounds, plan.rounds):
                tell(f"Round {number + 1} of {plan.rounds} ...")
                await sides.caught_up(running)
                turns = {seat.name: await load.turn(seat, plan.seconds) for seat in seats}
                for name, turn in turns.items():
                    state.measured.setdefault(name, []).append(turn)
                state.keep(folder)
    return outcome(plan, state.measured, state.judged)


def outcome(plan: Plan, measured: Mapping[str, Sequence[Turn]], judged: Judged) -> Outcome:
    """What the rounds come to."""
    measured = {name: turns[: plan.rounds] for name, turns in measured.items()}

    def beside(other: str, names: Sequence[str]) -> dict[str, Ratio]:
        return {
            f"{load}{name}_{degree}": Ratio.of(
                measured[f"{load}{name}_{degree}"], measured[f"{load}{other}_{degree}"]
            )
            for degree in plan.degrees
            for load in ("", "posts_")
            for name in names
            if f"{load}{name}_{degree}" in measured and f"{load}{other}_{degree}" in measured
        }

    return Outcome(
        ratios=beside("join", BESIDE_JOIN),
        of_raw=beside("raw", ("warm", "cached")),
        figures={name: Figure.of(turns) for name, turns in measured.items()},
        rounds=plan.rounds,
        plan=plan,
        judged=judged.answers,
        violations=judged.violations,
    )


def in_brief(found: Outcome) -> dict[str, float]:
    """The main figures by name: `ratio_warm_50`, `p99_ms_warm_50` and `p99_ms_join_50`, `of_raw_warm_50`."""
    return {
        **{f"ratio_{name}": ratio.median for name, ratio in found.ratios.items()},
        **{f"of_raw_{name}": ratio.median for name, ratio in found.of_raw.items()},
        **{f"p99_ms_{name}": figure.p99_ms for name, figure in found.figures.items() if figure.p99_ms},
        **({"judged": found.judged, "violations": len(found.violations)} if found.judged else {}),
    }


def cores() -> tuple[list[int], list[int]]:
    """For the servers and for the load; on one core they share it."""
    there = sorted(os.sched_getaffinity(0))
    return ([*there[:-1]] or there, [there[-1]])


@dataclass(frozen=True)
class _Load:
    """What every side has its turn under."""

    plan: Plan
    town: Town
    cores: list[int]
    judged: Judged

    async def turn(self, seat: Seat, seconds: float) -> Turn:
        """With posts, sessions read and post besides, alike with all sides; what Tidings shows them is judged.

        Without, everybody reads once before: what was posted in the round before would be news to them.
        """
        if not seat.posts and seat.each == 1:
            await sides.read_by_all(seat.side, PATH, seat.degree)
        judged = self.judged if seat.side.is_ours else Judged()
        turn = await turns.take(
            seat.side,
            seat.degree,
            seconds=seconds,
            cores=self.cores,
            post_every=self.plan.post_every if seat.posts else 0,
            meanwhile=checking(seat.side, self.town, seat.degree, judged) if seat.posts else None,
        )
        return naive.of_pages(turn, seat.each) if seat.each > 1 else turn

    async def warm_up(self, seat: Seat) -> None:
        """Of many friends who are all read for the first time, not even the first answer may come in that time."""
        for _ in range(WARM_UPS - 1):
            with contextlib.suppress(NoAnswers):
                await self.turn(seat, self.plan.warm_up)
                return
        await self.turn(seat, self.plan.warm_up)


@asynccontextmanager
async def _all(
    plan: Plan, town: Town, folder: Path, serving: list[int], reach: Reach, tell: Tell
) -> AsyncIterator[list[Side]]:
    """Every side that knows the data, running."""
    ours, theirs = ({one: folder / f"{who}-{one}.tokens" for one in plan.asking} for who in ("tidings", "monolith"))
    await _filled(plan, town, folder, serving, ours, reach, tell)
    async with AsyncExitStack() as stack:
        tell("Filling the monolith ...")
        dsn, engine = await stack.enter_async_context(sides.postgres(folder / "monolith", serving))
        await sides.fill_monolith(town, dsn, theirs)
        tell("Starting all sides ...")
        running = [
            await stack.enter_async_context(sides.monolith(kind, dsn, serving, tokens=theirs, engine=engine))
            for kind in (("join", *PEERS) if plan.peers else ("join",))
        ]
        for name, wanted, options in (
            ("warm", True, ()),
            ("cold", plan.cold, ("--cache-bytes", "0")),
            ("apart", plan.apart, ("--apart",)),
        ):
            if wanted:
                started = sides.tidings(name, folder / name, serving, *options, tokens=ours)
                running.append(await stack.enter_async_context(started))
        for degree in plan.degrees:
            await check_same([one for one in running if degree <= MOST_FRIENDS.get(one.name, degree)], degree)
        yield running


async def _filled(
    plan: Plan, town: Town, folder: Path, serving: list[int], tokens: dict[int, Path], reach: Reach, tell: Tell
) -> None:
    """Tidings' data, a copy for each side. What an earlier run has filled is used again."""
    mark, filled = folder / FILLED, folder / "filled"
    wanted = msgspec.json.encode([plan.asking, plan.people, plan.messages_each, plan.most_readers])
    if not mark.exists() or mark.read_bytes() != wanted:
        mark.unlink(missing_ok=True)
        sides.remove(filled)
        tell("Filling Tidings ...")
        async with sides.tidings("filled", filled, serving, *sides.FILLING, tokens=tokens) as side:
            await sides.fill_tidings(town, side, filled, reach)
            await sides.compared(side)
        mark.write_bytes(wanted)
    for name, needed in (("warm", True), ("cold", plan.cold), ("apart", plan.apart)):
        sides.remove(folder / name)
        if needed:
            sides.copied(filled, folder / name)


@asynccontextmanager
async def _raw(seats: Sequence[Seat], serving: list[int]) -> AsyncIterator[list[Seat]]:
    """For each load, a bare server that gives the bytes of Tidings' answer."""
    async with AsyncExitStack() as stack:
        made = []
        for seat in seats:
            if seat.side.name == "warm":
                body = await sides.body_of(seat.side, PATH, seat.degree)
                raw = sides.monolith("raw", "", serving, tokens=seat.side.tokens, body=body)
                made.append(Seat(await stack.enter_async_context(raw), seat.degree))
        yield made


async def _naive(seats: Sequence[Seat], folder: Path) -> list[Seat]:
    """For each load, a client who knows nothing of the composite and asks the same system."""
    made = []
    for seat in seats:
        if seat.side.name == "warm" and not seat.posts and seat.degree <= MOST_FRIENDS["naive"]:
            client, each = await naive.client_of(seat.side, seat.degree, folder)
            made.append(Seat(client, seat.degree, each=each))
    return made


async def check_same(running: Sequence[Side], degree: int) -> None:
    """That all sides tell the same reader the same."""
    told = {side.name: _told(msgspec.json.decode(await sides.body_of(side, PATH, degree))) for side in running}
    expected = told["join"]
    for name, entries in told.items():
        if entries != expected or not entries:
            raise NotTheSame(f"{name} told a reader with {degree} friends something else than the join did.")


def _told(body: dict[str, Any]) -> list[Any]:
    return [
        (entry["author"], [(one["id"], one["text"], one["created_at"]) for one in entry["messages"]])
        for entry in body["entries"]
    ]
