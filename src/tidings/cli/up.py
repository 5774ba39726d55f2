"""`tidings up`: everything from one command, and the card that says where it is."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from types import TracebackType

import aiohttp
import msgspec
import psutil
import uvloop

from tidings.cli.operator import operator
from tidings.cli.options import Problem
from tidings.cli.printing import console, print_json
from tidings.cli.public import PublicApi
from tidings.cli.signals import signals
from tidings.cli.typed import as_typed
from tidings.contracts import users
from tidings.platform import logs, tracing
from tidings.platform.contract import Nothing
from tidings.platform.data_directory import ExitCode
from tidings.platform.garbage import collecting
from tidings.platform.http.listener import bind_tcp
from tidings.platform.settings import Settings, SettingsProblem
from tidings.platform.topology import EMBEDDED, EMBEDDED_MONGO, Topology
from tidings.system import System, running

READY_PATIENCE = 20.0  # seconds
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a newcomer needs to know, and a program with `--json`."""

    set_up: str | None
    home: str
    api: str
    documentation: str
    health: str
    metrics: str | None
    data: str
    pid: int
    pids: dict[str, int]
    seconds: float


class Told:
    """What takes long: one moving line on a terminal, plain lines elsewhere. Once ready, every line stays."""

    def __init__(self) -> None:
        self._status = console(stderr=True).status("Starting ...") if sys.stderr.isatty() else None

    def __enter__(self) -> Told:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ready()

    def ready(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, line: str) -> None:
        if self._status is not None:
            self._status.update(line)
        else:
            sys.stderr.write(line + "\n")


def run_up(settings: Settings, topology: Topology, *, as_json: bool = False) -> None:
    """The command's body: choose the loop and run."""
    if not settings.data.exists():
        _refuse_taken_ports(settings)
    uvloop.run(_up(settings, topology, as_json=as_json))


def _refuse_taken_ports(settings: Settings) -> None:
    """Before the folder of a first start is made. In one that is there, who runs on it is the better answer."""
    bind_tcp(settings.host, settings.port).close()
    if settings.metrics_port >= 0:
        bind_tcp(settings.metrics_host, settings.metrics_port, setting="--metrics-port").close()


async def _up(settings: Settings, topology: Topology, *, as_json: bool) -> None:
    """Run until a signal ends it. `Problem` when an engine cannot be kept up."""
    logs.configure(
        service="tidings",
        level=settings.log_level,
        to=settings.log_to,
        format=settings.log_format,
        data=settings.data,
        process="tidings",
    )
    tracing.start("tidings")
    try:
        async with signals() as ending, collecting():
            with Told() as told:
                async with running(settings, topology, tell=told) as system:
                    await _until_ready(system, settings)
                    card = await _card(system, settings)
                    ending.started()
                    told.ready()
                    _show(card, settings, as_json=as_json)
                    for name, before in system.moved.items():
                        told(_elsewhere(name, before, topology.services[name].shown_store))
                    await _until_ended(system, ending.raised)
                    told("Stopping ...")
    finally:
        tracing.stop()
    sys.stderr.write(f"Stopped. The data is in {settings.data}\n")


async def _until_ended(system: System, raised: asyncio.Event) -> None:
    signalled = asyncio.create_task(raised.wait())
    await asyncio.wait({signalled, system.mending}, return_when=asyncio.FIRST_COMPLETED)
    failed = system.mending.exception() if system.mending.done() and not system.mending.cancelled() else None
    if failed is not None:
        raise Problem(
            f"An engine ended, and cannot be started again: {failed}",
            "Tidings has stopped. Mend that, and start it again.",
            ExitCode.ENGINE_FAILED,
        ) from failed
    await signalled  # without an engine of ours there is nothing to mend


async def _until_ready(system: System, settings: Settings) -> None:
    """Ask /readyz itself, so that the card never promises too much."""
    deadline = time.monotonic() + READY_PATIENCE
    async with PublicApi(system.url, settings) as api:
        while True:
            try:
                status, said = await api.status("/readyz")
                if status == 200:
                    return
            except aiohttp.ClientError as error:
                said = str(error)
            if time.monotonic() > deadline:
                raise Problem(
                    f"The system does not get ready: {said}",
                    f"Look into {settings.data / 'logs'}, or start again with --log-to stderr.",
                    ExitCode.PROCESS_FAILED,
                )
            await asyncio.sleep(0.02)


async def _card(system: System, settings: Settings) -> Card:
    base = (settings.public_url or system.url).rstrip("/")
    async with operator(settings) as reached:
        state = await reached.call(users.set_up_state, Nothing())
        set_up = None if state.link is None else reached.address_of(state.link)
    return Card(
        set_up=set_up,
        home=base,
        api=f"{base}/v1",
        documentation=f"{base}/docs",
        health=f"{system.url}/readyz",
        metrics=system.metrics_url,
        data=str(settings.data),
        pid=os.getpid(),
        pids={"tidings": os.getpid(), **system.pids},
        seconds=round(time.time() - psutil.Process().create_time(), 2),
    )


def _show(card: Card, settings: Settings, *, as_json: bool) -> None:
    if as_json:
        print_json(card)
    else:
        sys.stdout.write(_drawn(card, settings))
    sys.stdout.flush()


def _elsewhere(name: str, before: str, now: str) -> str:
    """For who would miss what they had."""
    known = {EMBEDDED: "the embedded PostgreSQL", EMBEDDED_MONGO: "the embedded MongoDB"}
    return (
        f"{name} keeps its data in {known.get(now, now)} now; the last time that was {known.get(before, before)}.\n"
        "Nothing was moved: what was kept there is still there, and is shown again from there."
    )


def _drawn(card: Card, settings: Settings) -> str:
    """The card, on one screen."""
    near = "on this machine only" if settings.host in LOOPBACK else f"listening on {settings.host}"
    rows = [
        ("set-up", card.set_up),
        ("pages", f"{card.home}/"),
        ("API", card.api),
        ("API documentation", card.documentation),
        ("health", card.health),
        ("metrics", card.metrics),
        ("data", card.data),
        ("processes", ", ".join(f"{name} {pid}" for name, pid in card.pids.items())),
        ("stop", f"Ctrl-C, or: kill {card.pid}"),
    ]
    where = "" if _is_usual(settings) else f" --data {settings.data}"
    note = (
        ["", "  Open the set-up address once to make the administrator's account."]
        if card.set_up
        else ["", f"  Invite people: tidings users invite{where}", f"  Look around:   tidings doctor{where}"]
    )
    lines = [f"  {name:<18} {value}" for name, value in rows if value]
    drawn = ["", f"Tidings runs (ready in {card.seconds:.1f} s, {near}).", "", *lines, *map(as_typed, note), "", ""]
    return "\n".join(drawn)


def _is_usual(settings: Settings) -> bool:
    """Whether the other commands find this data without being told where it is."""
    try:
        return settings.data == Settings().data
    except SettingsProblem:
        return False
