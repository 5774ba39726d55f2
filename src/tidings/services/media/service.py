"""media, assembled: what it holds, serves, reacts to and owns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tidings.contracts import media as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.services.media import reactions, routes
from tidings.services.media.developing import Darkroom
from tidings.services.media.holder import AT_ONCE, Media
from tidings.services.media.store.pictures import open_pictures
from tidings.services.media.store.postgres import open_postgres
from tidings.services.media.worker import keeping_up


@asynccontextmanager
async def open_media(resources: Resources) -> AsyncIterator[Media]:
    """Start media; stop it when the block ends."""
    settings = resources.settings
    work = settings.data / "media-work"
    await asyncio.to_thread(work.mkdir, mode=0o700, parents=True, exist_ok=True)
    async with open_postgres(resources.database, settings) as store:
        svc = Media(
            world=resources.world,
            store=store,
            pictures=open_pictures(resources.blob_place),
            cursors=resources.cursors(),
            mailroom=resources.mailroom,
            settings=settings,
            darkroom=Darkroom(at_once=AT_ONCE),
            work=work,
        )
        async with keeping_up(svc, every=settings.collect_every):
            yield svc


media = ServiceKind.of(contract, routes, open_media, Path(__file__).parent / "migrations", reactions, blobs=True)
