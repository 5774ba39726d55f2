"""`make sessions`: session guarantees under delays, with tokens and beats on and off.

Each delay is injected twice: an event waits so long before it is published, and each cache so long before it hears
anything. With tokens and beats off the checker has to find violations where there is a delay, or it proves nothing;
with them on it may find none. Exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from tests.sessions.run import Freshness, Judged, judged, started, trials

OFF_TRIALS = 2000  # enough for a rate


async def measured(freshness: Freshness, delay_ms: int, count: int, cells: int, seed: int) -> Judged:
    async with started(freshness, delay=delay_ms / 1000) as system:
        tried = await trials(system, count, cells=cells, seed=seed)
    return judged(tried)


def in_words(freshness: str, delay_ms: int, found: Judged) -> str:
    asked = found.hits + found.misses
    hits = f"{found.hits / asked:.1%} of {asked:,} entries came from timeline's cache" if asked else "no cache"
    lines = [
        f"{delay_ms:5} ms, {freshness:3}: {found.trials:,} trials in {found.seconds:.0f} s, {found.reads:,} reads, "
        f"{hits}; {found.wrong:,} trials with violations ({found.rate:.3%})"
        + (f"; {found.unanswered} trials unanswered and done again" if found.unanswered else "")
    ]
    lines += [f"            {guarantee}: {count:,}" for guarantee, count in found.violations.items()]
    return "\n".join(lines)


def as_json(freshness: str, delay_ms: int, found: Judged) -> dict[str, object]:
    row = {name: value for name, value in asdict(found).items() if name != "examples"}
    return {"delay_ms": delay_ms, "freshness": freshness, **row, "rate": found.rate}


def failure(freshness: str, delay_ms: int, found: Judged) -> str | None:
    """Why this run does not show what it has to."""
    if freshness == "on" and found.violations:
        return f"{delay_ms} ms, on: {found.wrong} trials broke a guarantee"
    if freshness == "off" and delay_ms > 0 and not found.violations:
        return f"{delay_ms} ms, off: nothing was found, so the checker proves nothing"
    if not found.hits and (freshness == "off" or delay_ms == 0):
        return f"{delay_ms} ms, {freshness}: no read was answered from a cache, so nothing was tried"
    return None


def main() -> int:
    asks = argparse.ArgumentParser(prog="python -m tests.sessions", description=__doc__)
    asks.add_argument("--trials", type=int, default=30_000, help="with tokens and beats on, at each delay")
    asks.add_argument(
        "--off-trials", type=int, default=None, help=f"with them off; {OFF_TRIALS:,} at most unless set"
    )
    asks.add_argument("--delays", default="0,50,200,1000", help="in milliseconds, with commas between")
    asks.add_argument("--cells", type=int, default=24, help="trials at a time")
    asks.add_argument("--seed", type=int, default=1)
    asks.add_argument("--json", action="store_true", help="print the last line only")
    asked = asks.parse_args()
    off_trials = min(asked.trials, OFF_TRIALS) if asked.off_trials is None else asked.off_trials

    rows: list[dict[str, object]] = []
    failures: list[str] = []
    for delay_ms in [int(one) for one in asked.delays.split(",")]:
        counts: list[tuple[Freshness, int]] = [("off", off_trials), ("on", asked.trials)]
        for freshness, count in counts:
            if not count:
                continue
            found = asyncio.run(measured(freshness, delay_ms, count, asked.cells, asked.seed))
            rows.append(as_json(freshness, delay_ms, found))
            why = failure(freshness, delay_ms, found)
            failures += [why] if why else []
            if not asked.json:
                print(in_words(freshness, delay_ms, found), flush=True)
            if freshness == "on":
                for one in found.examples:
                    print(one.in_words(), file=sys.stderr, flush=True)
    for why in failures:
        print(f"FAILED: {why}", file=sys.stderr)
    print(json.dumps({"sessions": rows, "ok": not failures}))
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
