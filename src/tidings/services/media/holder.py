"""What media holds while it runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tidings.contracts.messages import MediaId
from tidings.platform.contract import Refusal
from tidings.platform.cursors import Cursors
from tidings.platform.events.mailroom import Mailroom
from tidings.platform.settings import Settings
from tidings.platform.world import World
from tidings.services.media.developing import Darkroom
from tidings.services.media.store.pictures import Pictures
from tidings.services.media.store.port import MediaStore

AT_ONCE: Final = 2  # pictures that are developed


@dataclass(slots=True)
class Media:
    """Given to every handler and reaction."""

    world: World
    store: MediaStore
    pictures: Pictures
    cursors: Cursors
    mailroom: Mailroom
    settings: Settings
    darkroom: Darkroom
    work: Path  # a folder for what is at work
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    developing: dict[MediaId, asyncio.Task[Refusal | None]] = field(default_factory=dict)
    collect_soon: asyncio.Event = field(default_factory=asyncio.Event)

    async def ready(self) -> None:
        """`Unavailable` unless its own store and its blobs answer."""
        await self.store.ready()
        await self.pictures.ready()
