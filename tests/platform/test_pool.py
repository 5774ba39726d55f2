"""Connections that come back to the pool: at once, unless something has to be done to them first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.storage.pool import Pool, open_pool


@pytest.fixture
async def pool(postgres: EmbeddedPostgres) -> AsyncIterator[Pool]:
    dsn = await postgres.provision("pool", "secret")
    made = await open_pool(dsn, least=1, most=1, settings={"application_name": "pool"})
    try:
        yield made
    finally:
        made.terminate()


async def backend(pool: Pool) -> int:
    return int(await pool.fetchval("select pg_backend_pid()"))


async def test_a_connection_is_back_without_a_turn_of_the_loop(pool: Pool) -> None:
    connection = await pool.acquire()
    assert pool.get_idle_size() == 0
    back = pool.release(connection)
    with pytest.raises(StopIteration):  # it waits for nothing
        back.send(None)
    assert pool.get_idle_size() == 1
    with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
        await connection.fetchval("select 1")
    assert await pool.fetchval("select 1") == 1


async def test_who_waited_has_it_before_whoever_comes_when_it_is_given_back(pool: Pool) -> None:
    connection = await pool.acquire()
    had: list[str] = []

    async def use(who: str) -> None:
        async with pool.acquire():
            had.append(who)

    async def come_when_it_is_given_back() -> None:
        await connection._holder.wait_until_released()
        await use("came")

    waiting = [asyncio.ensure_future(one) for one in (come_when_it_is_given_back(), use("waited"))]
    await asyncio.sleep(0)
    await pool.release(connection)
    await asyncio.gather(*waiting)
    assert had == ["waited", "came"]


async def test_what_was_handed_to_one_who_gave_up_meanwhile_goes_to_the_next(pool: Pool) -> None:
    connection = await pool.acquire()
    first, second = (asyncio.ensure_future(pool.acquire()) for _ in range(2))
    gone = asyncio.ensure_future(pool.acquire())
    await asyncio.sleep(0)
    gone.cancel()
    await pool.release(connection)
    first.cancel()  # in the same turn of the loop
    async with asyncio.timeout(1):
        got = await second
    assert first.cancelled() and gone.cancelled() and pool.get_idle_size() == 0
    await pool.release(got)
    assert pool.get_idle_size() == 1


async def test_a_transaction_that_was_left_open_is_rolled_back(pool: Pool) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # the library tells of it
    before = await backend(pool)
    async with pool.acquire() as connection:
        await connection.execute("create table left_open (n int)")
        await connection.execute("begin; insert into left_open values (1)")
    assert await pool.fetchval("select count(*) from left_open") == 0
    assert await backend(pool) == before


async def test_what_was_given_up_answers_nobody_else(pool: Pool) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await pool.fetchval("select pg_sleep(10)")
        assert await pool.fetchval("select 'mine'") == "mine"


async def test_a_connection_that_was_lost_is_replaced(pool: Pool) -> None:
    async with pool.acquire() as connection:
        before = await connection.fetchval("select pg_backend_pid()")
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(f"select pg_terminate_backend({before})")
    assert await backend(pool) != before
    assert pool.get_size() == 1


async def test_one_that_somebody_listens_on_is_not_handed_on_like_that(pool: Pool) -> None:
    heard: list[str] = []
    connection = await pool.acquire()
    await connection.add_listener("news", lambda *told: heard.append(told[-1]))
    with pytest.warns(asyncpg.InterfaceWarning, match="1 active notification listener"):
        await pool.release(connection)
    async with pool.acquire() as connection:
        assert not connection._con._listeners
        await connection.execute("notify news, 'x'")
        await connection.execute("select 1")
    assert heard == []
