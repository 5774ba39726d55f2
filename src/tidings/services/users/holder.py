"""What users holds: its store, the other services, and what it needs to hash, seal and make codes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tidings.contracts.users import UserId
from tidings.platform.cursors import Cursors
from tidings.platform.events.mailroom import Mailroom
from tidings.platform.export import Export
from tidings.platform.settings import Settings
from tidings.platform.twophase.coordinator import Coordinator
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.world import World
from tidings.services.users.codes import Codes
from tidings.services.users.passwords import Passwords
from tidings.services.users.store.port import UsersStore
from tidings.services.users.throttle import Throttle

ARCHIVES_AT_ONCE: Final = 2  # each is held in memory, compressed, until it is on its way


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
    throttle: Throttle
    exports: Sequence[Export]
    archives: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ARCHIVES_AT_ONCE))
    exporting: set[UserId] = field(default_factory=set)  # whose archive is being made here

    async def ready(self) -> None:
        """`Unavailable` unless its own store answers."""
        await self.store.ready()
