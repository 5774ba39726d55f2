"""Waiting for what comes by itself, a little later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def until(look: Callable[[], Awaitable[Found]], *, within: float = 10.0, what: str = "it") -> Found:
    """The first truthy thing that `look` finds. Fails the test after `within` seconds, with the last."""
    give_up_at = time.monotonic() + within
    while not (found := await look()):
        assert time.monotonic() < give_up_at, f"{what} did not come within {within} s; the last look: {found!r}"
        await asyncio.sleep(0.02)
    return found
