"""messages alone on a real database, once for each store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.lone import lone
from tests.services.messages.neighbourhood import KINDS, Neighbourhood
from tidings.platform.engines.postgres import EmbeddedPostgres


@pytest.fixture(scope="session", params=sorted(KINDS))
async def running(request: pytest.FixtureRequest, postgres: EmbeddedPostgres) -> AsyncIterator[Neighbourhood]:
    neighbourhood = Neighbourhood()
    played = {"friends/relations": neighbourhood.relations, "users/cards": neighbourhood.cards}
    name = f"messages_{request.param}"
    async with lone(KINDS[request.param], postgres, played, database=name) as alone:
        neighbourhood.lone = alone
        yield neighbourhood


@pytest.fixture
async def town(running: Neighbourhood) -> AsyncIterator[Neighbourhood]:
    """The running service, with nobody down and no call counted."""
    running.lone.link.calls.clear()
    yield running
    running.down.clear()
    running.before = None
