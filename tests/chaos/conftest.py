"""One fleet with the matrix's settings, for all tests of this folder that a process runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.chaos.case import SETTINGS, SLOTS, Arms
from tests.chaos.ground import Ground, fleet


@pytest.fixture(scope="session")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Arms:
    return Arms(tmp_path_factory.mktemp("arms") / "point")


@pytest.fixture(scope="session")
async def ground(arms: Arms) -> AsyncIterator[Ground]:
    settings = {"max_prepared_transactions": str(SLOTS)}
    async with fleet(database_settings=settings, failpoint=str(arms.file), **SETTINGS) as one:
        await one.steady(within=60)
        yield one
