"""What friends holds while it runs: its store, its view of the other services, and the seal of its cursors."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.platform.cursors import Cursors
from tidings.platform.events.mailroom import Mailroom
from tidings.platform.twophase.participant import Participant
from tidings.platform.world import World
from tidings.services.friends.store.port import FriendsStore


@dataclass(slots=True)
class Friends:
    """A running friends service."""

    world: World
    store: FriendsStore
    cursors: Cursors
    mailroom: Mailroom
    removal: Participant  # of a deleted account's part here

    async def ready(self) -> None:
        """`Unavailable` unless its own store answers."""
        await self.store.ready()
