"""`tidings up`: everything from one command, and the card that says where it is."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import aiohttp
import psutil
import uvloop

from tidings.cli.operator import operator
from tidings.cli.options import Problem
from tidings.contracts import users
from tidings.platform import logs, tracing
from tidings.platform.contract import Nothing
from tidings.platform.settings import Settings
from tidings.platform.topology import Topology
from tidings.system import System, running


async def up(settings: Settings, topology: Topology) -> None:
    """Run until a signal ends it."""
    logs.configure(
        service="tidings",
        level=settings.log_level,
        to=settings.log_to,
        format=settings.log_format,
        data=settings.data,
        process="tidings",
    )
    tracing.start("tidings")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    try:
        async with running(settings, topology) as system:
            await _until_ready(system)
            took = time.time() - psutil.Process(os.getpid()).create_time()
            print(card(system, settings, await _set_up_link(settings), took), flush=True)
            await stop.wait()
            print("Stopping ...", flush=True)
    finally:
        tracing.stop()
    print("Stopped. The data is in", settings.data, flush=True)


def card(system: System, settings: Settings, set_up: str | None, took: float) -> str:
    """What a newcomer needs, on one screen."""
    base = settings.public_url or system.url
    rows = [
        ("set-up", f"{base}{set_up}" if set_up else None),
        ("API", f"{base}/v1"),
        ("API documentation", f"{base}/docs"),
        ("health", f"{system.url}/readyz"),
        ("metrics", system.metrics_url),
        ("data", str(settings.data)),
        ("processes", ", ".join(system.pids) if system.supervisor else None),
        ("stop", f"Ctrl-C, or: kill {os.getpid()}"),
    ]
    lines = [f"  {name:<18} {value}" for name, value in rows if value]
    heading = f"Tidings runs (ready in {took:.1f} s, on this machine only)."
    if settings.host not in ("127.0.0.1", "::1", "localhost"):
        heading = f"Tidings runs (ready in {took:.1f} s, listening on {settings.host})."
    note = ["", "  Open the set-up address once to make the administrator's account."] if set_up else []
    return "\n".join(["", heading, "", *lines, *note, ""])


async def _until_ready(system: System) -> None:
    """Ask /readyz itself, so that the card never promises too much."""
    deadline = time.monotonic() + 20
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{system.url}/readyz", headers={"host": "localhost"}) as response:
                    if response.status == 200:
                        return
                    said = await response.text()
            except aiohttp.ClientError as error:
                said = str(error)
            if time.monotonic() > deadline:
                raise Problem(f"The system does not get ready: {said}", "Look into the logs folder of the data.")
            await asyncio.sleep(0.02)


async def _set_up_link(settings: Settings) -> str | None:
    """The one-time link for the first administrator, while there is none."""
    async with operator(settings) as reached:
        state = await reached.call(users.set_up_state, Nothing())
    return None if state.link is None else f"{state.link.path}?link={state.link.secret}"


def run_up(settings: Settings, topology: Topology) -> None:
    """The command's body: choose the loop and run."""
    uvloop.run(up(settings, topology))
