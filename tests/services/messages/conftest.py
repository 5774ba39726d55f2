"""messages alone on a real database, once for each store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.lone import Mode, lone
from tests.services.messages.neighbourhood import KINDS, STORES, Neighbourhood
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings


@pytest.fixture(scope="session", params=sorted(KINDS))
async def running(
    request: pytest.FixtureRequest, mode: Mode, postgres: EmbeddedPostgres
) -> AsyncIterator[Neighbourhood]:
    neighbourhood = Neighbourhood()
    played = {"friends/relations": neighbourhood.relations, "users/cards": neighbourhood.cards}
    name = f"messages_{request.param}"
    async with (
        lone(KINDS[request.param], postgres, played, mode=mode, database=name) as alone,
        STORES[request.param](alone.dsn, Settings(transaction_timeout_ms=10_000)) as store,
    ):
        neighbourhood.lone, neighbourhood.store = alone, store
        yield neighbourhood


@pytest.fixture
async def town(running: Neighbourhood) -> AsyncIterator[Neighbourhood]:
    """The running service, with nobody down and no call counted."""
    running.lone.calls.clear()
    yield running
    running.down.clear()
    running.before = None
