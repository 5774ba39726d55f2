"""Work that can wait a moment lets requests go first."""

from __future__ import annotations

import asyncio
import time
from typing import Final

QUIET: Final = 0.0002  # seconds; a turn of the loop that took longer had something to do
PATIENCE: Final = 0.05  # seconds; nothing waits longer for a quiet turn


async def when_quiet() -> None:
    """Return in a turn of the event loop in which nothing else had to be done, or after `PATIENCE`.

    Where several wait, one goes on in a turn: what it does makes that one no quiet one for those who come after it.
    """
    until = time.monotonic() + PATIENCE
    while True:
        began = time.monotonic()
        await asyncio.sleep(0)
        now = time.monotonic()
        if now - began < QUIET or now > until:
            return
