"""media, assembled: what it holds, serves, reacts to and owns."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tidings.contracts import media as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.services.media import reactions, routes
from tidings.services.media.developing import Darkroom
from tidings.services.media.holder import Media
from tidings.services.media.store.pictures import open_pictures
from tidings.services.media.store.postgres import open_postgres
from tidings.services.media.worker import keeping_up

LEFT_BEHIND: Final = 900.0  # seconds; nothing is at work for so long


@asynccontextmanager
async def open_media(resources: Resources) -> AsyncIterator[Media]:
    """Start media; stop it when the block ends."""
    settings = resources.settings
    async with open_postgres(resources.database, settings) as store:
        svc = Media(
            world=resources.world,
            store=store,
            pictures=open_pictures(resources.blob_place),
            cursors=resources.cursors(),
            mailroom=resources.mailroom,
            settings=settings,
            darkroom=Darkroom(),
            work=await asyncio.to_thread(_work, settings.data / "media-work"),
        )
        async with keeping_up(svc, every=settings.collect_every):
            yield svc


def _work(folder: Path) -> Path:
    """The folder for what is at work, without what a process left there that was ended."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.iterdir():
        if time.time() - left.stat().st_mtime > LEFT_BEHIND:
            shutil.rmtree(left, ignore_errors=True)
    return folder


media = ServiceKind.of(contract, routes, open_media, Path(__file__).parent / "migrations", reactions, blobs=True)
