"""One process of the product: the services that the topology puts into it, and their links to all others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import aiohttp

from tidings.platform import logs
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.kept import Kept
from tidings.platform.cursors import Cursors
from tidings.platform.dependency import Dependencies
from tidings.platform.events.audience import Audience
from tidings.platform.events.bus import BusAddress
from tidings.platform.events.hearing import hearing
from tidings.platform.events.mailroom import Mailroom, open_mailroom
from tidings.platform.events.neighbours import Neighbours
from tidings.platform.http.internal import Http, open_session
from tidings.platform.points import points_at
from tidings.platform.service import ServiceKind, Serving
from tidings.platform.settings import Settings
from tidings.platform.temporary.memory import InMemory
from tidings.platform.temporary.opening import open_temporary
from tidings.platform.temporary.port import Temporary, ValkeyAddress
from tidings.platform.trust import KeyRing
from tidings.platform.world import Encoded, Link, Near, World

log = logs.get_logger("process")

Mode = Literal["near", "wire"]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a service is given when it starts. Nothing in it belongs to another service."""

    service: str
    world: World
    settings: Settings
    dsn: str | None
    secret: bytes  # this service's own
    blobs: str | None = None
    mailroom: Mailroom = field(default_factory=lambda: Mailroom("nobody"))
    temporary: Temporary = field(default_factory=InMemory)

    @property
    def database(self) -> str:
        """The DSN of this service's own database. A fault if the topology gives it none."""
        if self.dsn is None:
            raise ValueError(f"{self.service} needs a database; the topology names none")
        return self.dsn

    @property
    def blob_place(self) -> str:
        """Where this service's blobs are. A fault if the topology places none."""
        if self.blobs is None:
            raise ValueError(f"{self.service} needs a place for blobs; the topology names none")
        return self.blobs

    def cursors(self) -> Cursors:
        """Seals this service's cursors."""
        return Cursors(blake2b(b"cursors", key=self.secret[:64]).digest())


@dataclass(slots=True)
class Plan:
    """What runs here, where the rest is, and the keys and addresses for both.

    `addresses` of services elsewhere are `unix:PATH` or `tcp://host:port`. `replicated` services run in several
    processes. `reacting` names, by event, all services that own data and react to it, here or elsewhere; `hearing`,
    by producer, all who hear what it says in passing.
    """

    settings: Settings
    kinds: Mapping[str, ServiceKind[Any]]
    rings: Mapping[str, KeyRing]
    secrets: Mapping[str, bytes]
    dsns: Mapping[str, str]
    addresses: Mapping[str, str] = field(default_factory=dict)
    buses: Mapping[str, BusAddress] = field(default_factory=dict)
    valkeys: Mapping[str, ValkeyAddress] = field(default_factory=dict)
    blobs: Mapping[str, str] = field(default_factory=dict)
    replicated: Collection[str] = ()
    reacting: Mapping[str, Collection[str]] = field(default_factory=dict)
    hearing: Mapping[str, Collection[str]] = field(default_factory=dict)
    mode: Mode = "near"


