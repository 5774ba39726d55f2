"""notifications alone: its neighbours are played, and what happened reaches it by the call that fills gaps."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.lone import Mode, lone
from tests.services.notifications.happenings import Happenings
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings

KIND = "tidings.services.notifications.service:notifications"


@pytest.fixture(scope="session")
async def running(mode: Mode, postgres: EmbeddedPostgres) -> AsyncIterator[Happenings]:
    happenings = Happenings()
    settings = Settings(reconcile_every=0.05, reconcile_after=0.001, event_backoff=0.001, repeat_events=True)
    database = f"notifications_{mode}"  # each remembers how far it has asked
    async with lone(KIND, postgres, happenings.played, mode=mode, database=database, settings=settings) as alone:
        happenings.lone = alone
        yield happenings


@pytest.fixture
def happenings(running: Happenings) -> Happenings:
    running.clear()
    return running
