"""Whether two requests take the same time, as far as somebody outside can tell."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

Ask = Callable[[], Awaitable[Any]]
ROUNDS = 8


async def in_one_timing_class(one: Ask, other: Ask, *, times: int, slack: float = 0.001) -> bool:
    """The fastest of alternating requests are within a half of each other, or within `slack` seconds.

    A busy machine only ever adds to what a request takes, so that the fastest tells most of its own work. All that
    was asked counts: a difference that is there each time stays, however often it is asked again.
    """
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for _ in range(times):
            for ask, times_taken in zip((one, other), took, strict=True):
                began = time.perf_counter()
                await ask()
                times_taken.append(time.perf_counter() - began)
        low, high = sorted(map(min, took))
        if high - low <= slack or high <= 1.5 * low:
            return True
    return False
