"""`python -m tests.hostile`: a thousand hostile files at a whole server, each service in a process of its own.

Prints how many were refused and cleaned, and the peak of memory; the last line is JSON. Exit status 1: something
was kept that should not be, or refused that is a picture, or a file is left that nobody owns, or memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from tests.harness.system import whole
from tests.hostile.run import Report, storm
from tests.services.media.hostile import hostile_files

MOST_GROWTH = 60.0  # MB, of one process of the server


async def _run(files: int, seed: int) -> Report:
    async with whole("apart", watched=False) as tidings:
        return await storm(tidings, hostile_files(files, seed))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    report = asyncio.run(_run(asked.files, asked.seed))
    for why in report.wrong[:50]:
        print(why)
    growth = report.memory_peak - report.memory_before
    print(
        f"{report.files} files: {report.refused} refused, {report.cleaned} cleaned, {len(report.wrong)} wrong, "
        f"{report.left_behind} files left that nobody owns; {report.seconds} s.\n"
        f"The largest process of the server took {report.memory_before} MB, then {report.memory_peak} MB at most; "
        f"a child that decodes, {report.child_peak} MB."
    )
    print(json.dumps(report.facts()))
    return 1 if report.wrong or report.left_behind or growth > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
