"""Nothing remote happens while a transaction is open: it would be held for as long as another service takes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Call, Nothing
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.settings import Settings
from tidings.platform.storage.foundation import FOUNDATION
from tidings.platform.storage.postgres import Database, Write
from tidings.platform.twophase.postgres_log import PostgresLog
from tidings.platform.world import World

ELSEWHERE = Call("elsewhere/ask", Nothing, Nothing, callers={"here"})


class Counting:
    """A way to another service, which counts what is sent."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        self.sent += 1
        return Nothing(), stamp_ns()


@asynccontextmanager
async def one_write(dsn: str, kind: str) -> AsyncIterator[None]:
    """An open transaction of this kind."""
    if kind == "a service's own":
        async with Database.serving("here", dsn, Settings()) as database, database.write(Write):
            yield
    else:
        async with PostgresLog.open("here", dsn, Settings()) as log, log.write(Write):
            yield


@pytest.fixture(scope="module")
async def dsn(postgres: EmbeddedPostgres) -> str:
    made = await postgres.provision("nothing_remote", "a test's password")
    connection = await asyncpg.connect(made)
    for statement in FOUNDATION:
        await connection.execute(statement)
    await connection.close()
    return made


@pytest.mark.parametrize("kind", ["a service's own", "two-phase"])
async def test_a_call_from_an_open_transaction_is_refused(dsn: str, kind: str) -> None:
    link = Counting()
    world = World("here", {"elsewhere": link}, deadline=1.0)
    with answering(Request(Viewer(), caller="edge", deadline=time.monotonic() + 10)):
        async with one_write(dsn, kind):
            with pytest.raises(RuntimeError, match="elsewhere/ask was called while a transaction on here is open"):
                await world.call(ELSEWHERE, Nothing())
        assert link.sent == 0
        await world.call(ELSEWHERE, Nothing())
        assert link.sent == 1
