"""media alone on a real database and a folder; its neighbours are played."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.lone import Mode, lone
from tests.services.media.gallery import Gallery
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings

KIND = "tidings.services.media.service:media"


@pytest.fixture(scope="session")
async def running(mode: Mode, postgres: EmbeddedPostgres) -> AsyncIterator[Gallery]:
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as folder:
        gallery = Gallery(Path(folder) / "blobs")
        settings = Settings(
            data=Path(folder),
            reconcile_every=0.05,
            reconcile_after=0.001,
            event_backoff=0.001,
            repeat_events=True,
            collect_every=0.2,
            media_quota=2_000_000,
        )
        start = lone(
            KIND,
            postgres,
            gallery.played,
            mode=mode,
            database=f"media_{mode}",
            settings=settings,
            blobs=gallery.blobs,
        )
        async with start as alone:
            gallery.lone = alone
            yield gallery


@pytest.fixture
def gallery(running: Gallery) -> Gallery:
    running.clear()
    return running
