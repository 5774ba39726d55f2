"""`tidings run SERVICE`: one service, or the edge, in this process; for containers."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec
import uvloop

from tidings import everything
from tidings.cli.options import EXIT_NOT_RUNNING, EXIT_USAGE, Problem
from tidings.cli.presence import present
from tidings.cli.signals import signals
from tidings.platform import logs, tracing
from tidings.platform.data_directory import DataDirectory, ExitCode, StartRefused
from tidings.platform.garbage import collecting
from tidings.platform.http.listener import bind_tcp
from tidings.platform.installation import Installation
from tidings.platform.launch import Launch
from tidings.platform.settings import Settings
from tidings.platform.topology import EDGE, EMBEDDED, EMBEDDED_MONGO, Topology
from tidings.system import address_of


def run_one(settings: Settings, topology: Topology, name: str) -> None:
    """The command's body. `Problem` when there is no such service, or nothing to keep its data."""
    names = [*everything.SERVICES, EDGE]
    if name not in names:
        raise Problem(f"There is no service {name!r}.", f"Choose one of {', '.join(names)}.", EXIT_USAGE)
    uvloop.run(_run(settings, one_each(topology), name))


def one_each(topology: Topology) -> Topology:
    """The same topology with a process for every service, since each is run by itself."""
    listening: dict[str, str] = {}
    for placed in topology.services.values():
        if placed.listen is not None:
            other = listening.setdefault(placed.listen, placed.service)
            if other != placed.service:
                raise Problem(
                    f"{other} and {placed.service} listen on {placed.listen}, but each is run by itself.",
                    "Give each a `listen` of its own in the topology file.",
                    EXIT_USAGE,
                )
    services = {name: msgspec.structs.replace(placed, process=name) for name, placed in topology.services.items()}
    return msgspec.structs.replace(topology, services=services, edge=EDGE)


async def _run(settings: Settings, topology: Topology, name: str) -> None:
    logs.configure(service=name, level=settings.log_level, to=_log_to(settings), data=settings.data, process=name)
    tracing.start(name)
    directory = DataDirectory.open(settings.data, lock=False)
    installation = Installation(settings, topology, everything.SERVICES, directory)
    try:
        with ExitStack() as stack:
            await _check_store(installation, name)
            launch = _launch(installation, name, stack)
            addresses = _addresses(installation, launch, settings)
            listen = None if name == EDGE else topology.services[name].listen
            stack.enter_context(present(directory.run, name, addresses, alone=listen is None))
            _refuse_taken(launch.internal, name)
            async with signals() as ending:
                await installation.prepare([name] if name in installation.dsns else [])
                async with everything.hosting(launch), collecting():
                    ending.started()
                    if launch.services and not launch.buses:
                        sys.stderr.write(
                            "There is no bus: events wait in their outboxes.\n"
                            "Let [engines] nats name a NATS server, or start `tidings up` on this data.\n"
                        )
                    where = addresses.get("public") or launch.internal
                    sys.stderr.write(f"{name} runs at {where} (stop: Ctrl-C, or kill {os.getpid()})\n")
                    await ending.raised.wait()
    finally:
        directory.close()
        tracing.stop()


def _log_to(settings: Settings) -> str:
    return "file" if settings.log_to == "file" else "stderr"


async def _check_store(installation: Installation, name: str) -> None:
    """An embedded store has to run already: `tidings run` starts no engine."""
    installation.locate()
    if name not in installation.dsns:
        return
    state = (await installation.inspect([name]))[name]
    if state.problem is None:
        return
    placed = installation.topology.services[name]
    if placed.store in (EMBEDDED, EMBEDDED_MONGO):
        engine = "PostgreSQL" if placed.store == EMBEDDED else "MongoDB"
        raise Problem(
            f"The embedded {engine} of {installation.settings.data} does not answer for {name}: {state.problem}",
            f"Start it with `tidings up` there, or say where {name} keeps its data: --store {name}=postgres://...",
            EXIT_NOT_RUNNING,
        )
    raise Problem(
        f"The database of {name} ({placed.shown_store}) does not answer: {state.problem}",
        "Start that server, or correct the service's `store`.",
        EXIT_NOT_RUNNING,
    )


def _launch(installation: Installation, name: str, stack: ExitStack) -> Launch:
    """What this one process is told, with the public listener bound if it is the edge."""
    if name != EDGE:
        return installation.launches()[name]
    settings = installation.settings
    public = stack.enter_context(bind_tcp(settings.host, settings.port))
    exposed = None
    if settings.metrics_port >= 0:
        exposed = stack.enter_context(
            bind_tcp(settings.metrics_host, settings.metrics_port, setting="--metrics-port")
        )
    launches = installation.launches(
        public_fd=os.dup(public.fileno()), metrics_fd=os.dup(exposed.fileno()) if exposed is not None else None
    )
    return launches[EDGE]


def _addresses(installation: Installation, launch: Launch, settings: Settings) -> dict[str, str]:
    """Where this process answers, for the other commands."""
    if not launch.front:
        return {f"internal:{launch.process}": installation.addresses()[f"internal:{launch.process}"]}
    found = {"public": address_of(settings.host, _port(launch.public_fd))}
    if launch.metrics_fd is not None:
        found["metrics"] = address_of(settings.metrics_host, _port(launch.metrics_fd)) + "/metrics"
    return found


def _port(fd: int | None) -> int:
    assert fd is not None
    with socket.socket(fileno=os.dup(fd)) as bound:
        return int(bound.getsockname()[1])


def _refuse_taken(internal: str, name: str) -> None:
    """`tidings up` may have this service in a process of its own: do not take its socket away."""
    path = internal.removeprefix("unix:")
    if path == internal or not Path(path).exists():
        return
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(path)
        except OSError:
            return  # a stale one
    raise StartRefused(
        f"{name} already answers at {path}.",
        "Stop the `tidings up --apart` that runs it, or choose another --data.",
        ExitCode.ALREADY_RUNNING,
    )
