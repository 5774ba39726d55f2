"""messages alone on a real database, once for each store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.lone import Mode, lone
from tests.services.messages.neighbourhood import Neighbourhood
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings
from tidings.services.messages.store.opening import open_store

KIND = "tidings.services.messages.service:messages"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What differs between the engines is the store, and what differs between wire and apart is all else."""
    twice = [one for one in items if _params(one) == ("mongodb", "apart")]
    config.hook.pytest_deselected(items=twice)
    items[:] = [one for one in items if one not in twice]


def _params(item: pytest.Item) -> tuple[object, object]:
    params = getattr(getattr(item, "callspec", None), "params", {})
    return params.get("mongod_or_none"), params.get("mode")


@pytest.fixture(scope="session", params=["mongodb", "postgres"])
def mongod_or_none(request: pytest.FixtureRequest) -> EmbeddedMongod | None:
    """The engine of the store: MongoDB, or PostgreSQL if there is none."""
    return request.getfixturevalue("mongod") if request.param == "mongodb" else None


@pytest.fixture(scope="session")
async def running(
    mongod_or_none: EmbeddedMongod | None, mode: Mode, postgres: EmbeddedPostgres
) -> AsyncIterator[Neighbourhood]:
    neighbourhood = Neighbourhood()
    played = {
        "friends/relations": neighbourhood.relations,
        "friends/circles": neighbourhood.circles,
        "users/cards": neighbourhood.cards,
        "users/cards_as_of": neighbourhood.cards_as_of,
        "media/hold": neighbourhood.hold,
    }
    async with (
        lone(KIND, postgres, played, mode=mode, mongod=mongod_or_none) as alone,
        open_store(alone.dsn, Settings(transaction_timeout_ms=10_000)) as store,
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
