"""The memory of a running system: each process's proportional share (PSS), children and PostgreSQL's included."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import psutil

MB = 1024 * 1024


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One process. PSS counts a page that n processes share as an nth, so that shares add up to what is used."""

    pid: int
    name: str
    megabytes: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """All processes. `incomplete`: some belong to another user and could not be read."""

    processes: list[Share]
    megabytes: float
    incomplete: bool


def memory_of(roots: Mapping[str, int]) -> Memory:
    """The shares of the processes by name, and of all that they started."""
    shares: dict[int, Share] = {}
    incomplete = False
    for name, pid in roots.items():
        for process in _family(pid):
            if process.pid in shares:
                continue
            try:
                bytes_ = _pss(process)
                shown = name if process.pid == pid else _name(process)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                incomplete = True
                continue
            shares[process.pid] = Share(pid=process.pid, name=shown, megabytes=round(bytes_ / MB, 1))
    ordered = sorted(shares.values(), key=lambda share: -share.megabytes)
    total = round(sum(share.megabytes for share in ordered), 1)
    return Memory(processes=ordered, megabytes=total, incomplete=incomplete)


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pss(process: psutil.Process) -> int:
    found = process.memory_full_info()
    return int(getattr(found, "pss", found.uss))  # PSS is Linux's


def _name(process: psutil.Process) -> str:
    """PostgreSQL's processes say what they do in their title; ours are named by what they run."""
    line = " ".join(process.cmdline()).strip()
    return line if line.startswith("postgres: ") else process.name()
