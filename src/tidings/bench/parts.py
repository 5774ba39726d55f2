"""Where processor time goes: by service where each has a process of its own, and by database in any case."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import psutil

ENGINES: Final = {"postgres", "nats-server", "valkey-server", "mongod"}
BACKEND: Final = re.compile(r"postgres: \S+ (\S+) (?:\[local\]|\S+\(\d+\))")  # user, database, and who asks


def family(pid: int) -> list[psutil.Process]:
    """A process and its children, whoever's they are."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def worked(pid: int, names: Mapping[int, str] | None = None) -> dict[str, float]:
    """Seconds of processor time so far of a process and its children, by part; `names` are those of processes."""
    found: defaultdict[str, float] = defaultdict(float)
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            found[part_of(process, names or {})] += sum(process.cpu_times()[:2])
    return dict(found)


def part_of(process: psutil.Process, names: Mapping[int, str]) -> str:
    """A database by its name, a service or an engine by its. Raises `psutil.NoSuchProcess`."""
    if process.pid in names:
        return names[process.pid]
    name = process.name()
    backend = BACKEND.match(" ".join(process.cmdline())) if name == "postgres" else None
    if backend is not None:
        return f"database {backend[1]}"
    return name if name in ENGINES else "others"
