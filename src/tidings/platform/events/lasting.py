"""Work that has to go on for as long as its service runs, whatever nobody foresaw."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from tidings.platform import logs
from tidings.platform.jitter import jittered

BEGIN_AGAIN: Final = 0.5  # seconds after a fault

log = logs.get_logger("lasting")


async def lasting(work: Callable[[], Awaitable[None]], *, of: str) -> NoReturn:
    """Begin `work` again whenever it ends, until cancelled: without it, events would wait for the next start."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("begins_again", service=of)
        await asyncio.sleep(jittered(BEGIN_AGAIN))
