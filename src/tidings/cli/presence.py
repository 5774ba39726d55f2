"""Who runs on a data directory: one `tidings up`, or several `tidings run`, each holding its own file locked."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tidings.cli.options import EXIT_NOT_RUNNING, Problem
from tidings.platform.data_directory import DataDirectory, ExitCode, StartRefused

SUFFIX = ".here"


@contextmanager
def present(folder: Path, process: str, addresses: Mapping[str, str], *, alone: bool) -> Iterator[None]:
    """Say that `process` of `tidings run` answers at `addresses`, while the block lasts.

    The kernel gives the lock back when we end, by kill -9 too, so a file that nobody locks is a stale one.
    `alone`: refuse to start beside another process of that name. StartRefused if there is one.
    """
    path = folder / f"{process}{SUFFIX}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if alone:
                pid = _read(fd).get("pid")
                raise StartRefused(
                    f"{process} already runs on this data directory" + (f" (process {pid})." if pid else "."),
                    f"Stop it with `kill {pid}`, or choose another --data." if pid else "Stop it first.",
                    ExitCode.ALREADY_RUNNING,
                ) from None
        else:
            content = json.dumps({"pid": os.getpid(), "addresses": dict(addresses)}).encode()
            os.pwrite(fd, content, 0)
            os.ftruncate(fd, len(content))
        yield
    finally:
        os.close(fd)


def running_info(data: Path) -> dict[str, Any]:
    """`{"pid": ..., "addresses": {...}, "pids": {process: pid}}` of what runs on `data`. Else `Problem`."""
    info = DataDirectory.running(data) if data.exists() else None
    owner = {"pid": 0, "addresses": {}} | (info or {})
    info = {**owner, "pids": {"tidings": owner["pid"]} if owner["pid"] else {}}
    for process, part in _parts(data).items():
        # What runs by itself answers for its service before what `tidings up` brought.
        info["addresses"].update(part["addresses"])
        info["pids"][process] = part["pid"]
        info["pid"] = info["pid"] or part["pid"]
    if not info["addresses"] and info["pid"]:
        raise Problem(
            f"Tidings is just starting on {data} (process {info['pid']}).",
            "Try again in a moment.",
            EXIT_NOT_RUNNING,
        )
    if not info["addresses"]:
        raise Problem(
            f"Nothing runs on {data}.",
            f"Start it in another terminal: tidings up --data {data}. Or name the data it runs on: --data DIR",
            EXIT_NOT_RUNNING,
        )
    return info


def running_pid(data: Path) -> int | None:
    """Who runs on `data`, also while it is only starting; None if nobody does. Nothing is made there."""
    if not (data / "version.json").exists():
        return None
    info = DataDirectory.running(data) or next(iter(_parts(data).values()), None)
    return None if info is None else info.get("pid")


def _parts(data: Path) -> dict[str, dict[str, Any]]:
    """What each living `tidings run` said of itself, by process."""
    if not data.exists():
        return {}
    folder = DataDirectory(data.absolute(), None).run
    found = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            part = _read(fd)
            if "addresses" in part:
                found[path.name.removesuffix(SUFFIX)] = part
        finally:
            os.close(fd)
    return found


def _read(fd: int) -> dict[str, Any]:
    try:
        said = json.loads(os.pread(fd, 65_536, 0))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
