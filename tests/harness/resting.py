"""Whether a system rests: every event is told, and what follows from them is done. For who measures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

RESTS = 0.25  # seconds of processor a second; beats take a part of it


async def at_rest(
    pids: Iterable[int], session: aiohttp.ClientSession, metrics_url: str, *, within: float = 900.0
) -> None:
    """Return once all events are told and have had their effects. AssertionError after `within` seconds."""
    pids, until = list(pids), time.monotonic() + within
    while True:
        used = processor(pids)
        await asyncio.sleep(1)
        used = processor(pids) - used
        waiting = sum(one.value for one in await samples(session, metrics_url, "tidings_outbox_waiting"))
        if used < RESTS and not waiting:
            return
        assert time.monotonic() < until, (
            f"after {within} s {waiting:.0f} events wait, and {used:.2f} s of processor are used a second"
        )


def processor(pids: Iterable[int]) -> float:
    """Seconds of processor that these processes and all below them have used so far."""
    parents = [psutil.Process(pid) for pid in pids]
    total = 0.0
    for one in [*parents, *(child for parent in parents for child in parent.children(recursive=True))]:
        try:
            spent = one.cpu_times()
        except psutil.NoSuchProcess:  # a database connection that ended
            continue
        total += spent.user + spent.system
    return total


async def samples(session: aiohttp.ClientSession, metrics_url: str, name: str) -> list[Sample]:
    """All of one metric."""
    return (await scrape(session, metrics_url)).get(name, [])


async def scrape(session: aiohttp.ClientSession, metrics_url: str) -> dict[str, list[Sample]]:
    """All metrics as one answer gave them, by name."""
    async with session.get(metrics_url) as response:
        families = text_string_to_metric_families(await response.text())
    return {family.name: family.samples for family in families}
