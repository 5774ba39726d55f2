"""One service by itself, in this process or in its own: its real store, and neighbours played by functions."""

from __future__ import annotations

import pkgutil
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec
import pytest

from tests.harness import lone_process
from tests.harness.lone_process import kind_at
from tidings import contracts
from tidings.platform.contract import Call, Contract, Route, Served
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.export import Export, ExportAsk
from tidings.platform.http.internal import internal_app
from tidings.platform.http.listener import Listener, bind_unix
from tidings.platform.launch import Launch
from tidings.platform.process import Plan, Process
from tidings.platform.request import Idempotency, Request, Versions, Viewer
from tidings.platform.service import ServiceKind, Serving
from tidings.platform.settings import Settings
from tidings.platform.storage import mongo_schema
from tidings.platform.storage.migrations import ServiceDatabase, _upgrade
from tidings.platform.supervisor import Child
from tidings.platform.trust import KeyRing, cut_ring

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Played = Callable[[Viewer, Any], Awaitable[Any]]
Mode = Literal["wire", "apart"]

OPERATOR = Viewer(role="operator")
PASSWORD: Final = "a test's password"

# For a test that replaces or watches what the service holds. It says why.
in_process = pytest.mark.parametrize("mode", ["wire"], indirect=True)


class Neighbours:
    """Answer the service's calls by functions; count them, so that a test can hold a budget."""

    def __init__(self, played: Mapping[str, Played]) -> None:
        self.played = dict(played)
        self.calls: list[str] = []

    def servings(self, service: str) -> dict[str, Serving[Any]]:
        """Every other service that `service` may call, by its contract."""
        theirs = (Contract.of(import_module(name)) for name in _contracts())
        return {
            one.service: Serving(self._kind(one), None)
            for one in theirs
            if one.service != service and any(service in call.callers for call in one.calls)
        }

    def _kind(self, contract: Contract) -> ServiceKind[None]:
        handlers = {call.name: partial(self._answer, call.name) for call in contract.calls}
        return ServiceKind(contract, handlers, open=nullcontext, migrations=None)

    async def _answer(self, name: str, _: None, viewer: Viewer, ask: Any) -> Any:
        self.calls.append(name)
        return await self.played[name](viewer, ask)


def _contracts() -> Iterable[str]:
    return (module.name for module in pkgutil.iter_modules(contracts.__path__, f"{contracts.__name__}."))


class Lone:
    """A running service, called as its listed callers would call it."""

    def __init__(
        self, service: str, process: Process, neighbours: Neighbours, dsn: str | None, pid: int | None
    ) -> None:
        self._service = service
        self._process = process
        self._neighbours = neighbours
        self._dsn = dsn
        self.pid = pid  # of the process that it has to itself, if it has

    @property
    def neighbours(self) -> dict[str, Played]:
        """Change how a neighbour answers: `lone.neighbours["users/cards"] = ...`."""
        return self._neighbours.played

    @property
    def calls(self) -> list[str]:
        """The calls that the neighbours were asked so far; clear it to count anew."""
        return self._neighbours.calls

    @property
    def dsn(self) -> str:
        """The service's own database, in its own role, to look into it."""
        assert self._dsn is not None
        return self._dsn

    @property
    def holder(self) -> Any:
        """What the service holds; for tests that are `in_process`."""
        return self._process.servings[self._service].holder

    async def call(self, call: Call[Ask, Answer], ask: Ask, viewer: Viewer | UUID = OPERATOR) -> Answer:
        request = Request(viewer=_viewer(viewer), caller=min(call.callers), deadline=time.monotonic() + 30)
        answer: Answer = await self._send(call, ask, request)
        return answer

    async def exported(
        self, export: Export, file: str, viewer: UUID, *, limit: int = 2, **narrowed: int
    ) -> list[dict[str, Any]]:
        """A file of somebody's export, page by page: none is longer than `limit`, all but the last are full."""
        entries: list[dict[str, Any]] = []
        after: str | None = ""
        while after is not None:
            page = await self.call(export, ExportAsk(file=file, after=after, limit=limit, **narrowed), viewer)
            assert len(page.entries) <= limit
            assert page.after is None or len(page.entries) == limit
            entries += [msgspec.json.decode(one) for one in page.entries]
            after = page.after
        return entries

    async def _send(self, call: Call[Any, Any], ask: Any, request: Request) -> Any:
        """Signed, encoded and decoded, within this process or between two."""
        link = self._process.link(request.caller, self._service)
        assert link is not None
        answer, _ = await link.send(call, ask, request)
        return answer

    async def route(
        self,
        route: Route[Ask, Answer],
        ask: Ask,
        viewer: Viewer | UUID = OPERATOR,
        *,
        key: str | None = None,
        if_match: Versions | None = None,
    ) -> Answer:
        """The decoded body of a public route's answer; `served` gives all of it."""
        answer = await self.served(route, ask, viewer, key=key, if_match=if_match)
        if answer.status == 204:
            return None  # type: ignore[return-value]
        return msgspec.json.decode(answer.body, type=route.answer)

    async def served(
        self,
        route: Route[Ask, Any],
        ask: Ask,
        viewer: Viewer | UUID = OPERATOR,
        *,
        key: str | None = None,
        if_match: Versions | None = None,
    ) -> Served:
        who = _viewer(viewer)
        idempotency = None
        if key is not None:
            fingerprint = blake2b(route.name.encode() + msgspec.json.encode(ask)).digest()
            idempotency = Idempotency(f"{who.user_id}", key, fingerprint)
        request = Request(
            viewer=who, caller="edge", deadline=time.monotonic() + 30, idempotency=idempotency, if_match=if_match
        )
        answer: Served = await self._send(route.call, ask, request)
        return answer


