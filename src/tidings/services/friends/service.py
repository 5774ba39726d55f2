"""friends, assembled: what it holds, serves and owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tidings.contracts import friends as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.services.friends import routes
from tidings.services.friends.holder import Friends
from tidings.services.friends.store.port import FriendsStore
from tidings.services.friends.store.postgres import open_postgres

OpenStore = Callable[[str, Settings], AbstractAsyncContextManager[FriendsStore]]


@asynccontextmanager
async def open_friends(resources: Resources, open_store: OpenStore = open_postgres) -> AsyncIterator[Friends]:
    """Start friends; stop it when the block ends."""
    async with open_store(resources.database, resources.settings) as store:
        yield Friends(world=resources.world, store=store, cursors=resources.cursors(), mailroom=resources.mailroom)


friends = ServiceKind.of(contract, routes, open_friends, Path(__file__).parent / "migrations")
