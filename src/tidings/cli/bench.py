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
    from tidings.bench.sides import DidNotStart
    from tidings.bench.sweep import NoRate, Steps
    from tidings.demo.graph import GraphProblem

    chosen = bench.Plan(variant=variant, pages=pages, seconds=seconds, steps=Steps(start=rate), after=after)
    plan = bench.quicker(chosen) if quick else chosen
    _announce_room(bench.room_needed(plan), within, agreed=yes)
    try:
        found = find_graph(graph, seed=bench.SEED)
        with tempfile.TemporaryDirectory(prefix="tidings-bench-", dir=within) as name:
            Path(name).chmod(0o711)  # engines that are not root's go through it
            outcome: bench.Outcome | bench.After
            if after:
                outcome = asyncio.run(bench.measure_after(plan, found, Path(name), _operator, _tell))
            else:
                outcome = asyncio.run(bench.measure(plan, found, Path(name), _operator, _tell))
    except GraphProblem as problem:
        raise Problem(str(problem), "Nothing was measured.", EXIT_BAD_INPUT) from problem
    except (bench.Failed, NoRate, DidNotStart) as trouble:
        raise Problem(str(trouble), "Nothing was measured.") from trouble
    if as_json:
        print_json(outcome)
    elif isinstance(outcome, bench.After):
        _print_after(outcome)
    else:
        _print_mix(outcome)


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
        raise Problem(told, "Name another folder with --within.", EXIT_USAGE)
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
    from tidings.bench import mix as mixing

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
    if outcome.others > mixing.QUIET:
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
