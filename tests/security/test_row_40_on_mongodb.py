"""Row 40 with messages in MongoDB: the same life, and nothing of it in any collection either."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.mongod import runs_mongod
from tests.harness.system import Whole, whole
from tests.security.test_row_40 import HOLDS_IDS, HOLDS_WORDS, KEEPS_IDS, nothing_is_left
from tidings.platform.settings import Settings
from tidings.platform.topology import EMBEDDED_MONGO
from tidings.system import chosen_topology

# What MongoDB has in the place of tables.
TABLES = {"message": "document", "reply": "document", "subject_fence": "fence", "twophase_branch": "branch"}


@pytest.fixture(scope="module")
async def tidings() -> AsyncIterator[Whole]:
    runs_mongod()
    topology = chosen_topology(Settings(), apart=False).with_store("messages", EMBEDDED_MONGO)
    async with whole("near", topology=topology) as running:
        yield running


def in_mongodb(places: set[str]) -> set[str]:
    """The same places, where messages are documents."""
    return {
        f"messages.{TABLES.get(table, table)}" if service == "messages" else place
        for place in places
        for service, _, table in [place.partition(".")]
    }


async def test_row_40_nothing_is_left_where_messages_are_documents(tidings: Whole) -> None:
    await nothing_is_left(
        tidings,
        words_in=in_mongodb(HOLDS_WORDS),
        ids_in=in_mongodb(HOLDS_IDS),
        ids_may_stay_in=in_mongodb(KEEPS_IDS),
    )
