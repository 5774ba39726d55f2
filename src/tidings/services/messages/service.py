"""messages, assembled: what it holds, serves and owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tidings.contracts import messages as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.services.messages import routes
from tidings.services.messages.holder import Messages
from tidings.services.messages.store.port import MessageStore
from tidings.services.messages.store.postgres import open_postgres

OpenStore = Callable[[str, Settings], AbstractAsyncContextManager[MessageStore]]


@asynccontextmanager
async def open_messages(resources: Resources, open_store: OpenStore = open_postgres) -> AsyncIterator[Messages]:
    """Start messages; stop it when the block ends."""
    async with open_store(resources.database, resources.settings) as store:
        yield Messages(world=resources.world, store=store, cursors=resources.cursors(), mailroom=resources.mailroom)


messages = ServiceKind.of(contract, routes, open_messages, Path(__file__).parent / "migrations")
