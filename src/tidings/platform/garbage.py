"""Cycles of garbage are looked for in what is new. Looking through all that is kept would stop everybody for long.

By itself Python looks through everything whenever a quarter of it is new: with filled caches that takes 50 ms every
few seconds, in which nothing is answered. Here what has outlived one look is set aside (`gc.freeze`) until the next
look at everything.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

from tidings.platform.ending import ended

EVERY: Final = 5.0  # seconds between looks at what is new
EVERYTHING: Final = 120  # each so-manieth look is at everything: every ten minutes
YOUNG: Final = 50_000  # objects; Python's own looks, at the very new alone, come after so many more (some 5 ms)
NEVER: Final = 2**30


@asynccontextmanager
async def collecting(every: float = EVERY, everything: int = EVERYTHING) -> AsyncIterator[None]:
    """Look for garbage like that within the block, of which a process has one."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, before[1], NEVER)
    looking = asyncio.create_task(_looking(every, everything), name="looking for garbage")
    try:
        yield
    finally:
        await ended(looking)
        gc.set_threshold(*before)


async def _looking(every: float, everything: int) -> None:
    for turn in count(1):
        await asyncio.sleep(every)
        if turn % everything == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
