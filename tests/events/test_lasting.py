"""The work behind events has no end: what stops it by a fault begins again."""

from __future__ import annotations

import asyncio

import asyncpg

from tidings.platform.events.lasting import lasting
from tidings.platform.storage.events import AWAY


async def test_work_that_failed_begins_again() -> None:
    begun, again = 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ExceptionGroup("in a group of tasks", [ValueError("a surprise")])
        again.set()
        await asyncio.Event().wait()

    going_on = asyncio.create_task(lasting(work, of="friends"))
    await asyncio.wait_for(again.wait(), 5)
    assert begun == 2
    going_on.cancel()
    await asyncio.gather(going_on, return_exceptions=True)
    assert going_on.cancelled()


def test_what_the_driver_says_of_a_broken_answer_means_that_the_database_is_away() -> None:
    assert issubclass(asyncpg.InternalClientError, AWAY)
