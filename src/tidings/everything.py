"""The only list of services, and how a process of them runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvloop

from tidings.edge.front import exposing, front_app, listening
from tidings.edge.kept import KEPT as FRONT_KEPT
from tidings.edge.limits import limiting
from tidings.edge.response_cache import room_in
from tidings.platform import logs, tracing
from tidings.platform.events.bus import consumers_by_event, listeners_by_producer
from tidings.platform.garbage import collecting
from tidings.platform.http.internal import internal_app, readiness
from tidings.platform.http.listener import Listener, bind_tcp, bind_unix
from tidings.platform.launch import Launch
from tidings.platform.process import Plan, Process
from tidings.platform.service import ServiceKind
from tidings.platform.supervisor import READY, handed_launch, until_orphaned
from tidings.platform.topology import EDGE
from tidings.services.friends.service import friends
from tidings.services.media.service import media
from tidings.services.messages.service import messages
from tidings.services.notifications.service import notifications
from tidings.services.timeline.service import timeline
from tidings.services.users.service import users
from tidings.web.service import web

KINDS: Final = (users, friends, messages, media, notifications, timeline, web)
SERVICES: Final[Mapping[str, ServiceKind[Any]]] = {kind.name: kind for kind in KINDS}
# What the edge's responses rest on: what it keeps itself, and what others keep that make them.
RESTED_ON: Final = {kind.name: frozenset(one.call.service for one in kind.kept) for kind in KINDS if kind.resting}
FRONT_HEARS: Final = frozenset(kept.call.service for kept in FRONT_KEPT).union(*RESTED_ON.values())
STORELESS: Final = frozenset(name for name, kind in SERVICES.items() if kind.migrations is None)
ON_MONGODB: Final = tuple(name for name, kind in SERVICES.items() if kind.documents is not None)
WITH_BLOBS: Final = tuple(name for name, kind in SERVICES.items() if kind.blobs)
# Who reacts and remembers it: only they set events aside.
REACTING: Final = tuple(name for name, kind in SERVICES.items() if kind.reactions and name not in STORELESS)


@asynccontextmanager
async def hosting(launch: Launch, kinds: Mapping[str, ServiceKind[Any]] = SERVICES) -> AsyncIterator[Process]:
    """Run what a launch says within the block: services, their internal listener, and the front if it is there."""
    everyone = {name: kinds[name] for name in launch.everyone}
    away = [name for name in RESTED_ON if launch.mode == "wire" or name not in launch.services]
    vouched = frozenset[str]().union(*(RESTED_ON[name] for name in away))
    front_hears = vouched.union(kept.call.service for kept in FRONT_KEPT) if launch.front else FRONT_HEARS
    plan = Plan(
        settings=launch.settings,
        kinds={name: kinds[name] for name in launch.services},
        rings=launch.rings,
        secrets=launch.secrets,
        dsns=launch.dsns,
        addresses=launch.addresses,
        buses=launch.buses,
        valkeys=launch.valkeys,
        blobs=launch.blobs,
        replicated=launch.replicated,
        reacting=consumers_by_event(everyone),
        hearing=listeners_by_producer(everyone, {EDGE: front_hears}),
        mode=launch.mode,
    )
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(Process.running(plan))
        internal = Listener(
            internal_app(process.servings, launch.rings),
            _bind(launch.internal),
            idle_timeout=3600,
            header_timeout=launch.settings.header_timeout,
        )
        await internal.start()
        stack.push_async_callback(internal.stop)
        if launch.front:
            room = launch.settings.cache_bytes - room_in(launch.settings)
            process.keep(EDGE, FRONT_KEPT, vouched, room)
            await stack.enter_async_context(process.hearing(EDGE))
            temporary = await stack.enter_async_context(process.temporary(EDGE))
            limits = await stack.enter_async_context(limiting(temporary, launch.settings))
            contracts = [kinds[name].contract for name in launch.everyone]
            app = front_app(
                process.world(EDGE),
                launch.settings,
                contracts,
                secret=launch.secrets[EDGE],
                ready=lambda: readiness(process.servings),
                limits=limits,
            )
            if launch.metrics_fd is not None:
                bound = socket.socket(fileno=launch.metrics_fd)
                await stack.enter_async_context(exposing(bound, launch.process, launch.exposed, launch.settings))
            if launch.public_fd is not None:
                bound = socket.socket(fileno=launch.public_fd)
                await stack.enter_async_context(listening(app, bound, launch.settings))
        yield process


def _bind(address: str) -> socket.socket:
    if address.startswith("unix:"):
        return bind_unix(Path(address.removeprefix("unix:")))
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return bind_tcp(host, int(port), setting="listen in the topology file, not port")


async def _serve(launch: Launch) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with hosting(launch), collecting():
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        orphaned = asyncio.create_task(until_orphaned(sys.stdin.fileno()))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({orphaned, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (orphaned, stopped):
            task.cancel()


def _be_called(name: str) -> None:
    """Give the process a name that `ps`, `top` and `tidings doctor` show (Linux: 15 characters)."""
    with contextlib.suppress(OSError):  # elsewhere it keeps the interpreter's
        Path("/proc/self/comm").write_text(name[:15])


def main() -> None:
    """A child process of the supervisor: its launch comes on standard input."""
    launch = handed_launch(sys.stdin.buffer)
    _be_called(f"tidings-{launch.process}")
    settings = launch.settings
    logs.configure(
        service=launch.process,
        level=settings.log_level,
        to=settings.log_to,
        format=settings.log_format,
        data=settings.data,
        process=launch.process,
    )
    tracing.start(launch.process)
    try:
        uvloop.run(_serve(launch))
    except Exception:
        logs.get_logger("process").exception("process_failed")
        os._exit(1)
    finally:
        tracing.stop()


if __name__ == "__main__":
    main()
