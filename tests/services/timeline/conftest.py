"""timeline alone: it owns no database, so one serves every test; each brings neighbours of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.harness.lone import Lone, Mode, lone
from tests.services.timeline.neighbourhood import Neighbourhood
from tidings.platform.engines.postgres import EmbeddedPostgres


@dataclass(frozen=True)
class Alone:
    """The running service, and whoever lives around it now."""

    lone: Lone

    def among(self, neighbourhood: Neighbourhood) -> Neighbourhood:
        self.lone.neighbours.update(neighbourhood.played)
        self.lone.calls.clear()
        return neighbourhood


@pytest.fixture(scope="session")
async def alone(mode: Mode, postgres: EmbeddedPostgres) -> AsyncIterator[Alone]:
    async with lone("tidings.services.timeline.service:timeline", postgres, {}, mode=mode) as running:
        yield Alone(running)
