"""friends alone on a real database, once for each store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.lone import Mode, lone
from tests.services.friends.town import Town
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings

KINDS = {
    "rows": "tidings.services.friends.service:friends",
    "arrays": "tests.services.friends.array_store:array_friends",
}


@pytest.fixture(scope="session", params=list(KINDS))
async def running(request: pytest.FixtureRequest, mode: Mode, postgres: EmbeddedPostgres) -> AsyncIterator[Town]:
    """A town on each store. Waiting writers are patient: a deadlock shows as `Busy` all the same."""
    town = Town()
    settings = Settings(lock_timeout_ms=5000, transaction_timeout_ms=6000)
    played = {"users/cards": town.cards}
    database = f"friends_{request.param}"
    async with lone(
        KINDS[request.param], postgres, played, mode=mode, database=database, settings=settings
    ) as alone:
        town.lone, town.dsn = alone, alone.dsn
        yield town


@pytest.fixture
def town(running: Town) -> Town:
    """The running service, with users up and no call counted."""
    running.users_down = False
    running.lone.calls.clear()
    return running
