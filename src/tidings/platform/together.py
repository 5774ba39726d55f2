"""Several things at once, none of which outlives who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, overload

One = TypeVar("One")
Two = TypeVar("Two")
Three = TypeVar("Three")
Four = TypeVar("Four")

Asked = Coroutine[Any, Any, One]


@overload
async def together(one: Asked[One], two: Asked[Two], /) -> tuple[One, Two]: ...


@overload
async def together(one: Asked[One], two: Asked[Two], three: Asked[Three], /) -> tuple[One, Two, Three]: ...


@overload
async def together(
    one: Asked[One], two: Asked[Two], three: Asked[Three], four: Asked[Four], /
) -> tuple[One, Two, Three, Four]: ...


@overload
async def together(*parts: Asked[One]) -> tuple[One, ...]: ...


async def together(*parts: Asked[Any]) -> tuple[Any, ...]:
    """What each of them brings. Raises what the first that fails raises, once all others have ended.

    `asyncio.gather` leaves the others alone then: they go on for nobody, in a request that has been answered.
    """
    if len(parts) == 1:  # which takes no task
        return (await parts[0],)
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        return tuple(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
