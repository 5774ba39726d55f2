"""The relay on a real outbox and a real bus: a row is published once the bus has it on its disk, and not before."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import nats
import nats.js.errors
import pytest

from tidings.platform.engines.nats import EmbeddedNats
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.events.bus import BusAddress, connected
from tidings.platform.events.relay import Relay
from tidings.platform.storage.events import open_events
from tidings.platform.storage.foundation import FOUNDATION, RELAYED
from tidings.platform.storage.outbox import LAST_PUBLISHED, PUBLISHED_BETWEEN

USERS = [{"user": "relay", "password": "pw", "permissions": {"publish": [">"], "subscribe": [">"]}}]
ADD = """
insert into outbox (id, event, subject, version, body, created_at)
select id, event, $3, 1, '{}', now() + make_interval(secs => place)
from unnest($1::uuid[], $2::text[]) with ordinality as told(id, event, place)
"""


@dataclass(frozen=True)
class Telling:
    """A service that has things to tell, and its relay."""

    database: asyncpg.Connection[asyncpg.Record]
    relay: Relay
    client: nats.aio.client.Client

    async def happened(self, *events: str) -> list[UUID]:
        ids = [uuid4() for _ in events]
        await self.database.execute(ADD, ids, events, uuid4())
        return ids

    async def unpublished(self) -> list[UUID]:
        rows = await self.database.fetch("select id from outbox where published_at is null order by created_at")
        return [row[0] for row in rows]

    async def on_the_bus(self, stream: str) -> int:
        return (await self.client.jetstream().stream_info(stream)).state.messages


@pytest.fixture
async def telling(postgres: EmbeddedPostgres) -> AsyncIterator[Telling]:
    dsn = await postgres.provision("relay_tests", "a test's password")
    database = await asyncpg.connect(dsn)
    for statement in (*FOUNDATION, *RELAYED):
        await database.execute(statement)
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    server = EmbeddedNats(folder / "nats", users=USERS)
    await server.start()
    try:
        async with (
            open_events(dsn, "tests") as store,
            connected(BusAddress(server.address, "relay", "pw"), "tests") as bus,
        ):
            client = await nats.connect(server.address, user="relay", password="pw", allow_reconnect=False)
            yield Telling(database, Relay("tests", store.outbox, bus, read_at=lambda: -math.inf), client)
            await client.close()
    finally:
        await database.execute("drop table outbox, relay_lease, subject_fence, idempotency")
        await database.close()
        await server.stop()
        shutil.rmtree(folder)


async def test_what_the_bus_did_not_take_is_not_marked(telling: Telling) -> None:
    """Three events, and a stream for two of them: the third stays, and is carried when its stream is there."""
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    ids = await telling.happened("one.first", "two.second", "one.third")
    with pytest.raises(nats.js.errors.NoStreamResponseError):
        await telling.relay.round()
    assert await telling.unpublished() == [ids[1]]
    assert await telling.on_the_bus("one") == 2
    await telling.client.jetstream().add_stream(name="two", subjects=["two.>"])
    assert await telling.relay.round() == 1
    assert (await telling.unpublished(), await telling.on_the_bus("two")) == ([], 1)


async def test_what_comes_again_under_its_id_is_taken_once(telling: Telling) -> None:
    """The bus had it, and the relay died before it could mark it."""
    await telling.client.jetstream().add_stream(name="one", subjects=["one.>"])
    await telling.happened("one.first")
    await telling.relay.round()
    await telling.database.execute("update outbox set published_at = null")
    assert await telling.relay.round() == 1
    assert (await telling.unpublished(), await telling.on_the_bus("one")) == ([], 1)


async def test_what_was_published_is_found_by_its_index(telling: Telling) -> None:
    """Else each comparison would read a week's record."""
    await telling.database.execute("set enable_seqscan = off; set enable_bitmapscan = off")
    await telling.database.execute("set plan_cache_mode = force_generic_plan")
    await telling.database.execute(f"prepare last as {LAST_PUBLISHED}")
    await telling.database.execute(f"prepare between_two as {PUBLISHED_BETWEEN}")
    nobody = "'00000000-0000-0000-0000-000000000000'"
    last, between = [
        "\n".join(row[0] for row in await telling.database.fetch(f"explain execute {asked}"))
        for asked in ("last('1 minute')", f"between_two('{{a}}', now(), {nobody}, now(), {nobody}, 10)")
    ]
    for plan in (last, between):
        assert "using outbox_published" in plan
        assert "Sort" not in plan
    assert "Index Cond: ((ROW(published_at, id) >" in between
