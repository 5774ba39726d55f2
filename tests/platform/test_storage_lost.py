"""A connection that the database server ends is a database that is away, whenever that is noticed."""

from __future__ import annotations

import asyncio
import time

import pytest

from tidings.platform.contract import NotFound, Unavailable
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.storage.postgres import Database, Write


@pytest.mark.parametrize("turns", range(5))
async def test_a_write_that_took_too_long_is_unavailable(postgres: EmbeddedPostgres, turns: int) -> None:
    """The server says so some turns of the loop before the commit, and ends the connection a turn later."""
    dsn = await postgres.provision("lost", "secret")
    database = await Database.open(
        dsn, service="users", readers=1, writers=1, lock_timeout_ms=1000, transaction_timeout_ms=100
    )
    request = Request(Viewer(role="stranger"), caller="edge", deadline=time.monotonic() + 10)
    try:
        with answering(request), pytest.raises(Unavailable):
            async with database.write(Write):
                time.sleep(0.3)  # a loop that is held up, as on a busy machine
                for _ in range(turns):
                    await asyncio.sleep(0)
    finally:
        await database.close()


async def test_a_refusal_stands_though_the_connection_is_lost_before_it_is_rolled_back(
    postgres: EmbeddedPostgres,
) -> None:
    dsn = await postgres.provision("lost", "secret")
    database = await Database.open(
        dsn, service="users", readers=1, writers=1, lock_timeout_ms=1000, transaction_timeout_ms=5000
    )
    request = Request(Viewer(role="stranger"), caller="edge", deadline=time.monotonic() + 10)
    try:
        with answering(request):
            with pytest.raises(NotFound, match="nobody"):
                async with database.write(Write) as write:
                    pid = await write.connection.fetchval("select pg_backend_pid()")
                    await database.fetch("select pg_terminate_backend($1)", pid)
                    raise NotFound("There is nobody.")
            async with database.write(Write) as write:  # with another connection
                assert await write.connection.fetchval("select pg_backend_pid()") != pid
    finally:
        await database.close()
