"""In the background: uploads that were left are taken up, and what nothing shows any more is deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tidings.platform import logs
from tidings.platform.contract import Refusal
from tidings.platform.ending import ended
from tidings.platform.request import Request, Viewer, answering
from tidings.services.media.actions import upkeep
from tidings.services.media.holder import Media

log = logs.get_logger("media")

LONGEST: Final = 300.0  # seconds; of one look


@asynccontextmanager
async def keeping_up(svc: Media, *, every: float) -> AsyncIterator[None]:
    """Within the block, look now and then, and soon after something may have become due."""
    task = asyncio.create_task(_rounds(svc, every), name="upkeep of media")
    try:
        yield
    finally:
        await ended(task)
        for developing in list(svc.developing.values()):  # whoever starts next goes on
            developing.cancel()
        await asyncio.gather(*svc.developing.values(), return_exceptions=True)


async def _rounds(svc: Media, every: float) -> None:
    while True:
        svc.collect_soon.clear()
        request = Request(Viewer(role="operator"), caller="media", deadline=time.monotonic() + LONGEST)
        try:
            with answering(request):
                async with asyncio.timeout(LONGEST):
                    await upkeep.look(svc)
        except (Refusal, TimeoutError) as error:  # a store is away, or slow: the next round goes on
            log.warning("not_kept_up", why=repr(error))
        except Exception:
            log.exception("upkeep_failed")
        try:
            async with asyncio.timeout(every):
                await svc.collect_soon.wait()
        except TimeoutError:
            continue
