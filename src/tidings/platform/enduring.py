"""Work in the background that has to go on as long as its process does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tidings.platform import logs
from tidings.platform.jitter import jittered

log = logs.get_logger("enduring")

PAUSE: Final = 0.5  # seconds


async def enduring(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled. After a fault that nobody foresaw the work begins again: nobody awaits its task."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("begins_again", work=name)
        await asyncio.sleep(jittered(PAUSE))
