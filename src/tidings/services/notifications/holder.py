"""What notifications holds while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.platform.cursors import Cursors
from tidings.platform.events.mailroom import Mailroom
from tidings.platform.world import World
from tidings.services.notifications.store.port import NotificationStore


@dataclass(slots=True)
class Notifications:
    """Given to every handler and reaction."""

    world: World
    store: NotificationStore
    cursors: Cursors
    mailroom: Mailroom

    async def ready(self) -> None:
        """`Unavailable` unless its own store answers."""
        await self.store.ready()
