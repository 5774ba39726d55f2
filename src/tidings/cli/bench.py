"""`tidings bench`: Tidings beside what one would build instead, on this machine, in one run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tidings.cli.bench_results import (
    NAMES,
    print_after,
    print_growth,
    print_live,
    print_mix,
    print_overloaded,
    print_slowed,
    print_timeline,
)
from tidings.cli.options import EXIT_BAD_INPUT, EXIT_USAGE, Json, Problem, plainly, settings_from
from tidings.cli.printing import print_json, size_of

if TYPE_CHECKING:
    from tidings.bench.sides import Caller

app = typer.Typer(no_args_is_help=True, help="Measurements beside what one would build instead.")

LARGE = 2_000_000_000  # bytes that are not taken without a question


@app.command()
@plainly
def timeline(
    quick: Annotated[bool, typer.Option("--quick", help="The main ratios in under two minutes.")] = False,
    rounds: Annotated[int, typer.Option("--rounds", help="How often each side has its turn.", min=1, max=100)] = 5,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="How long a turn is.", min=1, max=600, show_default="3; quick: 1"),
    ] = None,
    people: Annotated[
        int | None,
        typer.Option("--people", help="How many people there are.", min=5000, show_default="6000; quick: 1000"),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="A folder for the data and the rounds: who is interrupted goes on there.",
            show_default="a temporary one",
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the figures into this SVG file.", show_default="none")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Use as much of the disk as this needs.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for timelines as fast as they come, of Tidings and of a monolith with one JOIN, in alternating rounds.

    Both have the same people, friendships and messages, answer the same (which is looked at first), and know who
    asks. Servers have all cores but the last, the load has that. A ratio is Tidings' requests per second over the
    monolith's. Without --quick there are more sides: the monolith with Tidings' own pool of connections, with a row
    of the latest message for each author too, with all that in its memory, a bare server that gives the same, and a
    naive client, who asks Tidings for each friend.

    Example: `tidings bench timeline --quick --json`
    """
    import asyncio

    from tidings.bench import timeline as bench
    from tidings.bench.picture import bars
    from tidings.bench.sides import DidNotStart, NotTheSame
    from tidings.bench.wrk import WrkMissing, WrongAnswers

    if quick:
        plan = bench.Plan((50, 200), people or 1000, 3, rounds, seconds or 1.0, 1.0, most_readers=32, post_every=0)
    else:
        plan = bench.Plan((10, 50, 200, 1000, 5000), people or 6000, 5, rounds, seconds or 3.0, peers=True)
    try:
        with _folder(keep) as folder:
            _announce_room(bench.room_needed(plan, folder), folder, agreed=yes)
            outcome = asyncio.run(bench.measure(plan, folder, _operator, _tell))
    except WrkMissing as missing:
        raise Problem(str(missing), "Install it, then run this again.", EXIT_USAGE) from missing
    except (NotTheSame, WrongAnswers, DidNotStart) as trouble:
        raise Problem(str(trouble), "What was measured before is kept, where --keep names a folder.") from trouble
    if picture is not None:
        picture.write_text(bars(outcome.figures, NAMES, plan.degrees), encoding="utf-8")
    if as_json:
        print_json({**bench.in_brief(outcome), "outcome": outcome})
    else:
        print_timeline(outcome)
    if outcome.violations:
        raise Problem(
            f"{len(outcome.violations)} of {outcome.judged} answers showed their readers less than they knew.",
            "That is a fault of ours: please report it, with what is printed above.",
        )


@app.command()
@plainly
def mix(
    quick: Annotated[bool, typer.Option("--quick", help="Short runs, in about two minutes.")] = False,
    graph: Annotated[
        Path | None,
        typer.Option("--graph", help="Edge list: two numbers a line. Without it, one is made.", metavar="FILE"),
    ] = None,
    variant: Annotated[
        Literal["feed", "timeline"], typer.Option("--variant", help="What people read of all their friends.")
    ] = "feed",
    pages: Annotated[
        Literal["dense", "sparse"], typer.Option("--pages", help="First pages, or pages anywhere in the first ten.")
    ] = "dense",
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="How long each rate is tried.", min=1, max=600, show_default="5; quick: 2"),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Requests a second to begin with.", min=1)] = 200.0,
    after: Annotated[
        int, typer.Option("--after", help="Only write, before and after that many messages.", metavar="N", min=0)
    ] = 0,
    within: Annotated[
        Path | None, typer.Option("--within", help="Where the data is made.", show_default="the temporary folder")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Use as much of the disk as --after needs.")] = False,
    as_json: Json = False,
) -> None:
    """Find the highest rate of mixed requests that is borne with a 99th percentile of 20 ms.

    The mix is that of DeathStarBench's social network: 60 % read their feed, 30 % read a friend's messages, 10 %
    write. Requests come at random times at a fixed rate, and a latency counts from when its request was due.
    Servers and load share all cores: let nothing else run. The data is made in a temporary folder and removed.

    Example: `tidings bench mix --quick --graph socfb-Reed98.edges`
    """
    import asyncio
    import tempfile
    from dataclasses import replace

    from tidings.bench import mix as bench
    from tidings.bench.graph import find_graph
    from tidings.bench.inhabited import SEED
    from tidings.bench.runs import Failed
    from tidings.bench.sides import DidNotStart
    from tidings.bench.sweep import NoRate, Steps
    from tidings.demo.graph import GraphProblem

    plan = bench.Plan(variant=variant, pages=pages, steps=Steps(start=rate), after=after)
    if quick:
        plan = bench.quicker(plan)
    plan = replace(plan, seconds=seconds or plan.seconds)
    _announce_room(bench.room_needed(plan), within, agreed=yes)
    try:
        found = find_graph(graph, seed=SEED)
        with tempfile.TemporaryDirectory(prefix="tidings-bench-", dir=within) as name:
            Path(name).chmod(0o711)  # engines that are not root's go through it
            outcome: bench.Outcome | bench.After
            if after:
                outcome = asyncio.run(bench.measure_after(plan, found, Path(name), _operator, _tell))
            else:
                outcome = asyncio.run(bench.measure(plan, found, Path(name), _operator, _tell))
    except GraphProblem as problem:
        raise Problem(str(problem), "Nothing was measured.", EXIT_BAD_INPUT) from problem
    except (Failed, NoRate, DidNotStart) as trouble:
        raise Problem(str(trouble), "Nothing was measured.") from trouble
    if as_json:
        print_json(outcome)
    elif isinstance(outcome, bench.After):
        print_after(outcome)
    else:
        print_mix(outcome)


