"""What messages holds while it runs: its store, its view of the other services, and the seal of its cursors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tidings.platform.cursors import Cursors
from tidings.platform.events.mailroom import Mailroom
from tidings.platform.twophase.participant import Participant
from tidings.platform.world import World
from tidings.services.messages.store.port import MessageStore


@dataclass(slots=True)
class Messages:
    """A running messages service."""

    world: World
    store: MessageStore
    cursors: Cursors
    mailroom: Mailroom
    removal: Participant  # of a deleted account's part here
    erase_soon: asyncio.Event = field(default_factory=asyncio.Event)

    async def ready(self) -> None:
        """`Unavailable` unless its own store answers."""
        await self.store.ready()
