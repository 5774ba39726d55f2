"""One users service for most tests, open to everybody; each test brings people with handles of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.services.users.people import Town, town_on
from tidings.platform.engines.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
async def shared(postgres: EmbeddedPostgres) -> AsyncIterator[Town]:
    async with town_on(postgres, "users") as town:
        yield town


@pytest.fixture
async def town(shared: Town) -> AsyncIterator[Town]:
    shared.blocks.clear()
    shared.lone.link.calls.clear()
    yield shared
    await shared.database.execute("update accounts set role = 'member'")


@pytest.fixture(scope="session")
async def closed(postgres: EmbeddedPostgres) -> AsyncIterator[Town]:
    """By invite only."""
    async with town_on(postgres, "users_closed", signup="invite") as town:
        yield town
