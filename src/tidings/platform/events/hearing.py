"""What keeps a service's caches true while it runs: its ears on the bus, and its registrations with producers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tidings.platform import logs
from tidings.platform.cache.keeper import Keeper
from tidings.platform.contract import Event
from tidings.platform.ending import ended
from tidings.platform.events.audience import Audience
from tidings.platform.events.bus import BusAddress
from tidings.platform.events.lasting import lasting
from tidings.platform.events.listener import Listener
from tidings.platform.events.registrar import leave, registering
from tidings.platform.service import Reaction
from tidings.platform.settings import Settings
from tidings.platform.world import World

log = logs.get_logger("hearing")


@asynccontextmanager
async def hearing(
    keeper: Keeper,
    world: World,
    address: BusAddress | None,
    settings: Settings,
    *,
    reactions: Mapping[str, tuple[Event, Reaction]] | None = None,
    holder: Any = None,
    audience: Audience | None = None,
) -> AsyncIterator[None]:
    """Listen and stay registered while the block lasts; an installation without a bus keeps nothing."""
    producers = sorted({event.service for event, _ in (reactions or {}).values()} | keeper.shelves.keys())
    if address is None or not producers:
        yield
        return
    listener = Listener(
        keeper.holder,
        producers,
        keeper,
        reactions=reactions,
        holder=holder,
        audience=audience,
        delay=settings.hear_delay,
    )
    work: list[Callable[[], Awaitable[None]]] = [partial(listener.run, address)]
    work += [partial(registering, keeper, producer, world) for producer in keeper.shelves]
    tasks = [asyncio.create_task(lasting(one, of=keeper.holder)) for one in work]
    try:
        yield
    finally:
        for outcome in await ended(*tasks):
            if isinstance(outcome, Exception):
                log.error("hearing_failed", holder=keeper.holder, error=repr(outcome))
        await asyncio.gather(*(leave(keeper, producer, world) for producer in keeper.shelves))
