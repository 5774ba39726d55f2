"""`tidings bench`: Tidings beside what one would build instead, on this machine, in one run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidings.cli.options import EXIT_USAGE, Json, Problem, plainly, settings_from
from tidings.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from tidings.bench.sides import Caller
    from tidings.bench.timeline import Outcome

app = typer.Typer(no_args_is_help=True, help="Measurements beside what one would build instead.")

NAMES = {
    "join": "monolith, one JOIN",
    "latest": "monolith with latest rows",
    "cached": "monolith with latest rows and caches",
    "warm": "Tidings, one process",
    "cold": "Tidings, one process, no caches",
    "apart": "Tidings, a process for each service",
}


@app.command()
@plainly
def timeline(
    quick: Annotated[bool, typer.Option("--quick", help="The main ratios in under two minutes.")] = False,
    rounds: Annotated[int, typer.Option("--rounds", help="How often each side has its turn.", min=1, max=100)] = 5,
    seconds: Annotated[float, typer.Option("--seconds", help="How long a turn is.", min=1, max=600)] = 5.0,
    people: Annotated[int, typer.Option("--people", help="How many people there are.", min=300)] = 10_000,
    as_json: Json = False,
) -> None:
    """Ask for timelines as fast as they come, of Tidings and of a monolith with one JOIN, in alternating rounds.

    Both have the same people, friendships and messages, answer the same (which is looked at first), and know who
    asks. Servers have all cores but the last, the load has that. A ratio is Tidings' requests per second over the
    monolith's. The data is made in a temporary folder and removed.

    Example: `tidings bench timeline --quick --json`
    """
    import asyncio
    import tempfile

    from tidings.bench import timeline as bench
    from tidings.bench.sides import DidNotStart
    from tidings.bench.wrk import WrkMissing, WrongAnswers

    plan = bench.Plan(people=people, rounds=rounds, seconds=seconds, peers=not quick)
    if quick:
        plan = bench.Plan(rounds=rounds)
    try:
        with tempfile.TemporaryDirectory(prefix="tidings-bench-") as name:
            Path(name).chmod(0o711)  # engines that are not root's go through it
            outcome = asyncio.run(bench.measure(plan, Path(name), _operator, _tell))
    except WrkMissing as missing:
        raise Problem(str(missing), "Install it, then run this again.", EXIT_USAGE) from missing
    except (bench.NotTheSame, WrongAnswers, DidNotStart) as trouble:
        raise Problem(str(trouble), "Nothing was measured.") from trouble
    if as_json:
        print_json(outcome)
    else:
        _print(outcome)


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
                f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})" if ratio is not None else "1",
            )
        )
    print_table(("side", "friends", "requests per second", "median", "99th percentile", "ratio"), rows)
