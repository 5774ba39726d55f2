"""`tidings bench`: Tidings beside what one would build instead, on this machine, in one run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tidings.cli.options import EXIT_BAD_INPUT, EXIT_USAGE, Json, Problem, plainly, settings_from
from tidings.cli.printing import print_json, print_table, size_of

if TYPE_CHECKING:
    from tidings.bench import mix as mixing
    from tidings.bench.growth import Outcome as Growth
    from tidings.bench.live import Outcome as Live
    from tidings.bench.overload import Overloaded, Slowed
    from tidings.bench.sides import Caller
    from tidings.bench.timeline import Outcome

app = typer.Typer(no_args_is_help=True, help="Measurements beside what one would build instead.")

LARGE = 100_000_000  # bytes that are not taken without a question
NAMES = {
    "join": "monolith, one JOIN",
    "latest": "monolith with latest rows",
    "cached": "monolith with latest rows and caches",
    "raw": "a bare server, the same bytes",
    "warm": "Tidings, one process",
    "cold": "Tidings, one process, no caches",
    "apart": "Tidings, a process for each service",
}


@app.command()
@plainly
def timeline(
    quick: Annotated[bool, typer.Option("--quick", help="The main ratios in under two minutes.")] = False,
    rounds: Annotated[int, typer.Option("--rounds", help="How often each side has its turn.", min=1, max=100)] = 5,
    seconds: Annotated[float, typer.Option("--seconds", help="How long a turn is.", min=1, max=600)] = 3.0,
    people: Annotated[int, typer.Option("--people", help="How many people there are.", min=5000)] = 6000,
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
    as_json: Json = False,
) -> None:
    """Ask for timelines as fast as they come, of Tidings and of a monolith with one JOIN, in alternating rounds.

    Both have the same people, friendships and messages, answer the same (which is looked at first), and know who
    asks. Servers have all cores but the last, the load has that. A ratio is Tidings' requests per second over the
    monolith's. Without --quick there are more sides: the monolith with a row of the latest message for each author,
    with all that in its memory, and a bare server that gives the same bytes.

    Example: `tidings bench timeline --quick --json`
    """
    import asyncio

    from tidings.bench import timeline as bench
    from tidings.bench.picture import bars
    from tidings.bench.sides import DidNotStart
    from tidings.bench.wrk import WrkMissing, WrongAnswers

    plan = bench.Plan((10, 50, 200, 1000, 5000), people, 5, rounds, seconds, peers=True)
    if quick:
        plan = bench.Plan(rounds=rounds, warm_up=1.0, most_readers=32, post_every=0)
    try:
        with _folder(keep) as folder:
            outcome = asyncio.run(bench.measure(plan, folder, _operator, _tell))
    except WrkMissing as missing:
        raise Problem(str(missing), "Install it, then run this again.", EXIT_USAGE) from missing
    except (bench.NotTheSame, WrongAnswers, DidNotStart) as trouble:
        raise Problem(str(trouble), "What was measured before is kept, where --keep names a folder.") from trouble
    if picture is not None:
        picture.write_text(bars(outcome.figures, NAMES, plan.degrees), encoding="utf-8")
    if as_json:
        print_json({**bench.in_brief(outcome), "outcome": outcome})
    else:
        _print(outcome)


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
    seconds: Annotated[float, typer.Option("--seconds", help="How long each rate is tried.", min=1, max=600)] = 5.0,
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

    from tidings.bench import mix as bench
    from tidings.bench.graph import find_graph
    from tidings.bench.inhabited import SEED
    from tidings.bench.runs import Failed
    from tidings.bench.sides import DidNotStart
    from tidings.bench.sweep import NoRate, Steps
    from tidings.demo.graph import GraphProblem

    chosen = bench.Plan(variant=variant, pages=pages, seconds=seconds, steps=Steps(start=rate), after=after)
    plan = bench.quicker(chosen) if quick else chosen
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
        _print_after(outcome)
    else:
        _print_mix(outcome)


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
    Most of the time goes into importing: minutes for each 100,000 messages.

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
        _print_growth(outcome)


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
    authors: Annotated[int, typer.Option("--authors", help="How many people post.", min=1, max=200)] = 20,
    friends: Annotated[
        int, typer.Option("--friends", help="How many friends each of them has, who listen.", min=1, max=500)
    ] = 50,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How long each rate is tried.", min=1, max=600)
    ] = 10.0,
    rounds: Annotated[int, typer.Option("--rounds", help="How often each rate is tried.", min=1, max=100)] = 3,
    as_json: Json = False,
) -> None:
    """Post at a fixed rate, and see how long each post takes into the live streams of the author's friends.

    20 people post in turn, and each has 50 friends of their own whose streams are open: a thousand streams, and
    10,000 deliveries a second of 200 posts. A latency counts from when a post was due until the event is in the
    stream; where it is not certain which event tells of a post, the latest counts. The limit is 100 ms for 99 of
    100 deliveries.
    Servers, those who listen and the load share all cores: let nothing else run.

    Example: `tidings bench live --quick`
    """
    import asyncio

    from tidings.bench import live as bench
    from tidings.bench.runs import Failed
    from tidings.bench.sides import DidNotStart

    rates = tuple(rate / part for part in (8, 4, 2, 1))
    plan = bench.Plan(rates, authors, friends, seconds, rounds)
    if quick:
        plan = bench.Plan(rates, min(authors, 10), friends, min(seconds, 5.0), 1)
    try:
        with _folder(None) as folder:
            outcome = asyncio.run(bench.measure(plan, folder, _operator, _tell))
    except (Failed, DidNotStart) as trouble:
        raise Problem(str(trouble), "Nothing was measured.") from trouble
    if as_json:
        print_json(outcome)
    else:
        _print_live(outcome)


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
    rounds: Annotated[int, typer.Option("--rounds", help="How often each load comes.", min=1, max=100)] = 3,
    seconds: Annotated[float, typer.Option("--seconds", help="How long a load is.", min=1, max=600)] = 8.0,
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

    from tidings.bench import overload as bench
    from tidings.bench.graph import find_graph
    from tidings.bench.inhabited import SEED
    from tidings.bench.runs import Failed
    from tidings.bench.sides import DidNotStart
    from tidings.bench.sweep import NoRate
    from tidings.demo.graph import GraphProblem

    plan = bench.Plan(rate=rate, rounds=rounds, seconds=seconds, slow=slow)
    if quick:
        plan = bench.quicker(plan)
    strained: bench.Overloaded | None = None
    slowed: bench.Slowed | None = None
    try:
        found = find_graph(graph, seed=SEED)
        if only != "slow":
            with _folder(None) as folder:
                strained = asyncio.run(bench.measure_overload(plan, found, folder, _operator, _tell))
        if only != "overload":
            with _folder(None) as folder:
                slowed = asyncio.run(bench.measure_slowed(plan, found, folder, _operator, _tell))
    except GraphProblem as problem:
        raise Problem(str(problem), "Nothing was measured.", EXIT_BAD_INPUT) from problem
    except (Failed, NoRate, DidNotStart) as trouble:
        raise Problem(str(trouble), "No figure comes of that.") from trouble
    if as_json:
        print_json({"overload": strained, "slow": slowed})
        return
    if strained is not None:
        _print_overloaded(strained)
    if slowed is not None:
        _print_slowed(slowed)


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
    """What is large is told before it is made. `Problem` unless that is agreed to, and there is room."""
    import shutil
    import tempfile

    if needed < LARGE:
        return
    folder = within or Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    told = f"This takes about {size_of(needed)} in {folder}, where {size_of(free)} are free."
    if free < needed:
        raise Problem(told, "Name another folder, or ask for less.", EXIT_USAGE)
    if not agreed:
        raise Problem(told, "If that is right, say so with --yes.", EXIT_USAGE)
    _tell(told)


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


@asynccontextmanager
async def _operator(data: Path) -> AsyncIterator[Caller]:
    from tidings.cli.operator import operator

    async with operator(settings_from(data=data).settings) as reached:
        yield reached


def _print(outcome: Outcome) -> None:
    rows = []
    for name, figure in outcome.figures.items():
        side, _, degree = name.rpartition("_")
        ratio = outcome.ratios.get(name)
        rows.append(
            (
                NAMES[side],
                degree,
                f"{figure.per_second:,.0f} ({figure.least:,.0f} to {figure.most:,.0f})",
                f"{figure.p50_ms:.1f} ms",
                f"{figure.p99_ms:.1f} ms",
                f"{figure.server_us:,.0f} + {figure.engines_us:,.0f} us",
                f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})" if ratio is not None else "1",
            )
        )
    print_table(
        ("side", "friends", "requests per second", "median", "99th percentile", "server + engines", "ratio"), rows
    )


def _print_mix(outcome: mixing.Outcome) -> None:
    from tidings.bench.runs import QUIET

    print_table(
        ("operation", "median", "99th percentile", "bytes", "non-empty"),
        [
            (
                name,
                f"{one.p50_ms:.1f} ms",
                f"{one.p99_ms:.1f} ms",
                f"{one.bytes_each:,.0f}",
                "" if one.non_empty is None else f"{one.non_empty:.1%}",
            )
            for name, one in outcome.operations.items()
        ],
        title=f"{outcome.pages} pages; {outcome.people:,} people, {outcome.friendships:,} friendships",
    )
    late = "" if outcome.kept_up else " The load itself was late: this measures it, too."
    lines = (
        f"{outcome.rate:,.0f} requests a second with a 99th percentile of {outcome.p99_ms:.1f} ms"
        f" ({outcome.p99_least_ms:.1f} to {outcome.p99_most_ms:.1f} in {outcome.runs} runs),"
        f" median {outcome.p50_ms:.1f} ms.{late}",
        f"{outcome.per_core:,.0f} a core of {outcome.cores}, which the load shares;"
        f" {outcome.per_busy_core:,.0f} a second of a core that Tidings and its engines use.",
        f"Processor time a request: Tidings {outcome.server_us:,.0f} us, engines {outcome.engines_us:,.0f} us,"
        f" load {outcome.generator_us:,.0f} us.",
        f"{outcome.bytes_each:,.0f} bytes an answer; {outcome.non_empty:.1%} of the pages had something on them.",
    )
    for line in lines:
        typer.echo(line)
    if outcome.others > QUIET:
        typer.echo(f"Others used {outcome.others:.0%} of the machine meanwhile: the figures are less for that.")


def _print_after(outcome: mixing.After) -> None:
    print_table(
        ("messages there", "written a second", "median", "99th percentile", "Tidings", "engines"),
        [
            (
                f"{one.messages:,}",
                f"{one.per_second:,.0f} ({one.least:,.0f} to {one.most:,.0f})",
                f"{one.p50_ms:.1f} ms",
                f"{one.p99_ms:.1f} ms",
                f"{one.server_us:,.0f} us",
                f"{one.engines_us:,.0f} us",
            )
            for one in (outcome.empty, outcome.full)
        ],
        title=f"Writing, {outcome.at_once} at once",
    )
    typer.echo(f"Full, it writes {outcome.ratio:.2f} times as fast as empty.")


def _print_growth(outcome: Growth) -> None:
    for what, by_size in outcome.figures.items():
        grew, _, answers = what.partition("_")
        print_table(
            ("data", "requests per second", "99th percentile", "Tidings + engines", "a request"),
            [
                (
                    size.replace("-", " "),
                    f"{one.per_second:,.0f} ({one.least:,.0f} to {one.most:,.0f})",
                    f"{one.p99_ms:.1f} ms",
                    f"{one.server_us:,.0f} + {one.engines_us:,.0f} us",
                    f"{one.server_us + one.engines_us:,.0f} us",
                )
                for size, one in by_size.items()
            ],
            title=f"More {grew}, {answers}",
        )
        ratio = outcome.ratios[what]
        typer.echo(
            f"{ratio.median:.2f} times the processor time of the smallest"
            f" ({ratio.least:.2f} to {ratio.most:.2f} in {outcome.plan.rounds} rounds)."
        )
    print_table(
        ("data", "caches hold", "of at most, each", "memory of Tidings"),
        [
            (
                size.replace("-", " "),
                ", ".join(f"{service} {size_of(count)}" for service, count in one.caches.items()),
                size_of(one.bound),
                size_of(one.resident),
            )
            for size, one in outcome.held.items()
        ],
        title="Memory, warm",
    )


def _print_live(outcome: Live) -> None:
    print_table(
        ("posts a second", "posts", "refused", "deliveries", "missing", "median", "99th percentile", "longest",
         "told together", "answered", "a post"),
        [
            (
                f"{one.rate:g}",
                f"{one.posts:,}",
                f"{one.refused:,}",
                f"{one.deliveries:,}",
                f"{one.missing:,}",
                f"{one.p50_ms:.1f} ms",
                f"{one.p99_ms:.1f} ms ({one.p99_least_ms:.1f} to {one.p99_most_ms:.1f})",
                f"{one.max_ms:.1f} ms",
                f"{one.together:.1%}",
                f"{one.answered_p99_ms:.1f} ms",
                f"{one.post_us:,.0f} us",
            )
            for one in outcome.steps
        ],
        title=f"{outcome.authors:,} authors with {outcome.friends:,} friends each, {outcome.streams:,} streams",
    )  # fmt: skip
    typer.echo(
        f"99 of 100 deliveries within {outcome.limit_ms:g} ms: up to {outcome.rate:g} posts a second."
        if outcome.rate
        else f"At none of these rates came 99 of 100 deliveries within {outcome.limit_ms:g} ms."
    )
    if not all(one.kept_up for one in outcome.steps):
        typer.echo("The load itself was late: this measures it, too.")
    if cut := sum(one.cut for one in outcome.steps):
        typer.echo(f"{cut:,} streams were cut, and opened again.")


def _print_overloaded(found: Overloaded) -> None:
    print_table(
        ("times the rate", "offered a second", "good a second", "refused", "99th percentile", "posts", "lost"),
        [
            (
                f"{one.times:g}",
                f"{one.offered:,.0f}",
                f"{one.good:,.0f} ({one.good_least:,.0f} to {one.good_most:,.0f})",
                f"{one.refused:.1%}",
                f"{one.p99_ms:,.0f} ms",
                f"{one.acknowledged:,}",
                f"{one.lost:,}",
            )
            for one in found.levels
        ],
        title=f"Too much to do; {found.rate:,.0f} requests a second are borne",
    )
    typer.echo(f"At twice the rate {found.of_peak:.0%} of the most good answers at any.")
    if found.of_offered > 0.99:
        typer.echo("That was not too much: nearly all that was asked was answered. Give a higher --rate.")
    typer.echo(f"{found.checked:,} posts were acknowledged and asked for afterwards; {found.lost:,} were lost.")


def _print_slowed(found: Slowed) -> None:
    print_table(
        ("pages", "99th percentile before", "meanwhile"),
        [
            ("others", f"{found.before_ms:.1f} ms", f"{found.while_ms:.1f} ms"),
            (f"need {found.service}", f"{found.needing_before_ms:.1f} ms", f"{found.needing_while_ms:,.1f} ms"),
        ],
        title=f"{found.service} is {found.seconds:g} s late",
    )
    typer.echo(
        f"Others: {found.ratio:.2f} times what it was ({found.ratio_least:.2f} to {found.ratio_most:.2f}"
        f" in {len(found.rounds)} rounds). Of those that need it, {found.answered:.1%} were answered,"
        f" and {found.whole:.1%} in full."
    )
