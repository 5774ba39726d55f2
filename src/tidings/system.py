"""A whole running system: an installation, its processes, and where they answer."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from tidings import everything
from tidings.platform.data_directory import DataDirectory
from tidings.platform.ending import ended
from tidings.platform.http.listener import bind_tcp
from tidings.platform.installation import Installation
from tidings.platform.moved import moved
from tidings.platform.process import Process
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.platform.supervisor import Supervisor
from tidings.platform.topology import EMBEDDED, Topology, TopologyProblem

CHILD = "tidings.everything"  # the module that a child process runs


@dataclass(frozen=True, slots=True)
class System:
    """Running. `process` is set when everything runs in this very process.

    `mending` restarts engines that die; it ends with StartRefused when one cannot be started any more.
    """

    url: str
    metrics_url: str | None
    installation: Installation
    process: Process | None
    supervisor: Supervisor | None
    mending: asyncio.Task[None]
    moved: Mapping[str, str]  # services that keep their data elsewhere than the last time, and where that was

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of what was started, by name."""
        pids: dict[str, int] = {}
        if self.installation.engine is not None and self.installation.engine.pid is not None:
            pids["postgres"] = self.installation.engine.pid
        if self.installation.mongod is not None and self.installation.mongod.pid is not None:
            pids["mongodb"] = self.installation.mongod.pid
        if self.installation.valkey is not None and self.installation.valkey.pid is not None:
            pids["valkey"] = self.installation.valkey.pid
        if self.installation.bus is not None and self.installation.bus.pid is not None:
            pids["nats"] = self.installation.bus.pid
        if self.supervisor is not None:
            pids.update(
                {name: child.pid for name, child in self.supervisor.children.items() if child.pid is not None}
            )
        return pids


def chosen_topology(settings: Settings, *, apart: bool) -> Topology:
    """The file's topology, or one of the two that need no file. Raises TopologyProblem."""
    make = (
        partial(Topology.load, settings.topology, apart=apart)
        if settings.topology is not None
        else (Topology.apart if apart else Topology.one_process)
    )
    return make(
        list(everything.SERVICES),
        storeless=everything.STORELESS,
        on_mongodb=everything.ON_MONGODB,
        with_blobs=everything.WITH_BLOBS,
    )


@asynccontextmanager
async def running(
    settings: Settings,
    topology: Topology,
    *,
    mode: Literal["near", "wire"] = "near",
    kinds: Mapping[str, ServiceKind[Any]] = everything.SERVICES,
    tell: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[System]:
    """Start everything, and stop it when the block ends. Raises StartRefused with what to do about it.

    `tell` gets a line for people about what takes long, and about what was restarted.
    """
    _refuse_replicas(topology)
    _raise_file_limit()
    async with AsyncExitStack() as stack:
        directory = DataDirectory.open(settings.data)
        stack.callback(directory.close)
        public = stack.enter_context(bind_tcp(settings.host, settings.port))
        exposed = None
        if settings.metrics_port >= 0:
            exposed = stack.enter_context(
                bind_tcp(settings.metrics_host, settings.metrics_port, setting="--metrics-port")
            )
        installation = Installation(settings, topology, kinds, directory, mode, front_hears=everything.FRONT_HEARS)
        stack.push_async_callback(installation.stop)
        embedded = any(placed.store == EMBEDDED for placed in topology.services.values())
        first = embedded and not (directory.path / "postgres" / "PG_VERSION").exists()
        tell("First start: making the databases ..." if first else "Starting ...")
        await installation.start()
        port, metrics_port = public.getsockname()[1], exposed.getsockname()[1] if exposed is not None else None
        launches = installation.launches(
            public_fd=public.fileno(), metrics_fd=exposed.fileno() if exposed is not None else None
        )
        mending = asyncio.create_task(installation.mend(tell), name="mend engines")
        stack.push_async_callback(_cancel, mending)

        process = supervisor = None
        if len(launches) == 1:
            (launch,) = launches.values()
            public.detach()
            if exposed is not None:
                exposed.detach()
            process = await stack.enter_async_context(everything.hosting(launch, kinds))
        else:
            tell(f"Starting {len(launches)} processes ...")
            supervisor = Supervisor(launches, CHILD, tell)
            stack.push_async_callback(supervisor.stop)
            await supervisor.start()
        url = address_of(settings.host, port)
        metrics_url = None if metrics_port is None else address_of(settings.metrics_host, metrics_port) + "/metrics"
        stores = {f"store:{name}": placed.shown_store for name, placed in topology.services.items()}
        stores.update(
            {f"blobs:{name}": placed.shown_blobs for name, placed in topology.services.items() if placed.blobs}
        )
        directory.announce(
            {
                "public": url,
                "metrics": metrics_url or "",
                "bus": installation.bus_url or "",
                "valkey": installation.valkey_url or "",
                "mongodb": "" if installation.mongod is None else installation.mongod.address,
                **installation.addresses(),
                **stores,
            }
        )
        kept = {name: placed.shown_store for name, placed in topology.services.items() if placed.store is not None}
        yield System(url, metrics_url, installation, process, supervisor, mending, moved(directory.path, kept))


def address_of(host: str, port: int) -> str:
    """The HTTP address of a listener."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refuse_replicas(topology: Topology) -> None:
    for placed in topology.services.values():
        if placed.replicas > 1:
            raise TopologyProblem(
                f"{placed.service} has {placed.replicas} replicas, and `tidings up` starts one process of each. "
                "Start the fleet by `tidings run` on its machines, or say replicas = 1."
            )


async def _cancel(task: asyncio.Task[None]) -> None:
    await ended(task)


def _raise_file_limit() -> None:
    """Ten thousand idle connections need as many descriptors as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
