"""An installation: one data directory with its engines, databases, keys and the launches made from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from tidings.platform import logs
from tidings.platform.data_directory import DataDirectory, ExitCode, StartRefused
from tidings.platform.engines.nats import EmbeddedNats
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.engines.valkey import EmbeddedValkey
from tidings.platform.events.bus import OPERATOR, TROUBLE, BusAddress, users_of
from tidings.platform.events.bus import prepare as prepare_bus
from tidings.platform.launch import Launch
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.platform.storage.inspection import Inspected, inspect
from tidings.platform.storage.migrations import ServiceDatabase, ensure_schemas
from tidings.platform.temporary.port import ValkeyAddress
from tidings.platform.topology import CLI, EDGE, EMBEDDED, EMBEDDED_MONGO, FILES, NONE, Topology
from tidings.platform.trust import KeyRing, cut_ring

if TYPE_CHECKING:
    from tidings.platform.engines.mongod import EmbeddedMongod

__all__ = ["Inspected", "Installation"]

log = logs.get_logger("installation")

MEND_TRIES: Final = 5
BUS_PATIENCE: Final = 20.0
BUS_LOOK: Final = 2.0  # seconds
NOWHERE: Final = "127.0.0.1:1"  # of an embedded MongoDB that does not run
STEADY: Final = 60.0  # seconds after which a death counts as the first again


class Engine(Protocol):
    """A server that we start, and that may die."""

    async def start(self) -> None: ...

    async def died(self) -> int: ...


class Installation:
    """Owns the data directory while it runs. Start it, make launches from it, stop it."""

    def __init__(
        self,
        settings: Settings,
        topology: Topology,
        kinds: Mapping[str, ServiceKind[Any]],
        directory: DataDirectory,
        mode: Literal["near", "wire"] = "near",
        *,
        front_hears: Collection[str] = (),
    ) -> None:
        self.settings = settings
        self._front_hears = front_hears  # the producers whose answers the edge keeps
        self.topology = topology
        self.kinds = kinds
        self.directory = directory
        self.mode: Literal["near", "wire"] = mode
        self.engine: EmbeddedPostgres | None = None
        self.mongod: EmbeddedMongod | None = None
        self.bus: EmbeddedNats | None = None
        self.valkey: EmbeddedValkey | None = None
        self._found_bus: str | None = None
        self._found_valkey: str | None = None
        self.dsns: dict[str, str] = {}

    async def start(self) -> None:
        """Start the engines and bring every database to its newest schema. Raises StartRefused."""
        await asyncio.gather(self._start_databases(), self._start_mongod(), self._start_bus(), self._start_valkey())
        await self.prepare(self.kinds)

    async def _start_databases(self) -> None:
        embedded = self._placed(EMBEDDED)
        if embedded:
            self.engine = self._engine()
            await self.engine.start()
            passwords = {name: self._password(name) for name in embedded}
            self.dsns.update(await self.engine.provision_all(passwords))
        self.dsns.update(self._elsewhere())

    async def _start_mongod(self) -> None:
        documentary = self._placed(EMBEDDED_MONGO)
        if documentary:
            self.mongod = self._mongod()
            await self.mongod.start()
            self.dsns.update(await self.mongod.provision_all(self._mongo_passwords(documentary)))

    async def _start_bus(self) -> None:
        if self.topology.bus == EMBEDDED:
            self.bus = EmbeddedNats(
                self.directory.path / "nats",
                users=users_of(
                    self.kinds,
                    {name: self._bus_password(name) for name in (OPERATOR, EDGE, *self.kinds)},
                    {EDGE: self._front_hears},
                ),
                program=self.settings.nats_server,
            )
            await self.bus.start()
        try:
            async with asyncio.timeout(BUS_PATIENCE):
                await prepare_bus(self._bus_address(OPERATOR), self.kinds)
        except TROUBLE as error:
            raise StartRefused(
                f"The bus at {self._bus_address(OPERATOR).url} cannot be prepared: {error!r}",
                "Start that NATS server with JetStream and this installation's users, or leave [engines] nats out.",
                ExitCode.ENGINE_FAILED,
            ) from error

    async def _start_valkey(self) -> None:
        """Without one we go on: what it keeps is each process's own then."""
        if self.topology.valkey != EMBEDDED:
            return
        valkey = EmbeddedValkey(
            self.directory.path / "valkey",
            passwords={name: self._valkey_password(name) for name in (EDGE, *self.kinds)},
            program=self.settings.valkey_server,
        )
        try:
            await valkey.start()
        except StartRefused as refused:
            if self.settings.valkey_server is not None:
                raise
            log.warning("without_valkey", reason=refused.message, hint=refused.hint)
            return
        self.valkey = valkey

    def locate(self) -> None:
        """Learn where every database and the bus are, without starting an engine: somebody else has."""
        engine = self._engine()
        self.dsns = {
            name: engine.dsn(user=f"tidings_{name}", password=self._password(name), database=name)
            for name in self._placed(EMBEDDED)
        }
        self.dsns.update(self._elsewhere())
        addresses = (DataDirectory.running(self.directory.path) or {}).get("addresses", {})
        self._found_bus = addresses.get("bus")
        self._found_valkey = addresses.get("valkey") or None
        documentary = self._placed(EMBEDDED_MONGO)
        if documentary:
            mongod = self._mongod()
            mongod.found_at(addresses.get("mongodb") or NOWHERE)
            self.dsns.update(mongod.urls(self._mongo_passwords(documentary)))

    async def prepare(self, services: Iterable[str]) -> None:
        """Bring the databases of these services to their newest schema. Raises StartRefused."""
        await ensure_schemas(self._databases(services))

    async def inspect(self, services: Iterable[str] | None = None) -> dict[str, Inspected]:
        """What the databases of these services (None: of all) say of themselves; nothing is changed."""
        return await inspect(self._databases(self.kinds if services is None else services))

    async def stop(self) -> None:
        """Stop the engines. The directory stays locked until it is closed."""
        if self.valkey is not None:
            await self.valkey.stop(patience=2.0)  # it has nothing to write down
        if self.bus is not None:
            await self.bus.stop()
        if self.mongod is not None:
            await self.mongod.stop()
        if self.engine is not None:
            await self.engine.stop()

    async def mend(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Restart each engine whenever it dies, until cancelled. Connections come back by themselves.

        Raises StartRefused when one cannot be started any more.
        """
        failed: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                if self.engine is not None:
                    tasks.create_task(self._mend("PostgreSQL", self.engine, tell))
                if self.mongod is not None:
                    tasks.create_task(self._mend("MongoDB", self.mongod, tell))
                if self.valkey is not None:
                    tasks.create_task(self._mend("Valkey", self.valkey, tell))
                if self.bus is not None:
                    tasks.create_task(self._mend("NATS", self.bus, tell))
                    tasks.create_task(self._keep_bus(self.bus))
        except* StartRefused as refused:  # what is raised in here would come in a group again
            failed = refused.exceptions[0]
        if failed is not None:
            raise failed

    async def _keep_bus(self, bus: EmbeddedNats) -> None:
        """Make streams and consumers again that were lost with the bus's data; the outboxes hold what was in it."""
        while True:
            await asyncio.sleep(BUS_LOOK)
            if bus.pid is None:
                continue
            if not (bus.data / "store").exists():  # removed under a running server, which would not notice
                log.error("bus_data_gone", folder=str(bus.data))
                await bus.stop()
                await bus.start()
            try:
                async with asyncio.timeout(5):
                    if await prepare_bus(self._bus_address(OPERATOR), self.kinds):
                        log.warning("bus_made_again")
            except TROUBLE as error:
                log.warning("bus_not_looked_at", error=repr(error))

    async def _mend(self, name: str, engine: Engine, tell: Callable[[str], None]) -> None:
        pause = 0.1
        while True:
            began = time.monotonic()
            status = await engine.died()
            log.error("engine_died", engine=name, status=status)
            if time.monotonic() - began > STEADY:
                pause = 0.1
            for tries_left in range(MEND_TRIES - 1, -1, -1):
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)
                try:
                    await engine.start()
                    break
                except StartRefused as refused:
                    log.error("engine_restart_failed", engine=name, reason=refused.message)
                    if not tries_left:
                        raise
            log.warning("engine_restarted", engine=name)
            tell(f"{name} ended (status {status}) and was restarted.")

    def ring(self, service: str) -> KeyRing:
        """The keys of one service, of the edge, or of the command line."""
        return cut_ring(self._root(), service, [*self.kinds, EDGE, CLI])

    def launches(self, *, public_fd: int | None = None, metrics_fd: int | None = None) -> dict[str, Launch]:
        """One launch for each process of the topology."""
        processes = self.topology.processes()
        address = self._addresses()
        return {
            process: Launch(
                process=process,
                services=tuple(services),
                everyone=tuple(self.kinds),
                settings=self.settings,
                rings={
                    name: self.ring(name)
                    for name in (*services, *([EDGE] if process == self.topology.edge else []))
                },
                secrets={
                    name: self._secret(name)
                    for name in (*services, *([EDGE] if process == self.topology.edge else []))
                },
                dsns={name: self.dsns[name] for name in services if name in self.dsns},
                blobs={name: place for name in services if (place := self._blobs_of(name)) is not None},
                addresses={name: where for name, where in address.items() if name not in services},
                buses={
                    name: self._bus_address(name)
                    for name in (*services, *([EDGE] if process == self.topology.edge else []))
                    if self.bus_url
                },
                valkeys={
                    name: ValkeyAddress(self.valkey_url, name, self._valkey_password(name))
                    for name in (*services, *([EDGE] if process == self.topology.edge else []))
                    if self.valkey_url
                },
                replicated=tuple(name for name, one in self.topology.services.items() if one.replicas > 1),
                internal=self._listening(process, services),
                front=process == self.topology.edge,
                public_fd=public_fd if process == self.topology.edge else None,
                metrics_fd=metrics_fd if process == self.topology.edge else None,
                exposed={name: self._reached(name, those) for name, those in processes.items() if name != process},
                mode=self.mode,
            )
            for process, services in processes.items()
        }

    def addresses(self) -> dict[str, str]:
        """Where each service's internal API is, as `internal:NAME` for the lock file."""
        return {f"internal:{service}": address for service, address in self._addresses().items()}

    def _addresses(self) -> dict[str, str]:
        """Where the others reach each service: at the one listener of its process, or at what stands before it."""
        return {
            service: self.topology.services[service].address or self._listening(process, services)
            for process, services in self.topology.processes().items()
            for service in services
        }

    def _listening(self, process: str, services: Iterable[str]) -> str:
        """What a process listens on: the `listen` of any service in it, else a Unix socket in the run folder."""
        given = (self.topology.services[name].listen for name in services)
        return next((one for one in given if one), None) or f"unix:{self.directory.run / f'{process}.sock'}"

    def _blobs_of(self, service: str) -> str | None:
        """Where a service keeps its blobs: a folder of the data directory, or a bucket's URL."""
        placed = self.topology.services[service].blobs
        return str(self.directory.path / "blobs" / service) if placed == FILES else placed

    def _reached(self, process: str, services: Iterable[str]) -> str:
        """Where the others reach a process, whichever service of it they want."""
        given = (self.topology.services[name].address for name in services)
        return next((one for one in given if one), None) or self._listening(process, services)

    def _placed(self, store: str) -> list[str]:
        return sorted(name for name in self.kinds if self.topology.services[name].store == store)

    def _elsewhere(self) -> dict[str, str]:
        stores = {name: self.topology.services[name].store for name in self.kinds}
        return {name: store for name, store in stores.items() if store and store not in (EMBEDDED, EMBEDDED_MONGO)}

    def _engine(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(
            self.directory.path / "postgres",
            socket=self.directory.run / "pg",
            password=self.directory.secret("postgres-superuser"),
            bin_dir=self.settings.pg_bin,
        )

    def _mongod(self) -> EmbeddedMongod:
        # Here, so that who has no such store does without the driver's memory.
        from tidings.platform.engines.mongod import EmbeddedMongod

        return EmbeddedMongod(
            self.directory.path / "mongodb",
            password=self.directory.secret("mongodb-operator"),
            program=self.settings.mongod,
        )

    def _mongo_passwords(self, services: Iterable[str]) -> dict[str, str]:
        return {name: self.directory.secret(f"mongodb-{name}") for name in services}

    def _databases(self, services: Iterable[str]) -> list[ServiceDatabase]:
        return [
            ServiceDatabase(name, self.dsns[name], migrations, self.kinds[name].documents)
            for name in services
            if (migrations := self.kinds[name].migrations) is not None
        ]

    def _password(self, service: str) -> str:
        return self.directory.secret(f"postgres-{service}")

    def _bus_password(self, service: str) -> str:
        return self.directory.secret(f"nats-{service}")

    def _valkey_password(self, service: str) -> str:
        return self.directory.secret(f"valkey-{service}")

    @property
    def valkey_url(self) -> str | None:
        """Where temporary data is; None where each process has its own."""
        if self.topology.valkey != EMBEDDED:
            return None if self.topology.valkey == NONE else self.topology.valkey
        return self.valkey.address if self.valkey is not None else self._found_valkey

    @property
    def bus_url(self) -> str | None:
        """Where the bus is; None while an embedded one runs nowhere."""
        if self.topology.bus != EMBEDDED:
            return self.topology.bus
        return self.bus.address if self.bus is not None else self._found_bus

    def _bus_address(self, user: str) -> BusAddress:
        return BusAddress(url=self.bus_url or "", user=user, password=self._bus_password(user))

    def _root(self) -> bytes:
        return self.directory.secret("root").encode()

    def _secret(self, service: str) -> bytes:
        return blake2b(f"secret of {service}".encode(), key=self._root()[:64], digest_size=32).digest()


async def provision(kind: ServiceKind[Any], url: str, admin_url: str, tell: Callable[[str], None]) -> None:
    """Prepare the MongoDB at `url` for a service, as the administrator of `admin_url`. Raises StartRefused."""
    from tidings.platform.storage.mongo_provision import provision as prepare

    assert kind.documents is not None
    await prepare(admin_url, url, kind.name, kind.documents, tell)
