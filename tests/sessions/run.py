"""Many trials at once against one system of several processes, and what the checker says of their histories."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp

from tests.consistency.checker import Violation, violations
from tests.consistency.history import History
from tests.harness.people import Client
from tests.harness.resting import samples
from tests.harness.system import settings_for
from tests.sessions.cell import READS, Cell, Unanswered
from tests.sessions.trials import SHARES
from tidings.cli.operator import Operator, operator
from tidings.system import chosen_topology, running

Freshness = Literal["on", "off"]

LIFE = 250  # trials of a cell; then others take its place, so that no history grows for ever
MOST_UNANSWERED = 0.02  # of the trials; beyond that the system is not well, and nothing is proven


@dataclass(frozen=True)
class Started:
    """A system in processes of its own, and how to reach it."""

    client: Client
    operator: Operator
    metrics_url: str
    pids: dict[str, int]

    async def cache_reads(self) -> Counter[str]:
        """What timeline asked its cache for so far, in entries, by outcome."""
        reads: Counter[str] = Counter()
        for sample in await samples(self.client.session, self.metrics_url, "tidings_cache_reads"):
            if sample.labels["holder"] == "timeline":
                reads[sample.labels["outcome"]] += int(sample.value)
        return reads


@asynccontextmanager
async def started(freshness: Freshness, *, delay: float = 0.0, **more: Any) -> AsyncIterator[Started]:
    """`delay` seconds pass before an event is published, and again before a cache hears what it is sent."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    folder.chmod(0o711)
    delays = {"relay_delay": delay, "hear_delay": delay}
    calm = {"repeat_safe_calls": False, "repeat_events": False, "call_deadline": 10.0, "log_level": "warning"}
    settings = settings_for(folder / "data", freshness=freshness, **{**calm, **delays, **more})
    try:
        async with (
            running(settings, chosen_topology(settings, apart=True)) as system,
            operator(settings) as reached,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            assert system.metrics_url is not None
            yield Started(Client(session, system.url), reached, system.metrics_url, system.pids)
    finally:
        shutil.rmtree(folder)


@dataclass
class Tried:
    """What was tried, by kind, and the histories that came of it."""

    kinds: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    cache_reads: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


async def trials(system: Started, count: int, *, cells: int, seed: int = 1) -> Tried:
    """`count` trials that came to their end, `cells` at a time. AssertionError if too many do not."""
    tried = Tried()
    left = count

    async def one_after_another(number: int) -> None:
        nonlocal left
        chance = random.Random(f"{seed} {number}")
        cell: Cell | None = None
        lived = 0
        while left > 0:
            left -= 1
            try:
                if cell is None or lived >= LIFE:
                    cell, lived = await Cell.gather(system.client, system.operator), 0
                    tried.histories.append(cell.history)
                lived += 1
                cell.trial += 1
                (trial,) = chance.choices(list(SHARES), list(SHARES.values()))
                await trial(cell)
                tried.kinds[trial.__name__] += 1
            except Unanswered as why:  # how it stands between them is not known any more: others go on
                cell = None
                left += 1
                tried.unanswered.append(str(why))
                assert len(tried.unanswered) <= 20 + MOST_UNANSWERED * count, tried.unanswered[-20:]

    before = await system.cache_reads()
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(min(cells, count)):
            tasks.create_task(one_after_another(number))
    tried.seconds = time.monotonic() - began
    tried.cache_reads = await system.cache_reads() - before
    assert sum(tried.kinds.values()) == count
    return tried


@dataclass(frozen=True)
class Judged:
    """What the checker found in all histories of one run."""

    trials: int
    kinds: dict[str, int]
    unanswered: int
    reads: int
    hits: int
    misses: int
    violations: dict[str, int]  # by guarantee
    wrong: int  # trials with a violation
    seconds: float
    examples: list[Violation] = field(repr=False, default_factory=list)

    @property
    def rate(self) -> float:
        return self.wrong / self.trials


def judged(tried: Tried) -> Judged:
    """Read the histories, and nothing else."""
    guarantees: Counter[str] = Counter()
    wrong = reads = 0
    examples: dict[str, Violation] = {}
    for history in tried.histories:
        found = violations(history)
        wrong += len({one.proof[-1].about["trial"] for one in found})
        guarantees.update(one.guarantee for one in found)
        for one in found:
            examples.setdefault(one.guarantee, one)
        reads += sum(one.kind in READS and one.outcome == "ok" for one in history.operations)
    return Judged(
        trials=sum(tried.kinds.values()),
        kinds=dict(tried.kinds),
        unanswered=len(tried.unanswered),
        reads=reads,
        hits=tried.cache_reads["hit"],
        misses=tried.cache_reads["miss"],
        violations=dict(sorted(guarantees.items())),
        wrong=wrong,
        seconds=tried.seconds,
        examples=list(examples.values()),
    )
