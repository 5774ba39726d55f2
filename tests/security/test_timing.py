"""The measure of the rows on timing: it tells what takes longer each time, and forgives a machine that is busy."""

from __future__ import annotations

import asyncio
import random

from tests.security.timing import Ask, in_one_timing_class


def taking(seconds: float, chance: random.Random) -> Ask:
    """A request of that length, to which a busy machine adds what it likes, three times out of four."""

    async def ask() -> None:
        await asyncio.sleep(seconds + chance.choice((0.0, 0.004, 0.01, 0.02)))

    return ask


async def test_what_takes_as_long_is_of_one_class_on_a_busy_machine() -> None:
    chance = random.Random(7)
    assert await in_one_timing_class(taking(0.01, chance), taking(0.01, chance), times=7)


async def test_what_takes_longer_is_not() -> None:
    chance = random.Random(7)
    assert not await in_one_timing_class(taking(0.002, chance), taking(0.05, chance), times=3)
