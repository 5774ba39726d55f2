"""timeline: composes what friends said from three services, and owns nothing durable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidings.contracts import timeline as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.services.timeline import routes
from tidings.services.timeline.holder import Timeline


@asynccontextmanager
async def open_timeline(resources: Resources) -> AsyncIterator[Timeline]:
    """Nothing to open: its parts are other services' answers."""
    yield Timeline(world=resources.world, cursors=resources.cursors())


timeline = ServiceKind.of(contract, routes, open_timeline)