class Process:
    """Running services, and the worlds that they and the edge see."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.servings: dict[str, Serving[Any]] = {}
        self._keepers: dict[str, Keeper] = {}
        self._keeping: list[Keeper] = []  # the same, as the mailrooms have them
        self._sessions: dict[str, tuple[aiohttp.ClientSession, str]] = {}
        self._points = points_at(plan.settings.points)
        settings = plan.settings
        self._neighbours = Neighbours(plan.reacting if settings.events_nearby else {})
        self._audience = Audience(_heard_once(plan) if settings.events_nearby and plan.mode == "near" else {})
        self._dependencies = Dependencies(most=settings.max_calls_at_once, slow=settings.call_deadline)

    def keep(
        self, name: str, kept: Collection[Kept[Any, Any]], vouched: Collection[str] = (), room: int | None = None
    ) -> Keeper:
        """What `name` keeps of others' answers here; its world answers from it from now on.

        `vouched`: producers of which others keep answers for it, in other processes.
        """
        settings = self._plan.settings
        keeper = Keeper(
            name,
            kept,
            room=settings.cache_bytes if room is None else room,
            strict=settings.freshness == "on",
            replicated=self._plan.replicated,
            vouched=vouched,
            shares=not settings.points,  # a point is met by one's own call
        )
        self._keepers[name] = keeper
        self._keeping.append(keeper)
        return keeper

    def world(self, name: str) -> World:
        """What `name` sees of the others. Links are made when the services are there, so order does not matter."""
        return World(
            name,
            _Links(self, name),
            deadline=self._plan.settings.call_deadline,
            points=self._points,
            repeat_safe=self._plan.settings.repeat_safe_calls,
            keeper=self._keepers.get(name),
            dependencies=self._dependencies,
        )

    def link(self, caller: str, callee: str) -> Link | None:
        """How `caller` reaches `callee`."""
        serving = self.servings.get(callee)
        if serving is not None:
            if self._plan.mode == "wire":
                return Encoded(serving, mine=self._plan.rings[caller], theirs=self._plan.rings[callee])
            return Near(serving)
        address = self._plan.addresses.get(callee)
        if address is None:
            return None
        if address not in self._sessions:
            self._sessions[address] = open_session(address)
        session, base = self._sessions[address]
        return Http(session, base, self._plan.rings[caller])

    @classmethod
    @asynccontextmanager
    async def running(cls, plan: Plan) -> AsyncIterator[Process]:
        """Start every service of the plan; stop them when the block ends, the last first."""
        process = cls(plan)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(process._close)
            rooms: dict[str, Mailroom] = {}
            for name, kind in plan.kinds.items():
                process.keep(name, kind.kept)
                room = open_mailroom(name, plan.dsns.get(name), process._keeping)
                rooms[name] = await stack.enter_async_context(room)
                temporary = await stack.enter_async_context(process.temporary(name))
                resources = Resources(
                    service=name,
                    world=process.world(name),
                    settings=plan.settings,
                    dsn=plan.dsns.get(name),
                    secret=plan.secrets[name],
                    mailroom=rooms[name],
                    temporary=temporary,
                    blobs=plan.blobs.get(name),
                )
                holder = await stack.enter_async_context(kind.open(resources))
                process.servings[name] = Serving(kind, holder)
                log.info("service_started", started=name)
            for name, serving in process.servings.items():  # reactions may call any of them
                working = rooms[name].working(
                    serving,
                    process.world(name),
                    plan.buses.get(name),
                    plan.settings,
                    alone=name not in plan.replicated,
                    neighbours=process._neighbours,
                    audience=process._audience,
                )
                await stack.enter_async_context(working)
            for name, serving in process.servings.items():
                await stack.enter_async_context(process.hearing(name, serving))
            yield process

    def temporary(self, name: str) -> AbstractAsyncContextManager[Temporary]:
        """The temporary data of `name`, within the block."""
        return open_temporary(self._plan.valkeys.get(name))

    def hearing(self, name: str, serving: Serving[Any] | None = None) -> AbstractAsyncContextManager[None]:
        """Keep true, within the block, what `name` keeps; a service without a database reacts to what it hears."""
        reacts = serving is not None and serving.kind.migrations is None
        return hearing(
            self._keepers[name],
            self.world(name),
            self._plan.buses.get(name),
            self._plan.settings,
            reactions=serving.kind.reactions if serving is not None and reacts else None,
            holder=serving.holder if serving is not None and reacts else None,
            audience=self._audience,
        )

    async def _close(self) -> None:
        for session, _ in self._sessions.values():
            await session.close()


def _heard_once(plan: Plan) -> dict[str, Collection[str]]:
    """Producers of whose listeners each runs in one process."""
    return {producer: names for producer, names in plan.hearing.items() if not set(names) & set(plan.replicated)}


class _Links(Mapping[str, Link]):
    """Links by callee, made at first use."""

    def __init__(self, process: Process, caller: str) -> None:
        self._process = process
        self._caller = caller
        self._made: dict[str, Link] = {}

    def __getitem__(self, callee: str) -> Link:
        made = self._made.get(callee)
        if made is None:
            link = self._process.link(self._caller, callee)
            if link is None:
                raise KeyError(callee)
            made = self._made[callee] = link
        return made

    def __iter__(self) -> Any:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
