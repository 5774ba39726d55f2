"""Several things at once: what one of them ends with is told, and none goes on for nobody."""

from __future__ import annotations

import asyncio

import pytest

from tidings.platform.together import together


class Part:
    """Something that takes its time, and says how it ended."""

    def __init__(self) -> None:
        self.ended = ""

    async def lasts(self) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # it has something to put away
            self.ended = "cancelled"
            raise
        return "never"


async def brings(value: str) -> str:
    await asyncio.sleep(0)
    return value


async def fails() -> str:
    await asyncio.sleep(0.01)
    raise LookupError("no such thing")


async def test_all_are_brought_in_their_order() -> None:
    assert await together(brings("a"), brings("b")) == ("a", "b")
    assert await together(*(brings(one) for one in "abcdef")) == tuple("abcdef")
    assert await together() == ()


async def test_when_one_fails_the_others_have_ended_before_it_is_told() -> None:
    part = Part()
    with pytest.raises(LookupError, match="no such thing"):
        await together(part.lasts(), fails(), brings("a"))
    assert part.ended == "cancelled"


async def test_whoever_is_given_up_gives_up_all() -> None:
    part = Part()
    waiting = asyncio.create_task(together(part.lasts(), brings("a")))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert part.ended == "cancelled"
