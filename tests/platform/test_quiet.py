"""Work that lets requests go first: it waits for a turn of the loop with nothing else in it, and not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tidings.platform.quiet import QUIET, Waiting, when_quiet


@dataclass
class Turns:
    """Counts the turns of the event loop, each of which takes `seconds` of work."""

    seconds: float = 0.0
    count: int = 0

    async def run(self, most: int | None = None) -> None:
        while self.count != most:
            self.count += 1
            time.sleep(self.seconds)
            await asyncio.sleep(0)
        self.seconds = 0.0

    @asynccontextmanager
    async def running(self, most: int | None = None) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run(most))
        try:
            await asyncio.sleep(0)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_it_waits_while_there_is_something_to_do() -> None:
    turns = Turns(seconds=5 * QUIET)
    async with turns.running(most=20):
        await Waiting(60.0).turn()
        assert turns.count == 20


async def test_it_does_not_wait_for_ever() -> None:
    turns = Turns(seconds=5 * QUIET)
    async with turns.running(), asyncio.timeout(30):
        await Waiting(0.02).turn()
        assert 1 < turns.count <= 0.02 / turns.seconds + 2


async def test_where_several_wait_one_goes_on_in_a_turn() -> None:
    turns, went, waiting = Turns(), list[int](), Waiting(60.0)

    async def works() -> None:
        await waiting.turn()
        went.append(turns.count)
        time.sleep(5 * QUIET)

    async with turns.running():
        await asyncio.gather(*(works() for _ in range(4)))
    assert len(set(went)) == 4


async def test_who_gives_up_is_passed_over() -> None:
    turns, waiting = Turns(seconds=5 * QUIET), Waiting(60.0)
    async with turns.running(most=20):
        given_up, other = (asyncio.ensure_future(waiting.turn()) for _ in range(2))
        given_up.cancel()
        await other
        assert turns.count == 20


async def test_all_of_a_loop_wait_in_one_line() -> None:
    async with asyncio.timeout(30):
        await asyncio.gather(*(when_quiet() for _ in range(3)))
