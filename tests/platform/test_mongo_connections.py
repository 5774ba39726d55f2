"""Connections to a MongoDB that is starting: one made too early does no transaction, and is left behind."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

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
