"""`python -m tests.twophase [--deep] [--wrong]`: explore the commit protocol, and say how much of it there was."""

from __future__ import annotations

import argparse
import resource

from tests.twophase.explore import explore
from tests.twophase.model import USUAL, Protocol, Variant

DEEP = USUAL._replace(faults=None)


def main() -> int:
    asks = argparse.ArgumentParser(prog="python -m tests.twophase", description=__doc__)
    asks.add_argument("--deep", action="store_true", help="any number of faults: some minutes")
    asks.add_argument("--faults", type=int, help="losses, duplicates, crashes and roll-backs by hand in all")
    asks.add_argument("--copies", type=int, help="copies of one message on its way")
    asks.add_argument("--workers", type=int, help="workers at once, beside the coordinator")
    asks.add_argument("--wrong", action="store_true", help="the wrong variants too, with their shortest traces")
    asked = asks.parse_args()
    given = {name: value for name in USUAL._fields if (value := getattr(asked, name)) is not None}
    bounds = (DEEP if asked.deep else USUAL)._replace(**given)

    status = 0
    for variant in Variant if asked.wrong else [Variant.CORRECT]:
        result = explore(Protocol(variant, bounds))
        print(
            f"{variant}: {result.states:,} states, {result.transitions:,} transitions, {result.depth} steps and "
            f"{result.faults} faults deep, in {result.seconds:.1f} s ({bounds})"
        )
        if result.counterexample is not None:
            print(result.counterexample, end="\n\n")
        status |= (result.counterexample is None) != (variant is Variant.CORRECT)
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
    return status


raise SystemExit(main())
