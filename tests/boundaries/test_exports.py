"""No service with a database is left out of what people get of what is kept about them."""

from __future__ import annotations

import asyncpg
import pytest

from tests.harness.system import Whole
from tidings import contracts, everything
from tidings.contracts import friends, timeline
from tidings.platform.export import Export, NothingPersonal, exports_in, personal
from tidings.platform.service import ServiceKind
from tidings.services.friends import routes
from tidings.services.friends.service import open_friends

PERSONAL = {
    service: kind for service, kind in everything.SERVICES.items() if service not in everything.STORELESS
}  # by their own word: they have a database


@pytest.mark.parametrize("service", sorted(PERSONAL))
def test_a_service_with_a_database_exports_or_says_why_not(service: str) -> None:
    promised = personal(getattr(contracts, service))
    assert isinstance(promised, Export | NothingPersonal)
    if isinstance(promised, NothingPersonal):
        assert promised.why
        return
    assert promised.callers == {"users"}
    assert promised in exports_in(contracts)
    assert promised.files
    for name, holds in promised.files.items():
        assert name.endswith(".json")
        assert holds.isascii()


def test_a_service_with_a_database_that_says_neither_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    migrations = everything.SERVICES["friends"].migrations
    assert ServiceKind.of(friends, routes, open_friends, migrations)
    monkeypatch.setattr(friends, "export", friends.circles)
    with pytest.raises(TypeError, match="friends has a database"):
        ServiceKind.of(friends, routes, open_friends, migrations)
    monkeypatch.setattr(friends, "export", NothingPersonal("a test's reason"))
    monkeypatch.setattr(routes, "export", None)
    assert ServiceKind.of(friends, routes, open_friends, migrations)
    assert personal(timeline) is None  # keeps nothing


# What each table is to an export. A new table has to be put here, and with that into a file or a reason.
EXPORTED = {
    "users": {"accounts", "preferences", "sessions", "invites", "links"},
    "friends": {"friendships", "friend_requests", "blocks", "mutes"},
    "messages": {"message", "reply", "history", "reaction", "withdrawn"},
    "media": {"media"},
    "notifications": {"notifications", "read_marks"},
}
OF_THE_SERVICE = {
    "alembic_version": "which migrations ran",
    "schema_info": "which code works on it",
    "subject_fence": "a lock and a counter",
    "outbox": "ids of what happened, for 7 days",
    "idempotency": "copies of answers, for 24 hours",
    "relay_lease": "which process publishes",
    "inbox": "ids of events",
    "reaction_failures": "ids of events",
    "dead_letters": "events that could not be handled: ids",
    "reconciled": "how far events were compared",
    "cache_register": "processes that keep answers, for seconds: no person",
    "twophase_log": "deletions, for 7 days: ids",
    "twophase_branch": "parts of deletions: ids",
    "search_entries": "made from handle and name",
    "reserved_handles": "of accounts that are gone, as digests",
    "latest": "made from messages",
    "tally": "counts, of nobody by name",
    "shown_by": "which of one's messages show which of one's pictures: the messages say so themselves",
    "gone_messages": "ids of messages that were withdrawn: messages exports them",
    "avatars": "which picture one wears: the profile says so",
    "message_versions": "versions of messages, of nobody by name",
}
TABLES = "select tablename from pg_catalog.pg_tables where schemaname = 'public'"


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
@pytest.mark.parametrize("service", sorted(PERSONAL))
async def test_every_table_is_exported_or_holds_nothing_to_export(tidings: Whole, service: str) -> None:
    connection = await asyncpg.connect(tidings.system.installation.dsns[service])
    try:
        tables = {row[0] for row in await connection.fetch(TABLES)}
    finally:
        await connection.close()
    assert tables - EXPORTED[service] - OF_THE_SERVICE.keys() == set()
    assert tables >= EXPORTED[service]
