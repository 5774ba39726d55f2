"""A composite whose need fails leaves nothing of itself behind."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import pytest

from tidings.platform.cache.keeper import Begun
from tidings.platform.compose import Composite, Need
from tidings.platform.contract import Call, Nothing, Unavailable
from tidings.platform.request import Viewer
from tidings.platform.world import World

DOWN = Call("down/read", Nothing, Nothing, safe=True, callers={"test"})
SLOW = Call("slow/read", Nothing, Nothing, safe=True, callers={"test"})


class PlayedWorld:
    """One neighbour is down; the other takes for ever."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def begin(self, call: Call[Any, Any], ask: Any) -> Begun[Any]:
        return Begun(None, partial(self._call, call))

    async def _call(self, call: Call[Any, Any]) -> Any:
        try:
            await asyncio.sleep(0 if call is DOWN else 3600)
        finally:
            self.ended.append(call.service)
        raise Unavailable("down", service=call.service)


async def _nothing(holder: Any, viewer: Viewer, ask: Any) -> Nothing:
    return Nothing()


def _composite(*, optional: bool) -> Composite[Nothing, Nothing, Any, Any]:
    needs: dict[str, Need[Nothing]] = {
        "down": Need(DOWN, keys=lambda skeleton: skeleton, optional=optional),
        "slow": Need(SLOW, keys=lambda skeleton: skeleton),
    }
    return Composite(_nothing, needs, keep=lambda skeleton, parts: parts, present=lambda kept: kept)


async def test_the_calls_beside_a_needed_one_that_failed_are_ended_with_it() -> None:
    world = PlayedWorld()
    with pytest.raises(Unavailable, match="down"):
        await _composite(optional=False).read(None, cast("World", world), Viewer(), Nothing())
    assert world.ended == ["down", "slow"]


async def test_a_request_that_is_given_up_gives_up_its_calls() -> None:
    world = PlayedWorld()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await _composite(optional=True).read(None, cast("World", world), Viewer(), Nothing())
    assert world.ended == ["down", "slow"]


class KeptWorld:
    """Has one answer at hand, and has to ask for the other."""

    def __init__(self) -> None:
        self.asked_in: list[asyncio.Task[Any] | None] = []

    def begin(self, call: Call[Any, Any], ask: Any) -> Begun[Any]:
        return Begun("at hand" if call is DOWN else None, self._call)

    async def _call(self) -> str:
        self.asked_in.append(asyncio.current_task())
        await asyncio.sleep(0)
        return "asked for"


async def test_what_is_at_hand_takes_no_call_and_one_call_no_task() -> None:
    world = KeptWorld()
    parts = await _composite(optional=False).read(None, cast("World", world), Viewer(), Nothing())
    assert parts.values == {"down": "at hand", "slow": "asked for"}
    assert world.asked_in == [asyncio.current_task()]
