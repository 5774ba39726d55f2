"""One run: a copy of the tree, perhaps with one mutation in it, under the tests that are named; what came of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.mutants.mutation import Mutation
from tests.mutants.witness import REPORT

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("src", "tests", "pyproject.toml")
PATIENCE: Final = 240.0  # seconds for one mutation's tests; a whole system starts within ten
Verdict = Literal["passed", "asserted", "spoiled"]


class WrongSource(Exception):
    """The tests ran against another `tidings` than the copy's."""


@dataclass(frozen=True)
class Ended:
    """How one test ended: it passed, an assertion failed in it, or something else spoiled it."""

    verdict: Verdict
    said: str = ""


@dataclass(frozen=True)
class Run:
    """All of the named tests, each with its end, and how long it took."""

    tests: dict[str, Ended]
    seconds: float
    output: str

    def all(self, verdict: Verdict) -> bool:
        return all(ended.verdict == verdict for ended in self.tests.values())


def keep(scratch: Path) -> Path:
    """A copy of the tree as it is now: whoever works on it meanwhile changes nothing of a run."""
    kept = scratch / "kept"
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, kept / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, kept / name)
    return kept


def run(kept: Path, tests: Sequence[str], mutation: Mutation | None = None, *, patience: float = PATIENCE) -> Run:
    """Copy, mutate, test. Nothing of it is left. Raises `WrongSource`, and `Rotten` by the mutation."""
    scratch = kept.parent
    copy = scratch / "tree"
    shutil.copytree(kept, copy)
    report = scratch / "report.jsonl"
    try:
        if mutation is not None:
            file = copy / mutation.file
            file.write_text(mutation.applied(file.read_text()))
        began = time.monotonic()
        output = _pytest(copy, tests, report, patience)
        seconds = time.monotonic() - began
        phases = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    finally:
        shutil.rmtree(copy)
        report.unlink(missing_ok=True)
    ours = str((copy / "src" / "tidings" / "__init__.py").resolve())
    for phase in phases:
        if phase["tidings"] != ours:
            raise WrongSource(f"{phase['test']} saw {phase['tidings']}, not {ours}")
    return Run({test: _ended(test, phases) for test in tests}, seconds, output)


def _pytest(copy: Path, tests: Sequence[str], report: Path, patience: float) -> str:
    temporary = report.parent / "t"  # short: engines have sockets in it
    temporary.mkdir(mode=0o711, exist_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TIDINGS_", "PYTEST_"))
    }
    environment.pop("BOUNDARY_RECORDS", None)
    environment |= {
        "PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
        REPORT: str(report),
    }
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "tests.mutants.witness", *tests]
    process = subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # pytest stops what its fixtures started
        try:
            output, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        output += f"\nstopped after {patience:.0f} s\n"
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    return output


def _ended(test: str, phases: Sequence[dict[str, Any]]) -> Ended:
    """`asserted` only if the test itself was reached and an assertion failed in it."""
    mine = [phase for phase in phases if phase["test"] == test]
    calls = [phase for phase in mine if phase["when"] == "call"]
    if not calls:
        broken = next((phase for phase in mine if phase["outcome"] == "failed"), None)
        return Ended("spoiled", f"not reached: {broken['said']}" if broken else "did not run")
    (call,) = calls
    if call["outcome"] == "passed":
        after = next(
            (phase for phase in mine if phase["when"] == "teardown" and phase["outcome"] == "failed"), None
        )
        return Ended("passed") if after is None else Ended("spoiled", f"afterwards: {after['said']}")
    return Ended("asserted" if call["asserted"] else "spoiled", call["said"])
