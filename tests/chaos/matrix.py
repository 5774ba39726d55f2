"""`python -m tests.chaos.matrix`: the failpoint matrix on real processes; it goes on where it was cut short.

Each case kills, stops, parts or silences somebody at a named point of a deletion, on a fleet with a database server
for each service, and is judged once all is healed. The end is a table, and one line of JSON. Exit status 1: the
oracle found a violation, a case was not tried, or fewer than 150 faults bit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.chaos.case import DISK_OF, SETTINGS, SLOTS, Arms, Result, run
from tests.chaos.cells import Cell, cells
from tests.chaos.disk import why_not
from tests.chaos.faults import struck_by
from tests.chaos.ground import Ground, fleet
from tests.chaos.ledger import ROOT, Ledger

MUST_BITE = 150
TRIES = 3  # of a case whose point was not reached
COOL = 8  # cases between two that kill the same process: its supervisor waits longer each time within 30 s


class Runner:
    """One fleet after the other; a case that leaves one broken costs it its life."""

    def __init__(self, ledger: Ledger, console: Console, on_mongodb: Sequence[str]) -> None:
        self._on_mongodb = on_mongodb
        self._ledger = ledger
        self._console = console
        self._stack = AsyncExitStack()
        self._ground: Ground | None = None
        self._arms: Arms | None = None
        self.fleets = 0

    async def run(self, todo: deque[Cell], total: int) -> None:
        """Until nothing is left to do. Several runners may share what is to be done."""
        try:
            while todo:
                cell = todo.popleft()
                result = await self._tried(cell)
                self._ledger.add(result)
                self._console.print(f"{len(self._ledger.results):4}/{total} {_line(result)}", highlight=False)
                if result.violation is not None:
                    self._keep_logs(cell)
                    await self.close()
        finally:
            await self.close()

    async def close(self) -> None:
        stack, self._stack, self._ground = self._stack, AsyncExitStack(), None
        await stack.aclose()

    async def _tried(self, cell: Cell) -> Result:
        for _ in range(TRIES):
            ground, arms = await self._standing()
            result = await run(ground, arms, cell)
            if result.missed is None:
                break
            await self.close()
        return result

    async def _standing(self) -> tuple[Ground, Arms]:
        if self._ground is None or self._arms is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tidings-arms-")))
            self._arms = Arms(folder / "point")
            self._ground = await self._stack.enter_async_context(
                fleet(
                    database_settings={"max_prepared_transactions": str(SLOTS)},
                    small_disk_of=None if why_not() else DISK_OF,
                    on_mongodb=self._on_mongodb,
                    failpoint=str(self._arms.file),
                    **SETTINGS,
                )
            )
            self.fleets += 1
            await self._ground.steady(within=60)
        return self._ground, self._arms

    def _keep_logs(self, cell: Cell) -> None:
        assert self._ground is not None
        kept = self._ledger.file.parent / "logs" / cell.name.replace("/", "-")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self._ground.whole.settings.data / "logs", kept)


def spread(todo: Sequence[Cell]) -> deque[Cell]:
    """The same cells, those that kill the same process far from each other where it can be."""
    left, order, last = list(todo), deque[Cell](), dict[str, int]()

    def killed(cell: Cell) -> list[str]:
        return struck_by(cell)[0] if cell.fault == "kill" else []

    while left:
        ready = (cell for cell in left if all(len(order) - last.get(name, -COOL) >= COOL for name in killed(cell)))
        cell = next(ready, left[0])
        left.remove(cell)
        last.update(dict.fromkeys(killed(cell), len(order)))
        order.append(cell)
    return order


def table_of(every: Sequence[Cell], results: dict[str, Result]) -> Table:
    """A row for each cell: what came of it, what bit, or why it has no meaning."""
    table = Table("case", "outcome", "what bit", "in doubt", "in flight", "s", title="failpoint matrix")
    for cell in every:
        result = results.get(cell.name)
        if cell.reason is not None:
            table.add_row(cell.name, "n/a", cell.reason, style="dim")
        elif result is not None:
            doubt = [*result.prepared, *(["log row"] if result.unfinished else [])]
            style = "red" if result.violation or result.missed else None
            table.add_row(
                cell.name,
                result.violation or result.missed or result.outcome,
                (result.struck if result.bit else f"({result.struck}: did not bite)")
                + (f", {result.parts} parts" if result.parts else ""),
                ", ".join(doubt) or "-",
                str(result.in_flight),
                f"{result.seconds:.1f}",
                style=style,
            )
    return table


def figures(every: Sequence[Cell], results: dict[str, Result], *, seconds: float, fleets: int) -> dict[str, object]:
    done = [results[cell.name] for cell in every if cell.name in results]
    return {
        "violations": sum(one.violation is not None for one in done),
        "operations": sum(one.operations for one in done),
        "faults_that_bit": sum(one.bit for one in done),
        "cases": len(done),
        "not_tried": sum(one.missed is not None for one in done),
        "not_applicable": sum(cell.reason is not None for cell in every),
        "outcomes": dict(Counter(one.outcome for one in done)),
        "slow": sum(one.slow for one in done),
        "fleets": fleets,
        "seconds": round(seconds, 1),
        "seconds_of_cases": round(sum(one.seconds for one in done), 1),
    }


async def run_matrix(
    every: Sequence[Cell], ledger: Ledger, console: Console, *, at_once: int, on_mongodb: Sequence[str] = ()
) -> int:
    """How many fleets it took."""
    todo = spread([cell for cell in every if cell.reason is None and cell.name not in ledger.results])
    total = sum(cell.reason is None for cell in every)
    runners = [Runner(ledger, console, on_mongodb) for _ in range(at_once)]
    async with asyncio.TaskGroup() as running:
        for runner in runners:
            running.create_task(runner.run(todo, total))
    return sum(runner.fleets for runner in runners)


def _line(result: Result) -> str:
    what = result.violation and f"VIOLATION: {result.violation}"
    what = what or (result.missed and f"not tried: {result.missed}") or result.outcome
    return f"{result.case}: {what}{'' if result.bit else ' (did not bite)'} {result.seconds:.1f} s"


def main() -> int:
    asks = argparse.ArgumentParser(prog="python -m tests.chaos.matrix", description=__doc__)
    asks.add_argument("--fresh", action="store_true", help="begin anew")
    asks.add_argument("--only", default="", help="only cases with this in their name, such as cp6/ or /kill")
    asks.add_argument("--fleets", type=int, default=1, help="fleets at once")
    asks.add_argument("--mongodb", action="store_true", help="messages in MongoDB")
    asks.add_argument("--state", type=Path, help="file of what is done; else .chaos/matrix.jsonl, or mongodb.jsonl")
    asked = asks.parse_args()
    on_mongodb = ("messages",) if asked.mongodb else ()
    every = [cell for cell in cells(no_disk=why_not(), on_mongodb=on_mongodb) if asked.only in cell.name]
    state = asked.state or ROOT / ".chaos" / ("mongodb.jsonl" if asked.mongodb else "matrix.jsonl")
    console = Console(width=None if sys.stdout.isatty() else 200)
    ledger = Ledger(state, fresh=asked.fresh)
    began = time.monotonic()
    fleets = asyncio.run(run_matrix(every, ledger, console, at_once=asked.fleets, on_mongodb=on_mongodb))
    console.print(table_of(every, ledger.results))
    told = figures(every, ledger.results, seconds=time.monotonic() - began, fleets=fleets)
    print(json.dumps(told), flush=True)
    enough = bool(asked.only) or int(str(told["faults_that_bit"])) >= MUST_BITE
    return 0 if enough and not told["violations"] and not told["not_tried"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
