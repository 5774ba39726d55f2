"""A server program as our child: how it ends, what it said, and what an earlier one left running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

import psutil


async def exited(process: subprocess.Popen[bytes]) -> int:
    """Its exit status, without a thread: Linux tells by a descriptor (pidfd_open(2)), elsewhere we look."""
    with contextlib.suppress(AttributeError, OSError):
        if process.poll() is None:
            await _readable(os.pidfd_open(process.pid))
    while process.poll() is None:
        await asyncio.sleep(0.02)
    return process.wait()


async def end(
    process: subprocess.Popen[bytes], how: signal.Signals, patience: float, harder: signal.Signals
) -> None:
    """Ask it to end by `how`; after `patience` seconds by `harder`, and at last by SIGKILL."""
    for number, seconds in ((how, patience), (harder, 5.0), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(exited(process), seconds)


async def end_stranger(
    process: psutil.Process, how: signal.Signals, patience: float, harder: signal.Signals
) -> None:
    """The same for a process that is not our child."""
    for number, seconds in ((how, patience), (harder, 5.0)):
        give_up_at = time.monotonic() + seconds
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(0.01)
        else:
            return


def processes_in(folder: Path, names: Collection[str]) -> list[psutil.Process]:
    """A server's processes on a data folder: each has it as its working directory."""
    wanted, found = os.fspath(folder.resolve()), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == wanted and process.name() in names:
                found.append(process)
    return found


def last_lines(log: bytes, count: int = 8) -> str:
    return "\n".join(log.decode(errors="replace").strip().splitlines()[-count:])


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
