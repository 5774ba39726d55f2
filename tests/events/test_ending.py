"""A consumer and a relay end when they are told to, also in the moment in which something arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import pytest
from msgspec import Raw

from tidings.platform import ending
from tidings.platform.events.bus import Bus, Deliveries
from tidings.platform.occurrence import Occurred


class Arriving:
    """Plays the client of NATS, which awaits everything by `wait_for`: what it awaits comes when `arrive` says."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self._come: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def arrive(self) -> None:
        self._come.set_result([])

    async def fetch(self, most: int, timeout: float) -> list[Any]:
        return await self._wait(timeout)

    def jetstream(self, timeout: float) -> Arriving:
        return self

    async def publish(self, subject: str, content: bytes, headers: dict[str, str]) -> None:
        await self._wait(10)

    async def _wait(self, timeout: float) -> list[Any]:
        self.waiting.set()
        return await asyncio.wait_for(self._come, timeout)


ONE = Occurred(id=UUID(int=1), event="users.changed", subject=UUID(int=2), version=1, body=Raw(b"{}"))
AWAITED: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "next": lambda client: Deliveries(client).next(32, 10),
    "publish": lambda client: Bus(client).publish(ONE),
}


@pytest.mark.parametrize("awaited", AWAITED)
async def test_a_cancellation_is_not_lost_to_what_arrives_meanwhile(awaited: str) -> None:
    client = Arriving()
    went_on = False

    async def work() -> None:
        nonlocal went_on
        await AWAITED[awaited](cast("Any", client))
        went_on = True

    task = asyncio.create_task(work())
    await client.waiting.wait()
    client.arrive()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not went_on


async def test_a_task_that_lost_its_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN", 0.05)
    lost: list[int] = []

    async def deaf() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost.append(1)
                if len(lost) == 2:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert isinstance((await ending.ended(task))[0], asyncio.CancelledError)
    assert len(lost) == 2
