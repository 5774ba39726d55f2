"""friends alone on a real database, once for each store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.lone import lone
from tests.services.friends.array_store import array_friends
from tests.services.friends.town import Town
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings
from tidings.services.friends.service import friends

KINDS = {"rows": friends, "arrays": array_friends}


@pytest.fixture(scope="session", params=list(KINDS))
async def running(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> AsyncIterator[Town]:
    """A town on each store. Waiting writers are patient: a deadlock shows as `Busy` all the same."""
    name = f"friends_{request.param}"
    town = Town()
    settings = Settings(lock_timeout_ms=5000, transaction_timeout_ms=6000)
    played = {"users/cards": town.cards}
    async with lone(KINDS[request.param], postgres, played, database=name, settings=settings) as alone:
        town.lone, town.dsn = alone, await postgres.provision(name, "a test's password")
        yield town


@pytest.fixture
def town(running: Town) -> Town:
    """The running service, with users up and no call counted."""
    running.users_down = False
    running.lone.link.calls.clear()
    return running
