"""A service as the platform sees it: its contract, its handlers, and how a call reaches one of them."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

import msgspec

from tidings.platform import tracing
from tidings.platform.cache.kept import Kept
from tidings.platform.cache.resting import resting_on
from tidings.platform.contract import Call, Contract, Event, Reply, Route, Served, Untrusted
from tidings.platform.document_schema import DocumentSchema
from tidings.platform.export import personal
from tidings.platform.occurrence import Occurrence
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.seen import seen

Holder = TypeVar("Holder")
Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Handler = Callable[[Any, Viewer, Any], Awaitable[Any]]
Reaction = Callable[[Any, Occurrence[Any]], Awaitable[None]]
Wanted = TypeVar("Wanted", bound=Callable[..., Awaitable[Any]])

_encoder = msgspec.json.Encoder(decimal_format="number")


def serves(promise: Call[Any, Any] | Route[Any, Any]) -> Callable[[Wanted], Wanted]:
    """Declare that the decorated `async (service, viewer, ask) -> answer` answers `promise`."""

    def declare(handler: Wanted) -> Wanted:
        vars(handler).setdefault("__serves__", []).append(promise)
        return handler

    return declare


def reacts(*events: Event) -> Callable[[Wanted], Wanted]:
    """Declare that the decorated `async (service, occurrence) -> None` reacts to `events`.

    It may run twice for one event. What it writes, in one `store.write()`, is written once; the second time that
    raises `AlreadyDone`, which the platform expects.
    """

    def declare(reaction: Wanted) -> Wanted:
        vars(reaction).setdefault("__reacts__", []).extend(events)
        return reaction

    return declare


class AlreadyDone(Exception):
    """The effect of this event is there: the reaction that raises it has nothing left to do."""


class Replayed(Exception):
    """A request under a known Idempotency-Key: what was answered the first time is answered again."""

    def __init__(self, served: Served) -> None:
        super().__init__("replayed")
        self.served = served


def served(route: Route[Any, Any], answer: Any) -> Served:
    """Encode what a route's handler returned."""
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    headers: dict[str, str] = {}
    if reply.location is not None:
        headers["location"] = reply.location
    if reply.links:
        headers["link"] = ", ".join(f'<{target}>; rel="{relation}"' for relation, target in reply.links)
    if reply.attachment is not None:
        headers["content-disposition"] = f'attachment; filename="{reply.attachment}"'
    status = reply.status or route.status
    body = b"" if status == 204 else _encoder.encode(reply.body)
    return Served(
        status=status,
        body=msgspec.Raw(body or b"null"),
        headers=headers,
        version=reply.version,
        admission=reply.admission,
    )


@dataclass(frozen=True, slots=True)
class ServiceKind(Generic[Holder]):
    """What the list of services holds: everything that is needed to start one.

    `open` makes the object that handlers get as their first argument, and closes what it opened.
    """

    contract: Contract
    handlers: Mapping[str, Handler]
    open: Callable[[Any], AbstractAsyncContextManager[Holder]]
    migrations: Path | None  # None: owns nothing durable
    reactions: Mapping[str, tuple[Event, Reaction]] = field(default_factory=dict)  # by the event's name
    kept: tuple[Kept[Any, Any], ...] = ()  # bulk calls whose answers it keeps
    resting: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)  # routes that rest on these alone
    documents: DocumentSchema | None = None  # its collections, where its database may be a MongoDB too
    blobs: bool = False  # keeps blobs beside its database

    @property
    def name(self) -> str:
        return self.contract.service

    @classmethod
    def of(
        cls,
        contract: ModuleType,
        routes: ModuleType,
        open_: Callable[[Any], AbstractAsyncContextManager[Holder]],
        migrations: Path | None = None,
        reactions: ModuleType | None = None,
        kept: tuple[Kept[Any, Any], ...] = (),
        documents: DocumentSchema | None = None,
        *,
        blobs: bool = False,
        resting: Mapping[str, Callable[[Any], bool]] | None = None,
    ) -> ServiceKind[Holder]:
        """Match the contract's promises with the handlers in `routes`; each is served exactly once.

        `resting` names routes whose answers rest on kept calls alone, with the asks for which nothing else counts,
        not the time of day either: such an answer can be given again while what it rests on is kept and fresh.
        """
        promised = Contract.of(contract)
        if migrations is not None and personal(contract) is None:
            raise TypeError(
                f"{promised.service} has a database: its contract promises an Export, or says NothingPersonal"
            )
        handlers: dict[str, Handler] = {}
        for handler in vars(routes).values():
            for promise in getattr(handler, "__serves__", ()):
                if promise.name in handlers and handlers[promise.name] is not handler:
                    raise TypeError(f"{promise.name} is served twice")
                handlers[promise.name] = cast("Handler", handler)
        names = {call.name for call in promised.calls} | {route.name for route in promised.routes}
        if names != handlers.keys():
            missing, extra = sorted(names - handlers.keys()), sorted(handlers.keys() - names)
            raise TypeError(
                f"{promised.service}: promised but not served {missing}, served but not promised {extra}"
            )
        found = {} if reactions is None else _reactions(reactions)
        passing = sorted(event.name for event, _ in found.values() if not event.durable)
        if passing and migrations is not None:
            raise TypeError(f"{promised.service} owns data, and reacts to what is heard in passing: {passing}")
        if unknown := (resting or {}).keys() - {route.name for route in promised.routes}:
            raise TypeError(f"{promised.service}: resting on what is kept, but no routes of it: {sorted(unknown)}")
        return cls(promised, handlers, open_, migrations, found, kept, resting or {}, documents, blobs)


def _reactions(module: ModuleType) -> dict[str, tuple[Event, Reaction]]:
    found: dict[str, tuple[Event, Reaction]] = {}
    for reaction in vars(module).values():
        for event in getattr(reaction, "__reacts__", ()):
            if event.name in found and found[event.name][1] is not reaction:
                raise TypeError(f"two reactions to {event.name}")
            found[event.name] = (event, cast("Reaction", reaction))
    return found


class Serving(Generic[Holder]):
    """A running service: checks who calls, sets the request, calls the handler."""

    def __init__(self, kind: ServiceKind[Holder], holder: Holder) -> None:
        self.kind = kind
        self.holder = holder
        self.promises: dict[str, Call[Any, Any]] = {call.name: call for call in kind.contract.calls}
        self.routes: dict[str, Route[Any, Any]] = {route.name: route for route in kind.contract.routes}
        self.promises.update({route.name: route.call for route in kind.contract.routes})
        # When somebody who had seen or written things of ours was answered last, by time.monotonic().
        self.read_again_at = -math.inf

    @property
    def name(self) -> str:
        return self.kind.name

    async def answer(self, name: str, ask: Any, request: Request) -> Any:
        """Answer one call. Raises the contract's refusals; `Untrusted` if the caller is not listed."""
        promise = self.promises[name]
        if request.caller not in promise.callers:
            raise Untrusted(f"{name} does not list {request.caller!r} among its callers.", service=self.name)
        if (resting := resting_on()) is not None:
            alone = self.kind.resting.get(name)
            if alone is None or not alone(ask):
                resting.on_more()
        try:
            with answering(request), tracing.span(name, caller=request.caller):
                answer = await self.kind.handlers[name](self.holder, request.viewer, ask)
        except Replayed as replayed:
            return replayed.served
        if promise.safe and seen().concerns(self.name):
            self.read_again_at = time.monotonic()
        route = self.routes.get(name)
        return answer if route is None else served(route, answer)
