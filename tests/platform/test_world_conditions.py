"""Idempotency-Key and If-Match: for the call that they were given with, and for none that is made on its behalf."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Call, Nothing
from tidings.platform.request import Idempotency, Request, Viewer, answering
from tidings.platform.world import World

SAFE = Call("elsewhere/look", Nothing, Nothing, callers={"web", "edge"}, safe=True)
UNSAFE = Call("elsewhere/change", Nothing, Nothing, callers={"web", "edge"})
KEY = Idempotency("elsewhere/change ada", "a-key", b"fingerprint")


class Hearing:
    """A way to another service, which keeps the requests that it is asked with."""

    def __init__(self) -> None:
        self.heard: list[Request] = []

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        self.heard.append(request)
        return Nothing(), stamp_ns()

    @property
    def conditions(self) -> list[tuple[Idempotency | None, Any]]:
        return [(one.idempotency, one.if_match) for one in self.heard]


def asked_with(*, key: Idempotency | None = KEY, if_match: Any = (7,)) -> Request:
    viewer = Viewer(role="member")
    return Request(viewer, caller="edge", deadline=time.monotonic() + 10, idempotency=key, if_match=list(if_match))


@pytest.mark.parametrize("name", ["web", "edge"])
@pytest.mark.parametrize("call", [SAFE, UNSAFE], ids=lambda call: call.name)
async def test_they_go_on_with_a_request_of_ones_own(name: str, call: Any) -> None:
    link = Hearing()
    world = World(name, {"elsewhere": link}, deadline=1.0, repeat_safe=True)
    await world.call(call, Nothing(), request=asked_with())
    assert link.conditions == [(KEY, [7])] * (2 if call.safe else 1)
    assert {one.caller for one in link.heard} == {name}


@pytest.mark.parametrize("name", ["web", "edge"])
@pytest.mark.parametrize("call", [SAFE, UNSAFE], ids=lambda call: call.name)
async def test_they_do_not_go_on_with_what_is_asked_on_behalf_of_another(name: str, call: Any) -> None:
    """Else the key of a form would be spent by the first of the calls that answer it."""
    link = Hearing()
    world = World(name, {"elsewhere": link}, deadline=1.0, repeat_safe=True)
    with answering(asked_with()):
        await world.call(call, Nothing())
    assert link.conditions == [(None, None)] * (2 if call.safe else 1)
    assert link.heard[0].viewer == Viewer(role="member")


async def test_a_request_of_ones_own_within_another_takes_its_own_along() -> None:
    link = Hearing()
    world = World("web", {"elsewhere": link}, deadline=1.0)
    other = Idempotency("elsewhere/change ada", "another", b"other")
    with answering(asked_with()):
        own = msgspec.structs.replace(asked_with(), idempotency=other, if_match=None)
        await world.call(UNSAFE, Nothing(), request=own)
        await world.call(UNSAFE, Nothing())
    assert link.conditions == [(other, None), (None, None)]
