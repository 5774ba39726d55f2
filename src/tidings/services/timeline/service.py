"""timeline: composes what friends said from three services, and owns nothing durable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidings.contracts import timeline as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.services.timeline import reactions, routes
from tidings.services.timeline.holder import Timeline
from tidings.services.timeline.hub import Hub
from tidings.services.timeline.kept import KEPT, RESTING


@asynccontextmanager
async def open_timeline(resources: Resources) -> AsyncIterator[Timeline]:
    """Nothing to open: its parts are other services' answers, and who listens is in memory."""
    wait = resources.settings.stream_look_every
    yield Timeline(
        world=resources.world,
        cursors=resources.cursors(),
        hub=Hub(),
        temporary=resources.temporary,
        wait=wait,
    )


timeline = ServiceKind.of(contract, routes, open_timeline, reactions=reactions, kept=KEPT, resting=RESTING)