def _viewer(viewer: Viewer | UUID) -> Viewer:
    return viewer if isinstance(viewer, Viewer) else Viewer(user_id=viewer, role="member")


@asynccontextmanager
async def lone(
    place: str,
    postgres: EmbeddedPostgres,
    neighbours: Mapping[str, Played],
    *,
    mode: Mode = "wire",
    database: str | None = None,
    settings: Settings | None = None,
    mongod: EmbeddedMongod | None = None,
    blobs: Path | None = None,
) -> AsyncIterator[Lone]:
    """Start the kind at `place` (`module:name`), on a database of its own: in `mongod`, if it is given."""
    kind = kind_at(place)
    dsn, name = None, database or kind.name
    if mongod is not None:
        assert kind.documents is not None
        dsn = (await mongod.provision_all({name: PASSWORD}))[name]
        await mongo_schema.upgrade(dsn, kind.name, kind.documents)
    elif kind.migrations is not None:
        dsn = await postgres.provision(name, PASSWORD)
        # Here and now, since a child of its own for each database takes a second; tests/platform has such a child.
        await _upgrade(ServiceDatabase(service=kind.name, dsn=dsn, migrations=kind.migrations))
    settings = settings or Settings(argon2_memory_kib=8, argon2_time=1, signup="open")
    played = Neighbours(neighbours)
    servings = played.servings(kind.name)
    plan = Plan(
        settings=msgspec.structs.replace(settings, call_deadline=10.0),
        kinds={kind.name: kind},
        rings=_rings(kind.contract, servings),
        secrets={kind.name: b"a test's secret"},
        dsns={} if dsn is None else {kind.name: dsn},
        blobs={} if blobs is None else {kind.name: str(blobs)},
        mode="wire",
    )
    start = _wire(plan, servings) if mode == "wire" else _apart(place, plan, servings, postgres.socket)
    async with start as (process, pid):
        yield Lone(kind.name, process, played, dsn, pid)


def _rings(contract: Contract, neighbours: Iterable[str]) -> dict[str, KeyRing]:
    """Of all who speak with the service."""
    promises = [*contract.calls, *(route.call for route in contract.routes)]
    everyone = {contract.service, *neighbours, *(caller for call in promises for caller in call.callers)}
    return {name: cut_ring(b"a test's root", name, everyone) for name in everyone}


@asynccontextmanager
async def _wire(plan: Plan, servings: Mapping[str, Serving[Any]]) -> AsyncIterator[tuple[Process, int | None]]:
    """All in this process, and everything encoded."""
    async with Process.running(plan) as process:
        process.servings.update(servings)
        yield process, None


@asynccontextmanager
async def _apart(
    place: str, plan: Plan, servings: Mapping[str, Serving[Any]], folder: Path
) -> AsyncIterator[tuple[Process, int | None]]:
    """The service in a process of its own, its neighbours in this one; between them, two Unix sockets.

    They are in the database server's folder and go with it: nothing else is left when the tests are killed.
    """
    [service] = plan.kinds
    mark = secrets.token_hex(4)
    theirs, ours = folder / f"{service}-{mark}", folder / f"tests-{mark}"
    launch = Launch(
        process=place,
        services=(service,),
        everyone=(service, *servings),
        settings=plan.settings,
        rings={service: plan.rings[service]},
        secrets=plan.secrets,
        dsns=plan.dsns,
        blobs=dict(plan.blobs),
        addresses=dict.fromkeys(servings, f"unix:{ours}"),
        internal=f"unix:{theirs}",
        front=False,
    )
    listener = Listener(
        internal_app(servings, plan.rings),
        bind_unix(ours),
        idle_timeout=3600,
        header_timeout=plan.settings.header_timeout,
    )
    child = Child(launch, lone_process.__name__)
    await listener.start()
    try:
        await child.start()
        elsewhere = replace(plan, kinds={}, addresses={service: launch.internal})
        async with Process.running(elsewhere) as process:
            yield process, child.pid
    finally:
        await child.stop()
        await listener.stop()
