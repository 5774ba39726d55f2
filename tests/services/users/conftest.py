"""One users service for most tests, open to everybody; each test brings people with handles of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.lone import Mode
from tests.services.users.people import Town, town_on
from tidings.platform.engines.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
async def shared(mode: Mode, postgres: EmbeddedPostgres) -> AsyncIterator[Town]:
    async with town_on(postgres, "users", mode) as town:
        yield town


@pytest.fixture
async def town(shared: Town) -> AsyncIterator[Town]:
    shared.blocks.clear()
    shared.down.clear()
    shared.lone.calls.clear()
    yield shared
    await shared.database.execute("update accounts set role = 'member'")


@pytest.fixture(scope="session")
async def closed(mode: Mode, postgres: EmbeddedPostgres) -> AsyncIterator[Town]:
    """By invite only."""
    async with town_on(postgres, "users_closed", mode, signup="invite") as town:
        yield town
