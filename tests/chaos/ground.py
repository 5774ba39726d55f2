"""A fleet to break: a process and a database server for each service, and a proxy on every socket between them.

```python
async with fleet(twophase_deadline=1.5) as ground:
    alice = await ground.whole.joins("Alice")
    ground.link("friends").disturb(Trouble("hold", caller="users"))   # users and friends are parted
    ground.store("messages").disturb(Trouble("delay", seconds=0.2))   # a slow way to a database
    ground.kill("users")                                              # the supervisor starts it again
    await ground.databases["friends"].restart()                       # kill -9, and a new start
    ground.heal()
    await ground.steady()
```
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.disk import SmallDisk, small_disk
from tests.chaos.proxy import Proxy
from tests.chaos.servers import DatabaseServer, MongoServer, PostgresServer
from tests.harness.people import Person
from tests.harness.system import Whole, whole
from tidings import everything
from tidings.platform.topology import Topology

STORED = tuple(name for name in everything.SERVICES if name not in everything.STORELESS)
TESTS = "tests"  # the name of this very process to proxies
UNKNOWN = "?"
DISK = 256  # megabytes: a server takes 90 at first


@dataclass
class Ground:
    """A fleet that runs. Processes are named as services are, and `edge` is one more."""

    folder: Path
    databases: Mapping[str, DatabaseServer]
    links: Mapping[str, Proxy]
    stores: Mapping[str, Proxy]
    disk: SmallDisk | None = None
    names: dict[int, str] = field(default_factory=dict)
    stopped: set[int] = field(default_factory=set)
    _whole: Whole | None = None

    @property
    def whole(self) -> Whole:
        """People, points, the operator: all that tests do to any system."""
        assert self._whole is not None
        return self._whole

    @property
    def dsns(self) -> dict[str, str]:
        """Past every proxy, for who judges."""
        return {name: server.dsn for name, server in self.databases.items()}

    def link(self, service: str) -> Proxy:
        """The proxy on the internal socket of a service; its callers are the other processes."""
        return self.links[service]

    def store(self, service: str) -> Proxy:
        """The proxy between a service and its database."""
        return self.stores[service]

    @property
    def proxies(self) -> list[Proxy]:
        return [*self.links.values(), *self.stores.values()]

    def pid(self, process: str) -> int | None:
        """None while it is down."""
        return self.whole.system.pids.get(process)

    def kill(self, process: str) -> int:
        """`kill -9`; the supervisor starts it again. Its id."""
        return self._signal(process, signal.SIGKILL)

    def halt(self, process: str) -> int:
        """SIGSTOP."""
        pid = self._signal(process, signal.SIGSTOP)
        self.stopped.add(pid)
        return pid

    def go(self, process: str) -> None:
        """SIGCONT. No harm if it was not stopped, or has died meanwhile."""
        pid = self.pid(process)
        if pid is not None:
            self.stopped.discard(pid)
            os.kill(pid, signal.SIGCONT)

    def heal(self) -> None:
        """End what tests did that does not end by itself: troubles of proxies, and stopped processes.

        Half-open connections stay; `Proxy.forget` breaks them. A database that was killed is started by who killed
        it.
        """
        for proxy in self.proxies:
            proxy.heal()
        for pid in self.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stopped.clear()
        for server in self.databases.values():
            server.go()

    async def steady(self, *, within: float = 30.0) -> None:
        """Every service answers, to read and to write. Fails after so many seconds."""
        last: object = None
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        one, other = [await self.whole.joins(name) for name in ("Anybody", "Other")]
                        await one.befriends(other)
                        await one.posts("steady?")
                        answer = await other.get("/v1/timeline")
                        (await other.get("/v1/notifications")).ok()
                        (await other.get("/v1/media")).ok()
                        last = answer.raw
                        if answer.ok()["entries"] and not answer.body["unreachable"]:
                            return
                    except (AssertionError, aiohttp.ClientError) as error:
                        last = error
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not steady in {within} s; the last look: {last!r}") from None

    async def leaves(self, person: Person) -> Any:
        """DELETE of their account: the answer, or None if the connection broke."""
        try:
            return await person.delete("/v1/users/me")
        except aiohttp.ClientError:
            return None

    def name_of(self, pid: int) -> str:
        """Who a process is: its name in the topology, `tests`, or `?`. Remembered beyond its end."""
        known = self.names.get(pid)
        if known is None:
            if pid == os.getpid():
                known = TESTS
            elif self._whole is not None:
                known = next((name for name, one in self._whole.system.pids.items() if one == pid), None)
            if known is None:
                return UNKNOWN
            self.names[pid] = known
        return known

    def _signal(self, process: str, number: signal.Signals) -> int:
        pid = self.pid(process)
        if pid is None:
            raise ProcessLookupError(f"{process} does not run")
        self.names[pid] = process
        os.kill(pid, number)
        return pid


@asynccontextmanager
async def fleet(
    *,
    database_settings: Mapping[str, str] | None = None,
    small_disk_of: str | None = None,
    on_mongodb: Collection[str] = (),
    **settings: Any,
) -> AsyncIterator[Ground]:
    """Start it in a new folder; stop it and remove the folder afterwards.

    `settings` are Tidings' own, as `whole` takes them; `database_settings` go to each PostgreSQL server.
    The services of `on_mongodb` keep their data there. The server of `small_disk_of` gets a small disk of its own
    (`Ground.disk`), for which this must run as root.
    """
    folder = Path(tempfile.mkdtemp(prefix="c-"))  # short: sockets lie below
    folder.chmod(0o711)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        disk = None
        if small_disk_of is not None:
            disk = stack.enter_context(small_disk(folder / small_disk_of, megabytes=DISK))
        databases: dict[str, DatabaseServer] = {
            name: MongoServer(name, folder / name)
            if name in on_mongodb
            else PostgresServer(name, folder / name, database_settings or {})
            for name in STORED
        }
        for server in databases.values():
            stack.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in databases.values()))

        ground: Ground

        def name_of(pid: int) -> str:
            return ground.name_of(pid)

        doors = folder / "doors"
        doors.mkdir()
        for name in STORED:
            (doors / name).mkdir()
        inside = folder / "f"
        links = {
            name: Proxy(name, doors / f"{name}.sock", inside / "data" / "run" / f"{name}.sock", name_of)
            for name in everything.SERVICES
        }
        stores = {
            name: Proxy(f"{name}'s database", doors / name / server.socket_path.name, server.socket_path, name_of)
            for name, server in databases.items()
        }
        ground = Ground(folder, databases, links, stores, disk)
        for proxy in ground.proxies:
            await proxy.start()
            stack.push_async_callback(proxy.stop)

        topology = _topology(folder / "topology.toml", ground, doors)
        system = await stack.enter_async_context(whole("apart", topology=topology, folder=inside, **settings))
        ground._whole = system
        stack.callback(ground.heal)
        yield ground


def _topology(file: Path, ground: Ground, doors: Path) -> Topology:
    """Every service by its proxy, every database by its own."""
    lines = []
    for name in everything.SERVICES:
        lines += [f"[services.{name}]", f'address = "unix:{ground.links[name].listens}"']
        if name in ground.databases:
            lines.append(f'store = "{ground.databases[name].through(doors / name)}"')
    file.write_text("\n".join(lines) + "\n")
    return Topology.load(
        file,
        list(everything.SERVICES),
        storeless=everything.STORELESS,
        on_mongodb=everything.ON_MONGODB,
        with_blobs=everything.WITH_BLOBS,
        apart=True,
    )
