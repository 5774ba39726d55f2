"""`python -m tests.soak --minutes 20 --seed 1`: exits with 0, 1 on a violation, 2 if it could not be run."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
import traceback
from pathlib import Path

from tests.soak.run import soak


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.soak", description="People live while faults strike.")
    asked.add_argument("--minutes", type=float, default=20.0, help="how long faults strike (20)")
    asked.add_argument("--seed", type=int, default=None, help="of people's and faults' chances (any)")
    asked.add_argument("--people", type=int, default=14, help="how many live at a time (14)")
    asked.add_argument("--mongodb", action="store_true", help="messages in MongoDB")
    asked.add_argument("--quiet", action="store_true", help="say nothing before the end")
    asked.add_argument("--keep", type=Path, default=None, help="a folder for history and logs")
    given = asked.parse_args()
    on_mongodb = ("messages",) if given.mongodb else ()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    began = time.monotonic()

    def tell(line: str) -> None:
        if not given.quiet:
            print(f"{time.monotonic() - began:7.1f} s  {line}", flush=True)

    tell(f"{given.minutes:g} minutes, seed {seed}{', messages in MongoDB' if given.mongodb else ''}")
    try:
        report = asyncio.run(
            soak(given.minutes, seed, people=given.people, on_mongodb=on_mongodb, tell=tell, keep=given.keep)
        )
    except Exception:
        traceback.print_exc()
        print("The soak could not be run to its end; the lines above say why.", file=sys.stderr)
        return 2
    for line in report.lines():
        print(line)
    return report.ends()


if __name__ == "__main__":
    sys.exit(main())
