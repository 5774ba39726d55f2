"""One run of an open loop against a side, with the processor time that it took, and what others took meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import psutil

from tidings.bench import openloop, sides
from tidings.bench.crowd import HOME, LISTS, NOTHING_MISSING
from tidings.bench.openloop import Asked, Loaded
from tidings.bench.sides import Side

START_SECONDS: Final = 0.3  # of processor time, that the load takes to start
QUIET: Final = 0.05  # of the machine that others may use without a word


class Tried(msgspec.Struct, frozen=True):
    """One run. Processor time is in microseconds a request: of Tidings, of its engines, and of the load.

    `others` is the share of the machine that something else used meanwhile.
    """

    loaded: Loaded
    server_us: float
    engines_us: float
    generator_us: float
    others: float

    @property
    def p99_ms(self) -> float:
        return self.loaded.latency.p99_ms

    @property
    def failures(self) -> int:
        return sum(self.loaded.failed.values())


class Failed(Exception):
    """Requests failed where none may: no figure comes of that."""


async def run(
    side: Side,
    folder: Path,
    asked: Sequence[Asked],
    *,
    rate: float = 0.0,
    seconds: float = 0.0,
    at_once: int = 0,
    seed: int = 1,
    became: Path | None = None,
) -> Tried:
    """By a generator in a process of its own; what became of each request is in `became`, a line each."""
    file = folder / "requests"
    file.write_bytes(msgspec.json.Encoder().encode_lines(asked))
    host, _, port = side.host.partition(":")
    there = {one.operation for one in asked}
    plan = openloop.Plan(
        host,
        int(port),
        str(file),
        rate=rate,
        seconds=seconds,
        at_once=at_once,
        seed=seed,
        became=str(became or ""),
        lists={name: LISTS[name] for name in there & LISTS.keys()},
        whole=dict.fromkeys(there & HOME.keys(), NOTHING_MISSING),
    )
    (own, engines), (busy, whole) = sides.worked(side.pid), _machine()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidings.bench.openloop",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(msgspec.json.encode(plan) + b"\n")
    if process.returncode:
        raise Failed("The load ended without a result; what it wrote above says why.")
    (own_now, engines_now), (busy_now, whole_now) = sides.worked(side.pid), _machine()
    loaded = msgspec.json.decode(said, type=Loaded)
    ours = own_now - own + engines_now - engines + loaded.cpu_seconds + START_SECONDS
    each = 1e6 / max(1, loaded.offered)
    return Tried(
        loaded,
        server_us=round((own_now - own) * each, 1),
        engines_us=round((engines_now - engines) * each, 1),
        generator_us=round(loaded.cpu_seconds * each, 1),
        others=round(max(0.0, busy_now - busy - ours) / max(0.01, whole_now - whole), 3),
    )


def _machine() -> tuple[float, float]:
    """Seconds of processor time so far, of all cores: those that were used, and all."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # those are in `user`
    return whole - idle, whole


def told(rate: float, tried: Tried) -> str:
    loaded = tried.loaded
    failed = "".join(f", {count} {name}" for name, count in loaded.failed.items())
    others = f" (others used {tried.others:.0%} of the machine)" if tried.others > QUIET else ""
    behind = "" if loaded.kept_up else f" (the load itself was {loaded.late.p99_ms:.1f} ms late)"
    return (
        f"{rate:,.0f} a second: median {loaded.latency.p50_ms:.1f} ms, 99th percentile {tried.p99_ms:.1f} ms"
        f"{failed}{behind}{others}"
    )
