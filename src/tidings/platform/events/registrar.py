"""A cache's registrations: with each producer whose answers it keeps, for as long as it keeps them."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from tidings.platform import logs
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.registration import LEASE, Registration, register_of
from tidings.platform.contract import Refusal
from tidings.platform.request import Request, Viewer
from tidings.platform.world import World

log = logs.get_logger("registrar")

RENEW_EVERY: Final = 1.5  # seconds
TRY_AGAIN: Final = 0.25
DEADLINE: Final = 2.0


async def registering(keeper: Keeper, producer: str, world: World) -> None:
    """Register, and again and again, until cancelled."""
    shelf, call = keeper.shelves[producer], register_of(producer, keeper.holder)
    while True:
        began = time.monotonic()
        try:
            await world.call(call, Registration(cache=keeper.id, holder=keeper.holder), request=_request(keeper))
        except Refusal as error:  # without it nothing is used that was kept
            log.info("not_registered", holder=keeper.holder, producer=producer, error=repr(error))
            await asyncio.sleep(TRY_AGAIN)
            continue
        shelf.registered(began + LEASE)
        await asyncio.sleep(RENEW_EVERY)


async def leave(keeper: Keeper, producer: str, world: World) -> None:
    """Keep nothing any more, so that nobody waits for this process."""
    keeper.shelves[producer].deaf()
    ended = Registration(cache=keeper.id, holder=keeper.holder, seconds=0)
    try:
        await world.call(register_of(producer, keeper.holder), ended, request=_request(keeper))
    except Refusal as error:
        log.info("not_left", holder=keeper.holder, producer=producer, error=repr(error))


def _request(keeper: Keeper) -> Request:
    return Request(Viewer(role="operator"), caller=keeper.holder, deadline=time.monotonic() + DEADLINE)
