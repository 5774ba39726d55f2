"""What users holds: its store, the other services, and what it needs to hash, seal and make codes."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.platform.cursors import Cursors
from tidings.platform.events.mailroom import Mailroom
from tidings.platform.settings import Settings
from tidings.platform.twophase.coordinator import Coordinator
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.world import World
from tidings.services.users.codes import Codes
from tidings.services.users.passwords import Passwords
from tidings.services.users.store.port import UsersStore


@dataclass(slots=True)
class Users:
    """Given to every handler."""

    world: World
    store: UsersStore
    cursors: Cursors
    mailroom: Mailroom
    passwords: Passwords
    codes: Codes
    settings: Settings
    coordinator: Coordinator
    failpoints: Failpoints

    async def ready(self) -> None:
        """`Unavailable` unless its own store answers."""
        await self.store.ready()
