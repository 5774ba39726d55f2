"""notifications, assembled: what it holds, serves, reacts to and owns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tidings.contracts import notifications as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.services.notifications import reactions, routes
from tidings.services.notifications.holder import Notifications
from tidings.services.notifications.store.postgres import open_postgres


@asynccontextmanager
async def open_notifications(resources: Resources) -> AsyncIterator[Notifications]:
    """Start notifications; stop it when the block ends."""
    async with open_postgres(resources.database, resources.settings) as store:
        yield Notifications(
            world=resources.world, store=store, cursors=resources.cursors(), mailroom=resources.mailroom
        )


notifications = ServiceKind.of(
    contract, routes, open_notifications, Path(__file__).parent / "migrations", reactions
)
