"""Whether two requests take the same time, as far as somebody outside can tell."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

Ask = Callable[[], Awaitable[Any]]


async def in_one_timing_class(one: Ask, other: Ask, *, times: int, slack: float = 0.001) -> bool:
    """Medians of alternating requests within a half of each other, or within `slack` seconds.

    A busy machine disturbs both alike; a difference that is there each time shows in all of five attempts.
    """
    for _ in range(5):
        took: tuple[list[float], list[float]] = ([], [])
        for _ in range(times):
            for ask, times_taken in zip((one, other), took, strict=True):
                began = time.perf_counter()
                await ask()
                times_taken.append(time.perf_counter() - began)
        low, high = sorted(statistics.median(times_taken) for times_taken in took)
        if high - low <= slack or high <= 1.5 * low:
            return True
    return False
