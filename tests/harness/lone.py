"""One service by itself: its real store, and neighbours that are played by functions."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from tidings.platform.contract import Call, Route, Served
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.process import Resources
from tidings.platform.request import Idempotency, Request, Versions, Viewer
from tidings.platform.service import ServiceKind, Serving
from tidings.platform.settings import Settings
from tidings.platform.storage.migrations import ensure_schema
from tidings.platform.trust import cut_ring
from tidings.platform.world import Encoded, World

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Played = Callable[[Viewer, Any], Awaitable[Any]]

OPERATOR = Viewer(role="operator")


class PlayedLink:
    """Answers calls by functions; counts them, so that a test can hold a budget."""

    def __init__(self, neighbours: Mapping[str, Played]) -> None:
        self.neighbours = dict(neighbours)
        self.calls: list[str] = []

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> Any:
        self.calls.append(call.name)
        return await self.neighbours[call.name](request.viewer, ask)


class _Everywhere(Mapping[str, Any]):
    """Every neighbour is reached by the same link."""

    def __init__(self, link: PlayedLink) -> None:
        self._link = link

    def __getitem__(self, callee: str) -> PlayedLink:
        return self._link

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


class Lone:
    """A running service, called as its listed callers would call it."""

    def __init__(self, serving: Serving[Any], link: PlayedLink) -> None:
        self.serving = serving
        self.link = link
        callers = {caller for call in serving.promises.values() for caller in call.callers}
        self._rings = {name: cut_ring(b"a test's root", name, {*callers, serving.name}) for name in callers}
        self._rings[serving.name] = cut_ring(b"a test's root", serving.name, {*callers, serving.name})

    @property
    def neighbours(self) -> dict[str, Played]:
        """Change how a neighbour answers: `lone.neighbours["users/cards"] = ...`."""
        return self.link.neighbours

    async def call(self, call: Call[Ask, Answer], ask: Ask, viewer: Viewer | UUID = OPERATOR) -> Answer:
        request = Request(viewer=_viewer(viewer), caller=min(call.callers), deadline=time.monotonic() + 30)
        answer: Answer = await self._send(call, ask, request)
        return answer

    async def _send(self, call: Call[Any, Any], ask: Any, request: Request) -> Any:
        """Signed, encoded and decoded, as between processes."""
        link = Encoded(self.serving, mine=self._rings[request.caller], theirs=self._rings[self.serving.name])
        return await link.send(call, ask, request)

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
    kind: ServiceKind[Any],
    postgres: EmbeddedPostgres,
    neighbours: Mapping[str, Played],
    *,
    database: str | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Lone]:
    """Start `kind` on a database of its own on a running server."""
    dsn = None
    if kind.migrations is not None:
        dsn = await postgres.provision(database or kind.name, "a test's password")
        await ensure_schema(dsn, service=kind.name, migrations=kind.migrations)
    link = PlayedLink(neighbours)
    resources = Resources(
        service=kind.name,
        world=World(kind.name, _Everywhere(link), deadline=10),
        settings=settings or Settings(argon2_memory_kib=8, argon2_time=1, signup="open"),
        dsn=dsn,
        secret=b"a test's secret",
    )
    async with kind.open(resources) as holder:
        yield Lone(Serving(kind, holder), link)
