"""The other services as one service sees them: in this process, in this process but encoded, or over HTTP."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from msgspec import structs

from tidings.platform import logs, metrics, tracing
from tidings.platform.cache.keeper import Begun, Keeper
from tidings.platform.cache.resting import resting_on
from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Call, Refusal, Unavailable, Untrusted
from tidings.platform.dependency import Dependencies, Dependency
from tidings.platform.http import wire
from tidings.platform.points import NoPoints, Points, Reached
from tidings.platform.request import Request, current, refuse_remote
from tidings.platform.seen import seen
from tidings.platform.service import Serving
from tidings.platform.trust import KeyRing

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

SHORT: Final = 0.05  # seconds; a callee that gave up itself says so that much before its caller would

log = logs.get_logger("world")


class Link(Protocol):
    """A way to one service."""

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        """The answer, and when it had been made by the service's own clock (ns since 1970).

        Raises the contract's refusals, and `Unavailable` if the service can't be reached.
        """
        ...


@dataclass(slots=True)
class Near:
    """The service runs in this process: a call is a plain await."""

    serving: Serving[Any]

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        return await self.serving.answer(call.name, ask, request), stamp_ns()


@dataclass(slots=True)
class Encoded:
    """The service runs in this process, but everything is signed, encoded and decoded as if it did not."""

    serving: Serving[Any]
    mine: KeyRing
    theirs: KeyRing

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        parcel = wire.pack(call, ask, request, self.mine)
        return wire.unpack(call, await wire.receive(self.serving, self.theirs, call.name, parcel))


class World:
    """All that one service can reach."""

    def __init__(
        self,
        name: str,
        links: Mapping[str, Link],
        *,
        deadline: float,
        points: Points | None = None,
        repeat_safe: bool = False,
        keeper: Keeper | None = None,
        dependencies: Dependencies | None = None,
    ) -> None:
        self.name = name
        self._keeper = keeper
        self._links = links
        self._deadline = deadline
        self._points = points or NoPoints()
        self._watched = not isinstance(self._points, NoPoints)
        self._repeat_safe = repeat_safe
        self._dependencies = dependencies
        self._before: dict[str, Dependency | None] = {}  # what stands before a call, by its name

    async def call(self, call: Call[Ask, Answer], ask: Ask, *, request: Request | None = None) -> Answer:
        """Ask another service, on behalf of the request being answered, or answer from what was kept of it.

        A `request` of one's own takes its conditions along: Idempotency-Key and If-Match.
        Raises the contract's refusals, and `Unavailable` (with `service`) if there is no answer in time.
        """
        return await self.begin(call, ask, request=request)

    def begin(self, call: Call[Ask, Answer], ask: Ask, *, request: Request | None = None) -> Begun[Answer]:
        """`call`, as far as it goes without waiting: what is kept is there at once. What is begun is awaited."""
        if self.name not in call.callers:
            raise Untrusted(f"{call.name} does not list {self.name!r} among its callers.", service=call.service)
        refuse_remote(call.name)
        asked, own = (request, True) if request is not None else (current(), False)
        kept = self._keeper.keeps(call) if self._keeper is not None else None
        if kept is not None and self._keeper is not None:
            return self._keeper.begin(kept, asked.viewer, ask, partial(self._ask, call, asked))
        return Begun(None, partial(self._asked, call, asked, ask, conditions=own))

    async def _asked(self, call: Call[Ask, Answer], asked: Request, ask: Ask, *, conditions: bool) -> Answer:
        resting = resting_on()
        try:
            answer, ended_ns = await self._ask(call, asked, ask, conditions=conditions)
        except BaseException:
            if resting is not None:
                resting.on_more()  # on its absence
            raise
        if self._keeper is not None and resting is not None:
            resting.settle(self._keeper.shelves, self.name)
        if call.safe:
            seen().shown(call.service, ended_ns)
        return answer

    async def _ask(
        self,
        call: Call[Ask, Answer],
        asked: Request,
        ask: Ask,
        *,
        conditions: bool = False,
        for_others: bool = False,
    ) -> tuple[Answer, int]:
        with tracing.span("call " + call.name, kind="client") as span:
            if for_others:
                asked = structs.replace(asked, deadline=math.inf)
            onward = self._onward(call, asked, conditions=conditions)
            try:
                dependency = self._before[call.name]
            except KeyError:
                dependency = self._dependency(call)
            probe = dependency is not None and dependency.enter(call.safe)
            began = time.monotonic()
            failed: bool | None = False
            try:
                if self._watched:
                    await self._reach("before", call, onward, span.context.trace_id)
                answered = await self._send(call, ask, onward, dependency)
                if call.safe and self._repeat_safe:
                    onward = self._onward(call, asked, conditions=conditions)
                    answered = await self._send(call, ask, onward, dependency)
                if self._watched:
                    await self._reach("after", call, onward, span.context.trace_id)
            except Unavailable as error:
                failed = self._failed(call, onward, began, error)
                raise
            except asyncio.CancelledError:
                failed = None
                raise
            finally:
                if dependency is not None:
                    dependency.leave(failed, probe, began)
        return answered

    def _dependency(self, call: Call[Any, Any]) -> Dependency | None:
        dependencies = self._dependencies
        found = dependencies(call.service) if dependencies is not None and call.guarded else None
        self._before[call.name] = found
        return found

    def _failed(self, call: Call[Any, Any], onward: Request, began: float, error: Unavailable) -> bool:
        """Whether it is the callee that did not answer.

        It may have told that somebody else did not, or that it has no store: that is an answer. Nor is it to blame
        for a call that came to it with less than half of the usual time.
        """
        if error.service != call.service:
            return False
        if error.unanswered:
            return True
        usual = call.deadline or self._deadline
        return onward.remaining() < SHORT and onward.deadline - began > usual / 2

    def _onward(self, call: Call[Any, Any], asked: Request, *, conditions: bool) -> Request:
        """The request as the callee sees it: from us, for the same viewer, with what time is left.

        Key and If-Match are for the call that they were given with, not for what is asked on its behalf.
        """
        return Request(
            viewer=asked.viewer,
            caller=self.name,
            deadline=min(asked.deadline, time.monotonic() + (call.deadline or self._deadline)),
            idempotency=asked.idempotency if conditions else None,
            if_match=asked.if_match if conditions else None,
            address=asked.address,
        )

    async def _send(
        self, call: Call[Any, Any], ask: Any, onward: Request, dependency: Dependency | None
    ) -> tuple[Any, int]:
        link = self._links.get(call.service)
        if link is None:
            raise Unavailable(f"No topology says where {call.service} is.", service=call.service)
        began = time.perf_counter()
        outcome: metrics.Outcome = "fault"
        try:
            async with asyncio.timeout(onward.remaining()):
                try:
                    answered = await link.send(call, ask, onward)
                except Unavailable as error:
                    broke = error.unanswered and error.service == call.service
                    if not broke or not call.safe or dependency is None or not dependency.may_retry():
                        raise
                    answered = await link.send(call, ask, onward)
            outcome = "ok"
        except TimeoutError as error:
            outcome = "deadline"
            raise Unavailable(
                f"{call.service} did not answer in time. Try again.", service=call.service, retry_after=1
            ) from error
        except Untrusted as error:
            # Ours to mend (keys, clocks, a call's callers), and no news for the person who asked.
            log.error("call_not_trusted", call=call.name, caller=self.name, why=error.detail)
            raise Unavailable(f"{call.service} does not trust {self.name} now.", service=call.service) from error
        except Unavailable:
            outcome = "unreachable"
            raise
        except Refusal:
            outcome = "refused"
            raise
        finally:
            metrics.call_made(
                caller=self.name, call=call.name, outcome=outcome, seconds=time.perf_counter() - began
            )
        return answered

    async def _reach(self, when: str, call: Call[Any, Any], onward: Request, trace: str) -> None:
        verdict = await self._points.reach(
            Reached(f"{when} {call.name}", self.name, trace, str(onward.viewer.user_id or ""))
        )
        if verdict != "go":
            lost = Unavailable(
                f"{call.service} did not answer in time. Try again.", service=call.service, retry_after=1
            )
            lost.unanswered = True
            raise lost
