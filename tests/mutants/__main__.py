"""`python -m tests.mutants [--only NAME]`: take each protective line out, and see a test of its property fail."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.mutation import Mutation, Rotten
from tests.mutants.run import Run, WrongSource, keep, run
from tests.mutants.table import MUTATIONS


def main() -> int:
    asks = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    asks.add_argument("--only", metavar="NAME", help="the one of this name, or all whose name begins so")
    asks.add_argument("--list", action="store_true", help="name them, and run nothing")
    asked = asks.parse_args()
    chosen = [one for one in MUTATIONS if asked.only is None or one.name.startswith(asked.only)]
    if not chosen:
        asks.error(f"no mutation is called {asked.only!r}; --list names them")
    if asked.list:
        for one in chosen:
            print(f"{one.name}: {one.protects} ({', '.join(one.broken)})")
        return 0
    for asked_to_end in (signal.SIGINT, signal.SIGTERM):  # also where a shell has it ignored: then so would pytest
        signal.signal(asked_to_end, signal.default_int_handler)
    scratch = Path(tempfile.mkdtemp(prefix="tidings-mut-"))
    scratch.chmod(0o711)
    try:
        return _run(chosen, keep(scratch))
    except (Rotten, WrongSource) as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch)


def _run(chosen: Sequence[Mutation], kept: Path) -> int:
    began = time.monotonic()
    for one in chosen:  # before anything runs: all of it is wrong if one is
        one.applied((kept / one.file).read_text())
    tests = sorted({test for one in chosen for test in one.tests})
    sound = run(kept, tests, patience=60.0 * len(tests))
    if not sound.all("passed"):
        print(sound.output)
        for test, ended in sound.tests.items():
            if ended.verdict != "passed":
                print(f"without any mutation, {test} {ended.verdict}: {ended.said}", file=sys.stderr)
        return 1
    print(f"Unmutated, all {len(tests)} tests pass, in {sound.seconds:.0f} s.\n", flush=True)
    killed, spoiled, survived = [], [], []
    for one in chosen:
        found = run(kept, one.tests, one)
        if found.all("asserted"):
            killed.append(one.name)
        elif any(ended.verdict == "passed" for ended in found.tests.values()):
            survived.append(one.name)
        else:
            spoiled.append(one.name)
        _show(one, found, one.line(kept))
    print(
        json.dumps(
            {
                "mutants": len(chosen),
                "killed": len(killed),
                "survived": survived,
                "spoiled": spoiled,
                "properties": sorted({name for one in chosen for name in one.broken}),
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )
    return 0 if len(killed) == len(chosen) else 1


def _show(one: Mutation, found: Run, line: int) -> None:
    """Its rows of the table: the line, where it is, its properties; then each test, and what it said."""
    verdict = "killed" if found.all("asserted") else "NOT KILLED"
    place = f"{one.file.removeprefix('src/tidings/')}:{line}"
    print(f"{verdict:<10}  {one.name:<48}  {place:<46}  {', '.join(one.broken):<10}  {found.seconds:5.1f} s")
    print(f"            {one.protects}")
    for test, ended in found.tests.items():
        print(f"            {ended.verdict}: {test.removeprefix('tests/')}")
        print(f"                {ended.said[:160] or '-'}")
    if verdict != "killed":
        print("\n".join(f"            | {line}" for line in found.output.splitlines()[-25:]))
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
