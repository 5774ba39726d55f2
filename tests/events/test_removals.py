"""What a writer waits for before it acknowledges that access is taken away, where nobody can be told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from tidings.platform.cache.registration import REMOVED_WITHIN, Registration
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.events.mailroom import Mailroom, open_mailroom
from tidings.platform.storage.foundation import CACHE_REGISTER
from tidings.platform.storage.outbox import Happened

AT_ONCE = REMOVED_WITHIN / 2


@pytest.fixture
async def mailroom(postgres: EmbeddedPostgres) -> AsyncIterator[Mailroom]:
    """One that has no bus."""
    dsn = await postgres.provision("removal_tests", "a test's password")
    database = await asyncpg.connect(dsn)
    await database.execute(CACHE_REGISTER)
    async with open_mailroom("tests", dsn) as one:
        yield one
    await database.execute("drop table cache_register")
    await database.close()


async def seconds_of(mailroom: Mailroom, *, takes_away: bool) -> float:
    began = time.monotonic()
    await mailroom.committed([Happened(uuid4(), 2, takes_away)])
    return time.monotonic() - began


async def test_a_cache_that_cannot_be_told_is_waited_for_until_it_uses_nothing_any_more(mailroom: Mailroom) -> None:
    assert await seconds_of(mailroom, takes_away=True) < AT_ONCE  # nobody keeps anything
    elsewhere = Registration(cache=uuid4(), holder="page")
    await mailroom.register(elsewhere)
    assert await seconds_of(mailroom, takes_away=False) < AT_ONCE
    assert REMOVED_WITHIN <= await seconds_of(mailroom, takes_away=True) < 2 * REMOVED_WITHIN
    await mailroom.register(Registration(elsewhere.cache, elsewhere.holder, seconds=0))
    assert await seconds_of(mailroom, takes_away=True) < AT_ONCE
