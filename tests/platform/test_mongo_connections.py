"""Connections to MongoDB: one made too early is left behind; who no longer waits for one stops nobody."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo.lock import _async_cond_wait, _async_create_condition, _async_create_lock

from tests.harness.replica_set import Member, leader
from tidings.platform.contract import Unavailable
from tidings.platform.settings import Settings
from tidings.platform.storage.mongo import MongoDatabase, MongoWrite


async def _writes(database: MongoDatabase) -> None:
    async with database.transaction(MongoWrite, limit=5.0) as write:
        await write.fence([uuid4()])


async def test_connections_of_before_an_election_are_left_behind() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tidings-early-"))
    folder.chmod(0o711)
    member = Member(folder / "member")
    try:
        await member.start()
        url = f"mongodb://{member.address}/early?directConnection=true"
        async with MongoDatabase.serving("messages", url, Settings(pool_write=1)) as database:
            # It listens and answers, and is neither primary nor secondary yet: as every server is when it starts.
            with pytest.raises(Unavailable):
                await _writes(database)
            await member.initiates([member])
            await leader([member])

            # One more is refused at most, on the connection of before.
            with suppress(Unavailable):
                await _writes(database)
            await _writes(database)
    finally:
        await member.stop()
        shutil.rmtree(folder)


@pytest.mark.parametrize("times", [1, 2])
async def test_who_is_cancelled_while_waiting_for_a_connection_leaves_no_lock_behind(times: int) -> None:
    """However often: a lock that nobody gives back stops all reads of a process until it is started anew."""
    lock = _async_create_lock()
    condition = _async_create_condition(lock)

    async def waits() -> None:
        async with lock:
            await _async_cond_wait(condition, 10)

    waiting = asyncio.create_task(waits())
    await asyncio.sleep(0.01)
    async with lock:
        waiting.cancel()
        await asyncio.sleep(0.01)
        # Before the lock is given back, and before whoever waits for it has it.
        for _ in range(times - 1):
            waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.01)
    assert not lock.locked()


async def test_a_wait_for_a_connection_ends_in_time() -> None:
    lock = _async_create_lock()
    condition = _async_create_condition(lock)
    async with lock:
        assert not await _async_cond_wait(condition, 0.01)
        asyncio.get_running_loop().call_later(0.01, asyncio.ensure_future, _notifies(condition))
        assert await _async_cond_wait(condition, 10)
    assert not lock.locked()


async def _notifies(condition: Any) -> None:
    async with condition:
        condition.notify_all()