@app.command()
@plainly
def growth(
    quick: Annotated[
        bool, typer.Option("--quick", help="Up to 100,000 messages and 10,000 people, in about ten minutes.")
    ] = False,
    messages: Annotated[
        int | None,
        typer.Option(
            "--messages",
            help="How many there are at most, of the same people.",
            min=20_000,
            show_default="5000000; quick: 100000",
        ),
    ] = None,
    people: Annotated[
        int | None,
        typer.Option(
            "--people",
            help="How many there are at most, with ten messages each.",
            min=2000,
            show_default="100000; quick: 10000",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="How often each size has its turn.", min=1, max=100)] = 5,
    seconds: Annotated[float, typer.Option("--seconds", help="How long a turn is.", min=1, max=600)] = 3.0,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            help="A folder for the data: who is interrupted goes on there.",
            show_default="a temporary one",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Use as much of the disk as this needs.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for timelines of 50 friends where there is ever more data, and see whether each costs more.

    First messages become more, from ten thousand of 10,000 people (with --quick, of 1,000), then people, from a
    thousand with ten messages each; ten times more with each step. All sizes run at once and have their turns one
    after another. A ratio is processor time a request, of Tidings and its engines, of the largest size over the
    smallest: `warm` as it is run, `cold` with caches of no bytes, where each answer is made from the databases.
    Most of the time goes into importing: about half a minute for each 100,000 messages.

    Example: `tidings bench growth --quick --yes`
    """
    import asyncio

    from tidings.bench import growth as bench
    from tidings.bench.sides import DidNotStart
    from tidings.bench.wrk import WrkMissing, WrongAnswers

    plan = bench.planned(
        at=1000 if quick else 10_000,
        messages=messages or (100_000 if quick else 5_000_000),
        people=people or (10_000 if quick else 100_000),
        rounds=rounds,
        seconds=seconds,
    )
    try:
        with _folder(keep) as folder:
            _announce_room(bench.room_needed(plan, folder), folder, agreed=yes)
            outcome = asyncio.run(bench.measure(plan, folder, _operator, _tell))
    except WrkMissing as missing:
        raise Problem(str(missing), "Install it, then run this again.", EXIT_USAGE) from missing
    except (WrongAnswers, DidNotStart) as trouble:
        raise Problem(str(trouble), "Data is kept, where --keep names a folder.") from trouble
    if as_json:
        print_json(outcome)
    else:
        print_growth(outcome)


@app.command()
@plainly
def live(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer streams and one round, in about two minutes.")
    ] = False,
    rate: Annotated[
        float,
        typer.Option("--rate", help="Posts a second at most; a half, a quarter and an eighth come before.", min=1),
    ] = 200.0,
    authors: Annotated[
        int | None,
        typer.Option("--authors", help="How many people post.", min=1, max=200, show_default="20; quick: 10"),
    ] = None,
    friends: Annotated[
        int, typer.Option("--friends", help="How many friends each of them has, who listen.", min=1, max=500)
    ] = 50,
    listened: Annotated[
        int | None,
        typer.Option(
            "--listened", help="Of how many who post the friends listen.", min=1, max=200, show_default="all"
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="How long each rate is tried.", min=1, max=600, show_default="10; quick: 5"),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", help="How often each rate is tried.", min=1, max=100, show_default="3; quick: 1"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Use as much of the disk as this needs.")] = False,
    as_json: Json = False,
) -> None:
    """Post at a fixed rate, and see how long each post takes into the live streams of the author's friends.

    20 people post in turn, and each has 50 friends of their own whose streams are open: a thousand streams, and
    10,000 deliveries a second of 200 posts. With --listened 1 it is fifty streams, and 500 deliveries.
    A latency counts from when a post was due until the event is in the stream; where it is not certain which event
    tells of a post, the latest counts. The limit is 100 ms for 99 of 100 deliveries.
    Servers, those who listen and the load share all cores: let nothing else run.

    Example: `tidings bench live --quick`
    """
    import asyncio

    from tidings.bench import live as bench
    from tidings.bench import room
    from tidings.bench.runs import Failed
    from tidings.bench.sides import DidNotStart

    rates = tuple(rate / part for part in (8, 4, 2, 1))
    plan = bench.Plan(
        rates,
        authors or (10 if quick else 20),
        friends,
        seconds or (5.0 if quick else 10.0),
        rounds or (1 if quick else 3),
        listened,
    )
    try:
        with _folder(None) as folder:
            _announce_room(room.of_system(plan.people), folder, agreed=yes)
            outcome = asyncio.run(bench.measure(plan, folder, _operator, _tell))
    except (Failed, DidNotStart) as trouble:
        raise Problem(str(trouble), "Nothing was measured.") from trouble
    if as_json:
        print_json(outcome)
    else:
        print_live(outcome)


@app.command()
@plainly
def overload(
    quick: Annotated[bool, typer.Option("--quick", help="One short round, in about five minutes.")] = False,
    only: Annotated[
        Literal["overload", "slow"] | None,
        typer.Option("--only", help="One of the two: too many requests, or a slow service.", show_default="both"),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option("--graph", help="Edge list: two numbers a line. Without it, one is made.", metavar="FILE"),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", help="The highest rate that is borne, where it is known.", min=0, show_default="look for it"
        ),
    ] = 0.0,
    slow: Annotated[
        float, typer.Option("--slow", help="Seconds by which the slow service is late.", min=0.1, max=60)
    ] = 2.0,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", help="How often each load comes.", min=1, max=100, show_default="3; quick: 1"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="How long a load is.", min=1, max=600, show_default="8; quick: 5"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Use as much of the disk as this needs.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for twice what is borne, and see what is still answered; then slow a service, and see what others notice.

    The mix is that of `tidings bench mix`, at several times the highest rate that it finds, to a server with its
    default of `max_requests_at_once`. An answer is good when it is whole and comes within a second; the good ones
    at twice the rate are compared with the most at any. Each post that was acknowledged is asked for afterwards.
    Then `messages` has a process of its own, behind a proxy that holds requests for two seconds, and nothing is
    cached, so that half of all requests need it: the 99th percentile of the others is compared with what it was
    before.

    Example: `tidings bench overload --quick --only slow`
    """
    import asyncio
    from dataclasses import replace

    from tidings.bench import overload as bench
    from tidings.bench.graph import find_graph
    from tidings.bench.inhabited import SEED
    from tidings.bench.room import of_system
    from tidings.bench.runs import Failed
    from tidings.bench.sides import DidNotStart
    from tidings.bench.sweep import NoRate
    from tidings.demo.graph import GraphProblem

    plan = bench.Plan(rate=rate, slow=slow)
    if quick:
        plan = bench.quicker(plan)
    plan = replace(plan, rounds=rounds or plan.rounds, seconds=seconds or plan.seconds)
    strained: bench.Overloaded | None = None
    slowed: bench.Slowed | None = None
    try:
        found = find_graph(graph, seed=SEED)
        room = of_system(found.people)
        if only != "slow":
            with _folder(None) as folder:
                _announce_room(room, folder, agreed=yes)
                strained = asyncio.run(bench.measure_overload(plan, found, folder, _operator, _tell))
        if only != "overload":
            with _folder(None) as folder:
                _announce_room(room, folder, agreed=yes)
                slowed = asyncio.run(bench.measure_slowed(plan, found, folder, _operator, _tell))
    except GraphProblem as problem:
        raise Problem(str(problem), "Nothing was measured.", EXIT_BAD_INPUT) from problem
    except (Failed, NoRate, DidNotStart) as trouble:
        raise Problem(str(trouble), "No figure comes of that.") from trouble
    if as_json:
        print_json({"overload": strained, "slow": slowed})
        return
    if strained is not None:
        print_overloaded(strained)
    if slowed is not None:
        print_slowed(slowed)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the data is made; engines that are not root's go through it."""
    import tempfile

    if keep is not None:
        keep.mkdir(mode=0o711, parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="tidings-bench-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def _announce_room(needed: int, within: Path | None, *, agreed: bool) -> None:
    """What it takes is told before it is made. `Problem` unless there is room, and what is large is agreed to."""
    import shutil
    import tempfile

    folder = within or Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    told = f"This takes about {size_of(needed)} in {folder}, where {size_of(free)} are free."
    if free < needed:
        raise Problem(told, "Name another folder, or ask for less.", EXIT_USAGE)
    if needed >= LARGE and not agreed:
        raise Problem(told, "If that is right, say so with --yes.", EXIT_USAGE)
    _tell(told)


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


@asynccontextmanager
async def _operator(data: Path) -> AsyncIterator[Caller]:
    from tidings.cli.operator import operator

    async with operator(settings_from(data=data).settings) as reached:
        yield reached
